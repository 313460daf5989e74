//! Whether this process itself can serve new clients: what `evenkeel health`, keepalived and container
//! engines ask. Says nothing of servers: an address that moved because of them would find the same
//! servers on the other node.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use evenkeel_proxy::Proxy;

/// How long a data thread may take to say that it lives; less than whoever asks waits, so that the
/// reason is heard.
const THREAD_PATIENCE: Duration = Duration::from_millis(500);

/// What the control thread found; the data threads are still to answer.
pub(crate) struct Vitals {
    is_stopping: bool,
    leaves: bool,
    pulse: Pin<Box<dyn Future<Output = bool> + Send>>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Serving,
    Draining,
    /// The same, and the service manager keeps its sockets: for the next process, or until the end.
    Leaving,
    /// A data thread hangs or has ended.
    Stuck,
}

impl Vitals {
    /// Feels the pulse of `proxy`, on the control thread; `leaves`: see [`Verdict::Leaving`].
    pub(crate) fn of(proxy: &Proxy, leaves: bool) -> Self {
        Self {
            leaves,
            is_stopping: proxy.is_stopping(),
            pulse: Box::pin(proxy.pulse()),
        }
    }

    /// Waits for the data threads, within bounds.
    pub(crate) async fn verdict(self) -> Verdict {
        if self.leaves {
            return Verdict::Leaving;
        }
        if self.is_stopping {
            return Verdict::Draining;
        }
        match tokio::time::timeout(THREAD_PATIENCE, self.pulse).await {
            Ok(true) => Verdict::Serving,
            Ok(false) | Err(_) => Verdict::Stuck,
        }
    }
}

/// The line that is answered; `evenkeel health` knows them apart by their beginning.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => SERVING,
            Self::Draining => "not serving: it drains toward its end",
            Self::Leaving => LEAVING,
            Self::Stuck => "not serving: a data thread does not answer",
        })
    }
}

/// What a process says that can serve new clients.
pub(crate) const SERVING: &str = "serving";
/// How all else that it can say begins.
pub(crate) const NOT_SERVING: &str = "not serving: ";
/// What of it is perhaps a restart.
pub(crate) const LEAVING: &str =
    "not serving: it drains toward its end, and its sockets are kept for a next process";
/// Where the admin address says it.
pub(crate) const PATH: &str = "/serving";

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals(
        is_stopping: bool,
        leaves: bool,
        pulse: impl Future<Output = bool> + Send + 'static,
    ) -> Vitals {
        Vitals {
            is_stopping,
            leaves,
            pulse: Box::pin(pulse),
        }
    }

    #[tokio::test]
    async fn a_thread_that_hangs_or_ended_is_not_serving() {
        for (vitals, expected) in [
            (vitals(false, false, async { true }), Verdict::Serving),
            (vitals(false, false, async { false }), Verdict::Stuck),
            (vitals(false, false, std::future::pending()), Verdict::Stuck),
            (vitals(true, false, async { true }), Verdict::Draining),
            (vitals(true, true, async { true }), Verdict::Leaving),
        ] {
            let verdict = vitals.verdict().await;
            assert_eq!(verdict, expected);
            let line = verdict.to_string();
            assert!(line == SERVING || line.starts_with(NOT_SERVING), "{line}");
        }
    }
}
