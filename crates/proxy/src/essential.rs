//! Tasks that the process is of no use without: a defect in one of them is told and ends the
//! process, for whoever watches it to start it anew, rather than leave a deaf one behind.

use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::error;

use crate::log::Logs;

/// How long the end waits for the last messages to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Waits for the task's end and calls `end` if that was a panic; one that is cut off because the
/// process ends is none.
pub(crate) async fn watch(task: JoinHandle<()>, what: String, end: impl FnOnce()) {
    if let Err(failed) = task.await
        && failed.is_panic()
    {
        error!("{what} cannot go on because of a defect, and the process ends: {failed}");
        end();
    }
}

/// Ends the process at once, once what was said is read.
pub(crate) fn end(logs: &Logs) -> ! {
    let _ = logs.flush(LAST_WORDS);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_process_and_nothing_else_does() {
        for (is_panic, task) in [
            (true, tokio::spawn(async { panic!("a defect") })),
            (false, tokio::spawn(async {})),
            (false, {
                let cut = tokio::spawn(std::future::pending());
                cut.abort();
                cut
            }),
        ] {
            let mut has_ended = false;
            watch(task, "a test".to_owned(), || has_ended = true).await;
            assert_eq!(has_ended, is_panic);
        }
    }
}
