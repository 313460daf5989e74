//! What a client sends, looked at before anything is done with it: the bytes stay in the kernel's
//! buffer, from where they are relayed later.

mod hello;

use std::borrow::Cow;

use evenkeel_config::rules::{Content, Found, Sample};
use rustix::net::{RecvFlags, recv};

use crate::relay::Stream;
use hello::Hello;

/// As much as is ever looked at: HAProxy's `tune.bufsize`. A ClientHello is far shorter.
const MOST_BYTES: usize = 16 << 10;

/// What a client has sent so far.
pub(crate) struct Sent {
    bytes: Vec<u8>,
    /// Whether rules have to do with what is there: no more is waited for.
    is_final: bool,
}

impl Default for Sent {
    /// Nothing, and nothing is waited for.
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            is_final: true,
        }
    }
}

/// What one look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// More may come.
    More,
    /// No more will come, or would be looked at.
    Complete,
    /// The client broke the connection off.
    Reset,
}

impl Sent {
    /// From now on more is waited for.
    pub(crate) fn begin_to_wait(&mut self) {
        self.is_final = false;
    }

    /// From now on what is there is all.
    pub(crate) fn stop_waiting(&mut self) {
        self.is_final = true;
    }

    /// How many bytes the last look saw.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Looks at what is there.
    pub(crate) fn look(&mut self, stream: &Stream) -> Look {
        self.bytes.resize(MOST_BYTES, 0);
        let looked = recv(stream, &mut self.bytes[..], RecvFlags::PEEK);
        let (length, look) = match looked {
            Ok((_, 0)) => (0, Look::Complete),
            Ok((_, MOST_BYTES)) => (MOST_BYTES, Look::Complete),
            Ok((_, length)) => (length, Look::More),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => (0, Look::More),
            Err(_) => (0, Look::Reset),
        };
        self.bytes.truncate(length);
        look
    }

    /// What `content` finds in it.
    pub(crate) fn find(&self, content: &Content) -> Found<'_> {
        let may_change = !self.is_final;
        let length = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        match content {
            Content::WaitEnd if may_change => Found::not_yet(),
            Content::WaitEnd => Found::final_value(Sample::Bool(true)),
            Content::Length => Found {
                may_change,
                ..Found::final_value(Sample::Int(length))
            },
            Content::Payload { offset, length } => {
                let end = match length {
                    0 => self.bytes.len(),
                    length => offset.saturating_add(*length),
                };
                let part = self.bytes.get(*offset..end);
                Found {
                    may_change: may_change && (part.is_none() || *length == 0),
                    ..Found::final_value(part.map(|part| Sample::Text(Cow::Borrowed(part))))
                }
            }
            content => match hello::parse(&self.bytes) {
                Hello::Partial => Found {
                    may_change,
                    ..Found::final_value(None)
                },
                Hello::Other => Found::final_value(None),
                Hello::Client(hello) => match content {
                    Content::HelloType => Found::final_value(Sample::Int(1)),
                    Content::TlsVersion => Found::final_value(Sample::Int(hello.version)),
                    Content::ServerName => Found::final_value(hello.server_name.map(text)),
                    _ => {
                        let mut protocols = hello.protocols.into_iter().map(text);
                        Found {
                            sample: protocols.next(),
                            others: protocols.collect(),
                            may_change: false,
                        }
                    }
                },
            },
        }
    }
}

fn text(bytes: Vec<u8>) -> Sample<'static> {
    Sample::Text(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bytes: &[u8], is_final: bool) -> Sent {
        Sent {
            bytes: bytes.to_vec(),
            is_final,
        }
    }

    #[track_caller]
    fn check(
        bytes: &[u8],
        is_final: bool,
        content: &Content,
        sample: Option<Sample<'_>>,
        more: bool,
    ) {
        let sent = sent(bytes, is_final);
        let expected = Found {
            may_change: more,
            ..Found::final_value(sample)
        };
        assert_eq!(sent.find(content), expected, "{content:?}");
    }

    #[test]
    fn bytes_are_found_once_they_are_there() {
        let payload = |offset, length| Content::Payload { offset, length };
        let text = |text: &'static str| Some(Sample::text(text));
        check(b"", false, &Content::WaitEnd, None, true);
        check(
            b"",
            true,
            &Content::WaitEnd,
            Some(Sample::Bool(true)),
            false,
        );
        check(b"ab", false, &Content::Length, Some(Sample::Int(2)), true);
        check(b"ab", true, &Content::Length, Some(Sample::Int(2)), false);
        check(b"abc", false, &payload(1, 2), text("bc"), false);
        check(b"abc", false, &payload(1, 3), None, true);
        check(b"abc", true, &payload(1, 3), None, false);
        check(b"abc", false, &payload(1, 0), text("bc"), true);
        check(b"abc", true, &payload(9, usize::MAX), None, false);
        let hello = hello::tests::hello("api.example.com", 99);
        let hello = sent(&hello, true);
        let found = hello.find(&Content::Alpn);
        assert_eq!(found.sample, Some(Sample::text("h2")));
        assert_eq!(found.others, [Sample::text("http/1.1")]);
        check(b"\x16\x03", false, &Content::HelloType, None, true);
        check(b"GET ", false, &Content::HelloType, None, false);
    }
}
