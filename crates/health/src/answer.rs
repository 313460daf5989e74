//! An HTTP answer as far as it has come in: a pure function of bytes, as tolerant as HAProxy.

use std::borrow::Cow;

/// What the bytes of an answer are so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// They may become one.
    Partial,
    /// They never will be one.
    Malformed,
    /// The headers are complete, the body perhaps.
    Answer(Answer<'a>),
}

/// An answer whose headers have come in.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status, whatever number it is.
    pub status: u32,
    /// The reason phrase; may be empty.
    pub reason: &'a [u8],
    /// Names and values as they came, without the white space around them.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The body so far, chunks joined.
    pub body: Cow<'a, [u8]>,
    /// What is to be thought of the body's end.
    pub end: End,
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is complete.
    Complete,
    /// More is to come.
    Open,
}

/// HAProxy's bound of headers (`tune.http.maxhdr`).
const MOST_HEADERS: usize = 101;

/// Reads the beginning of `bytes` as an answer; `has_body` is false after a HEAD request.
#[must_use]
pub fn parse_answer(bytes: &[u8], has_body: bool) -> Parsed<'_> {
    let mut rest = bytes;
    while let [b'\r' | b'\n', after @ ..] = rest {
        rest = after;
    }
    let (line, mut rest) = match next_line(rest) {
        Some(split) => split,
        None if may_become_status(rest) => return Parsed::Partial,
        None => return Parsed::Malformed,
    };
    let Some((status, reason)) = status_line(line) else {
        return Parsed::Malformed;
    };
    let mut headers: Vec<(&[u8], &[u8])> = Vec::new();
    loop {
        let Some((line, after)) = next_line(rest) else {
            return Parsed::Partial;
        };
        rest = after;
        match line {
            [] => break,
            // A value that goes on in the next line.
            [b' ' | b'\t', ..] if !headers.is_empty() => {}
            _ => match header(line) {
                Some(header) if headers.len() < MOST_HEADERS => headers.push(header),
                _ => return Parsed::Malformed,
            },
        }
    }
    let has_body = has_body && !matches!(status, 100..=199 | 204 | 304);
    let Some((body, end)) = body(&headers, rest, has_body) else {
        return Parsed::Malformed;
    };
    Parsed::Answer(Answer {
        status,
        reason,
        headers,
        body,
        end,
    })
}

/// The next line without its end, and what follows.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

fn may_become_status(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/";
    let compared = bytes.len().min(START.len());
    bytes[..compared] == START[..compared]
}

fn status_line(line: &[u8]) -> Option<(u32, &[u8])> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let [major, b'.', minor, b' ' | b'\t', rest @ ..] = rest else {
        return None;
    };
    if !major.is_ascii_digit() || !minor.is_ascii_digit() {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, reason) = rest.split_at(end);
    if !matches!(reason, [] | [b' ' | b'\t', ..]) {
        return None;
    }
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((status, reason.trim_ascii()))
}

fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return None;
    }
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (!name.is_empty() && name.iter().all(is_token)).then(|| (name, value.trim_ascii()))
}

/// The body and its end, or nothing where its length makes no sense.
fn body<'a>(
    headers: &[(&[u8], &[u8])],
    rest: &'a [u8],
    has_body: bool,
) -> Option<(Cow<'a, [u8]>, End)> {
    let mut length: Option<usize> = None;
    let mut is_chunked = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(b"content-length") {
            // Several that agree are one.
            for part in value.split(|byte| *byte == b',') {
                let number = digits(part.trim_ascii())?;
                if length.is_some_and(|length| length != number) {
                    return None;
                }
                length = Some(number);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
            // Where it ends is told by chunks alone.
            if !last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            is_chunked = true;
        }
    }
    Some(if !has_body {
        (Cow::Borrowed(&[][..]), End::Complete)
    } else if is_chunked {
        let (body, end) = chunks(rest)?;
        (Cow::Owned(body), end)
    } else if let Some(length) = length {
        let end = if rest.len() >= length {
            End::Complete
        } else {
            End::Open
        };
        (Cow::Borrowed(&rest[..rest.len().min(length)]), end)
    } else {
        (Cow::Borrowed(rest), End::Open)
    })
}

/// A number of digits alone: no sign.
fn digits(text: &[u8]) -> Option<usize> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_digits)?;
    text.parse().ok()
}

/// What chunks hold, or nothing where they make no sense.
fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, End)> {
    let mut body = Vec::new();
    loop {
        let Some((line, after)) = next_line(rest) else {
            return (rest.len() <= LONGEST_CHUNK_LINE).then_some((body, End::Open));
        };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
        let size = std::str::from_utf8(digits.trim_ascii())
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())?;
        if size == 0 {
            // What follows, trailers, is of no interest.
            return Some((body, End::Complete));
        }
        let Some(data) = after.get(..size) else {
            body.extend(after);
            return Some((body, End::Open));
        };
        body.extend(data);
        rest = match &after[size..] {
            [b'\r', b'\n', more @ ..] => more,
            [] | [b'\r'] => return Some((body, End::Open)),
            _ => return None,
        };
    }
}

/// A line before a chunk that is longer is none.
const LONGEST_CHUNK_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each as HAProxy 3.0 takes it: the status, or none for what it takes for no answer.
    #[test]
    fn answers_that_haproxy_understands() {
        type Understood<'a> = Option<(u32, &'a str)>;
        let table: [(&[u8], Understood<'_>); 24] = [
            (b"HTTP/1.0 200 OK\r\n\r\n", Some((200, "OK"))),
            (b"HTTP/1.0 200\r\n\r\n", Some((200, ""))),
            (b"HTTP/1.1 200 \r\n\r\n", Some((200, ""))),
            (b"HTTP/1.1 200 OK\n\n", Some((200, "OK"))),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Some((200, "OK"))),
            (b"HTTP/2.0 200 OK\r\n\r\n", Some((200, "OK"))),
            (b"HTTP/1.3 200 OK\r\n\r\n", Some((200, "OK"))),
            (b"HTTP/1.1 099 X\r\n\r\n", Some((99, "X"))),
            (b"HTTP/1.1 2000 X\r\n\r\n", Some((2000, "X"))),
            (
                b"HTTP/1.1 500 Not so good\r\nA: b\r\n\r\n",
                Some((500, "Not so good")),
            ),
            (b"hello world\r\n", None),
            (b"200 OK\r\n\r\n", None),
            (b"ICY 200 OK\r\n\r\n", None),
            (b"http/1.1 200 OK\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\nFoo bar\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None),
            (b"HTTP/1.1\t200\tOK\r\n\r\n", Some((200, "OK"))),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
                Some((200, "OK")),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", None),
            (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: a\r\n\r\nok", None),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                None,
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello",
                None,
            ),
        ];
        for (bytes, expected) in table {
            let found = match parse_answer(bytes, true) {
                Parsed::Answer(answer) => Some((answer.status, answer.reason)),
                Parsed::Malformed => None,
                Parsed::Partial => panic!("{:?} is whole", String::from_utf8_lossy(bytes)),
            };
            let expected = expected.map(|(status, reason)| (status, reason.as_bytes()));
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        let many = [
            &b"HTTP/1.1 200 OK\r\n"[..],
            &b"F: x\r\n".repeat(150),
            b"\r\n",
        ]
        .concat();
        assert_eq!(parse_answer(&many, true), Parsed::Malformed);
    }

    #[test]
    fn a_body_ends_where_its_headers_say() {
        let check = |text: &str, has_body, expected: (&str, End)| {
            let Parsed::Answer(answer) = parse_answer(text.as_bytes(), has_body) else {
                panic!("{text:?} has its headers");
            };
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!((body.as_str(), answer.end), expected, "{text:?}");
        };
        let plain = "HTTP/1.0 200 OK\r\n\r\nhello";
        check(plain, true, ("hello", End::Open));
        check(plain, false, ("", End::Complete));
        check("HTTP/1.0 204 No\r\n\r\n", true, ("", End::Complete));
        let sized = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n";
        check(&format!("{sized}he"), true, ("he", End::Open));
        check(&format!("{sized}hello"), true, ("hel", End::Complete));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n";
        check(
            &format!("{chunked}3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n"),
            true,
            ("hello", End::Complete),
        );
        check(&format!("{chunked}3\r\nhel\r\n2"), true, ("hel", End::Open));
        check(&format!("{chunked}5\r\nhel"), true, ("hel", End::Open));
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_it(bytes: Vec<u8>, has_body: bool) {
            let _ = parse_answer(&bytes, has_body);
            let _ = parse_answer(&[b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat(), has_body);
            let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = parse_answer(&[chunked, &bytes[..]].concat(), has_body);
        }

        /// What has come in so far never says something else than the whole.
        #[test]
        fn a_part_of_an_answer_is_no_other_answer(end in 0usize..90) {
            let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
            let part = &whole[..end.min(whole.len())];
            match parse_answer(part, true) {
                Parsed::Malformed => prop_assert!(false, "{part:?}"),
                Parsed::Answer(answer) => {
                    prop_assert_eq!(answer.status, 200);
                    prop_assert!(b"hello".starts_with(&answer.body));
                }
                Parsed::Partial => {}
            }
        }
    }
}
