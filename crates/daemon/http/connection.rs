//! One client's connection: requests one after the other, each within its time, until somebody
//! ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_proxy::{Line, Verdict, Visit};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer;
use super::error_page;
use super::meter::{Meter, Metered, Phase};
use crate::desk::Desk;

/// The longest head of a request: what HAProxy's buffer has room for.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long a client may do nothing where the file sets no limit: one that is gone without a word
/// must not keep its place for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much more of a client is read, and for how long, so that the close does not break off what
/// it was told last.
const LAST_READS_BYTES: usize = 64 * 1024;
const LAST_READS: Duration = Duration::from_millis(500);

/// What ended a connection.
enum End {
    /// The client, or both.
    Done,
    /// The bytes were no request.
    NoRequest,
    /// A limit passed in this phase.
    TimedOut(Phase),
    /// An operator, or a hard stop.
    Cut,
}

/// Serves a visit to its end.
pub(super) async fn serve(mut visit: Visit, desk: Arc<Desk>) {
    let Ok(line) = visit.open() else {
        return;
    };
    let limits = Limits::of(&visit);
    let closes = visit
        .frontend()
        .http
        .as_ref()
        .is_some_and(|http| http.closes);
    let meter = Arc::new(Meter::new(visit));
    let service = service_fn(|request| {
        let (meter, desk) = (meter.clone(), desk.clone());
        async move { Ok::<_, Infallible>(answer::answer(request, &meter, &desk).await) }
    });
    let io = Metered {
        line,
        meter: meter.clone(),
    };
    let mut connection = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .auto_date_header(false)
        .half_close(true)
        .keep_alive(!closes)
        .serve_connection(TokioIo::new(io), service);
    let mut is_draining = false;
    let end = loop {
        let deadline = limits.deadline(&meter);
        tokio::select! {
            biased;
            () = meter.visit.cut() => break End::Cut,
            ended = &mut connection => break match ended {
                Err(error) if error.is_parse() => End::NoRequest,
                Ok(()) | Err(_) => End::Done,
            },
            () = meter.visit.drains(), if !is_draining => {
                is_draining = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
            () = meter.moved_on() => {}
            () = tokio::time::sleep_until(deadline.into()) => {
                // Bytes may have moved it on meanwhile.
                if limits.deadline(&meter) <= Instant::now() {
                    break End::TimedOut(meter.phase().0);
                }
            }
        }
    };
    let line = connection.into_parts().io.into_inner().line;
    finish(&meter, line, end).await;
}

/// Tells the client what is left to tell, and the log.
async fn finish(meter: &Meter, mut line: Line, end: End) {
    let visit = &meter.visit;
    let (phase, _, requests) = meter.phase();
    match end {
        End::NoRequest => {
            visit.count(400, Verdict::Bad);
            meter.log_bad(400, "PR");
            last_words(meter, &mut line, 400).await;
        }
        // The client left in the middle of a request, or instead of one.
        End::Done if phase == Phase::Head || requests == 0 => {
            if !(meter.is_null() && visit.frontend().log.skip_null) {
                if !meter.is_null() {
                    visit.count(400, Verdict::Bad);
                }
                meter.log_bad(400, "CR");
            }
        }
        End::TimedOut(Phase::Idle) if requests > 0 => {}
        End::TimedOut(Phase::Idle | Phase::Head) => {
            if !(meter.is_null() && visit.frontend().log.skip_null) {
                visit.count(408, Verdict::Bad);
                meter.log_bad(408, "cR");
            }
            last_words(meter, &mut line, 408).await;
        }
        End::TimedOut(_) => meter.give_up("cD"),
        End::Cut => meter.give_up("KD"),
        End::Done => meter.give_up("CD"),
    }
    // Nobody to wait for, whoever cut it.
    if !matches!(end, End::Cut) {
        // Fails where the client is gone, which is what is wanted.
        let _ = tokio::time::timeout(LAST_READS, part(&mut line)).await;
    }
}

async fn last_words(meter: &Meter, line: &mut Line, status: u16) {
    let http = meter.visit.frontend().http.as_ref();
    let own = http.and_then(|http| http.error_pages.get(&status).cloned());
    let words = own.unwrap_or_else(|| error_page::last_words(status));
    let written = tokio::time::timeout(LAST_READS, line.write_all(&words)).await;
    if matches!(written, Ok(Ok(()))) {
        meter.visit.moved(0, words.len() as u64);
    }
}

/// Closes so that the client still reads what it was sent: with a FIN, and what it sends
/// meanwhile is read, within bounds.
async fn part(line: &mut Line) {
    if line.shutdown().await.is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    let mut left = LAST_READS_BYTES;
    while let Ok(read @ 1..) = line.read(&mut buffer).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
    }
}

/// How long a client may take for what.
struct Limits {
    head: Duration,
    next: Duration,
    silence: Duration,
}

impl Limits {
    fn of(visit: &Visit) -> Self {
        let frontend = visit.frontend();
        let silence = frontend.client_timeout.unwrap_or(PATIENCE);
        let (head, next) = frontend.http.as_ref().map_or((None, None), |http| {
            (http.request_timeout, http.keep_alive_timeout)
        });
        let head = head.unwrap_or(silence);
        Self {
            head,
            next: next.unwrap_or(head),
            silence,
        }
    }

    fn deadline(&self, meter: &Meter) -> Instant {
        let (phase, since, requests) = meter.phase();
        let limit = match phase {
            Phase::Idle if requests > 0 => self.next,
            Phase::Idle | Phase::Head => self.head,
            // Whoever looks for the answer has limits of his own.
            Phase::Answering => self.silence.max(PATIENCE),
            Phase::Sending => self.silence,
        };
        since + limit
    }
}
