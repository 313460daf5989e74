//! The line of a request that was answered here: `option httplog`.

use std::fmt::Write;
use std::time::Duration;

use evenkeel_config::SessionLogFormat;

use super::clock::{self, Kind};
use super::session::{Counts, Peer};
use crate::local::Answer;

/// A request, and where it came in.
#[derive(Debug)]
pub(crate) struct HttpRecord<'a> {
    pub(crate) client: Peer,
    pub(crate) frontend: &'a str,
    pub(crate) answer: &'a Answer<'a>,
    pub(crate) counts: Counts,
}

impl HttpRecord<'_> {
    /// `%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq
    /// %{+Q}r`, or of that what `option tcplog` tells.
    pub(crate) fn line(&self, format: SessionLogFormat) -> String {
        let Answer {
            backend,
            server,
            status,
            bytes,
            end,
            request,
            head,
            is_served,
            answered,
            total,
            began,
        } = *self.answer;
        let Counts {
            process,
            frontend: inside,
            ..
        } = self.counts;
        let mut line = clock::with(Kind::Began, began, |second, rest| {
            format!(
                "{} [{}.{:03}] {} {backend}/{server} ",
                self.client,
                second.session,
                rest.as_millis(),
                self.frontend,
            )
        });
        let reached = if is_served { 0 } else { -1 };
        let total = total.as_millis();
        let written = if format == SessionLogFormat::Http {
            write!(
                line,
                "{}/{reached}/{reached}/{}/{total} {status} {bytes} - - {end}-- \
                 {process}/{inside}/0/0/0 0/0 \"{}\"",
                millis(head),
                millis(answered),
                request.map_or_else(|| "<BADREQ>".to_owned(), shown),
            )
        } else {
            write!(
                line,
                "{reached}/{reached}/{total} {bytes} {end} {process}/{inside}/0/0/0 0/0"
            )
        };
        written.expect("writing to memory does not fail");
        line
    }
}

/// What a client sent, so that it can neither end the line nor the quotes.
fn shown(request: &str) -> String {
    let mut text = String::with_capacity(request.len());
    for byte in request.bytes() {
        match byte {
            b' '..=b'~' if byte != b'"' => text.push(char::from(byte)),
            _ => text.push_str(&format!("#{byte:02X}")),
        }
    }
    text
}

fn millis(took: Option<Duration>) -> i64 {
    took.map_or(-1, |took| {
        i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[track_caller]
    fn check(format: SessionLogFormat, answer: Answer<'_>, expected: &str) {
        let record = HttpRecord {
            client: Peer::new(Some("10.0.0.1:4000".parse().unwrap()), 0),
            frontend: "fe",
            answer: &answer,
            counts: Counts {
                process: 3,
                frontend: 2,
                backend: 0,
                server: 0,
            },
        };
        let line = record.line(format);
        let (before, rest) = line.split_once(" [").unwrap();
        let (_, after) = rest.split_once("] ").unwrap();
        assert_eq!(format!("{before} {after}"), expected);
    }

    const ANSWER: Answer<'_> = Answer {
        backend: "fe",
        server: "<STATS>",
        status: 200,
        bytes: 6873,
        end: "LR",
        request: Some("GET /;csv HTTP/1.1"),
        began: SystemTime::UNIX_EPOCH,
        head: Some(Duration::from_millis(1)),
        is_served: true,
        answered: Some(Duration::from_millis(2)),
        total: Duration::from_millis(3),
    };

    #[test]
    fn lines_are_haproxys() {
        check(
            SessionLogFormat::Http,
            ANSWER,
            "10.0.0.1:4000 fe fe/<STATS> 1/0/0/2/3 200 6873 - - LR-- 3/2/0/0/0 0/0 \
             \"GET /;csv HTTP/1.1\"",
        );
        let unserved = Answer {
            server: "<NOSRV>",
            status: 400,
            bytes: 0,
            end: "PR",
            request: None,
            head: None,
            is_served: false,
            answered: None,
            ..ANSWER
        };
        check(
            SessionLogFormat::Http,
            unserved,
            "10.0.0.1:4000 fe fe/<NOSRV> -1/-1/-1/-1/3 400 0 - - PR-- 3/2/0/0/0 0/0 \"<BADREQ>\"",
        );
        check(
            SessionLogFormat::Tcp,
            ANSWER,
            "10.0.0.1:4000 fe fe/<STATS> 0/0/3 6873 LR 3/2/0/0/0 0/0",
        );
    }

    #[test]
    fn a_request_cannot_forge_a_line() {
        assert_eq!(
            shown("GET /\"\n\u{e9} HTTP/1.1"),
            "GET /#22#0A#C3#A9 HTTP/1.1"
        );
    }
}
