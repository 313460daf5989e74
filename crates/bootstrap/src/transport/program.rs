//! One process here, with bounds on its time and its output.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Failure;

/// What a command left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Exit status; 128 and the signal's number if one ended it.
    pub status: i32,
    /// What it wrote, 4 MiB of it at most.
    pub stdout: String,
    /// Likewise.
    pub stderr: String,
}

impl Outcome {
    /// All that it said, for a message.
    #[must_use]
    pub fn words(&self) -> String {
        let both = [self.stdout.trim_end(), self.stderr.trim_end()];
        both.into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Of each output; what a host says beyond it is read and thrown away.
const MOST_OUTPUT_BYTES: usize = 4 << 20;
/// For output that is on its way when the process has ended. A shared ssh connection that stays may keep
/// the standard error open.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Starts a command with pipes; it is killed when the child is dropped.
pub(super) fn start(words: &[String]) -> Result<Child, Failure> {
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => Failure::NoProgram {
                program: words[0].clone(),
            },
            _ => Failure::Local {
                doing: "start a process",
                cause,
            },
        })
}

/// Runs a command to its end, or for `limit`.
pub(super) async fn run(
    words: &[String],
    input: &[u8],
    limit: Duration,
) -> Result<Outcome, Failure> {
    let mut child = start(words)?;
    let mut stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = {
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // Whoever ends without reading has its exit status to say why.
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let talk =
            async { tokio::join!(collect(out, &mut stdout), collect(err, &mut stderr), feed) };
        tokio::pin!(talk);
        let whole = async {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = &mut talk => return child.wait().await,
            };
            let _ = timeout(LAST_WORDS, &mut talk).await;
            status
        };
        timeout(limit, whole).await
    };
    let outcome = |status| Outcome {
        status,
        stdout: text(&stdout),
        stderr: text(&stderr),
    };
    match ended {
        Ok(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            let signal = status.signal().map_or(-1, |signal| 128 + signal);
            Ok(outcome(status.code().unwrap_or(signal)))
        }
        Ok(Err(cause)) => Err(Failure::Local {
            doing: "wait for a process",
            cause,
        }),
        Err(_) => Err(Failure::TimedOut {
            limit,
            said: outcome(0).words(),
        }),
    }
}

async fn collect(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 16 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        let room = MOST_OUTPUT_BYTES - into.len();
        into.extend_from_slice(&chunk[..bytes.min(room)]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
