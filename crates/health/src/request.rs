//! The HTTP requests of checks, as HAProxy writes them.

use evenkeel_config::check::Request;

use crate::values::Values;

/// A request as it goes out. `state` is `http-check send-state`'s.
pub(crate) fn bytes(request: &Request, state: Option<&str>, values: &Values<'_>) -> Vec<u8> {
    let is_old = matches!(&*request.version, "HTTP/1.0" | "HTTP/0.9");
    // Checks speak HTTP/1.1 at most.
    let version = if is_old { &request.version } else { "HTTP/1.1" };
    let mut text = format!("{} ", request.method).into_bytes();
    text.extend(values.text(&request.uri));
    text.extend(format!(" {version}\r\n").into_bytes());
    let mut header = |name: &str, value: &[u8]| {
        text.extend(name.as_bytes());
        text.extend(b": ");
        text.extend(value);
        text.extend(b"\r\n");
    };
    let mut says_connection = false;
    let mut closes = false;
    for (name, template) in &request.headers {
        let value = values.text(template);
        if name != "connection" {
            header(name, &value);
            continue;
        }
        says_connection = true;
        closes |= has_word(&value, b"close");
        // What goes without saying in this version is not said, and "close" is said at the end.
        let unsaid: &[u8] = if is_old { b"close" } else { b"keep-alive" };
        let kept: Vec<&[u8]> = words(&value)
            .filter(|word| {
                !word.eq_ignore_ascii_case(unsaid) && !word.eq_ignore_ascii_case(b"close")
            })
            .collect();
        if !kept.is_empty() {
            header(name, &kept.join(&b", "[..]));
        }
    }
    if let Some(state) = state {
        header("x-haproxy-server-state", state.as_bytes());
    }
    let body = values.text(&request.body);
    let is_bodiless = matches!(&*request.method, "GET" | "HEAD" | "OPTIONS" | "DELETE");
    if !body.is_empty() || !is_bodiless {
        header("content-length", body.len().to_string().as_bytes());
    }
    if !is_old && (!says_connection || closes) {
        header("connection", b"close");
    }
    text.extend(b"\r\n");
    text.extend(body);
    text
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}

fn has_word(value: &[u8], wanted: &[u8]) -> bool {
    words(value).any(|word| word.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use evenkeel_config::check::Template;

    use super::*;

    /// Each captured from HAProxy 3.0.
    #[test]
    fn requests_are_what_haproxy_sends() {
        let check = |start: [&str; 3], headers: &[(&str, &str)], body: &str, expected: &str| {
            let [method, uri, version] = start;
            let request = Request {
                method: method.to_owned(),
                uri: Template::literal(uri),
                version: version.to_owned(),
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), Template::literal(*value)))
                    .collect(),
                body: Template::literal(body),
            };
            let sent = bytes(&request, None, &Values::default());
            assert_eq!(String::from_utf8(sent).unwrap(), expected);
        };
        check(
            ["OPTIONS", "/", "HTTP/1.0"],
            &[],
            "",
            "OPTIONS / HTTP/1.0\r\n\r\n",
        );
        check(
            ["GET", "/healthz", "HTTP/1.0"],
            &[],
            "",
            "GET /healthz HTTP/1.0\r\n\r\n",
        );
        check(
            ["GET", "/readyz", "HTTP/1.1"],
            &[("host", "k8s")],
            "",
            "GET /readyz HTTP/1.1\r\nhost: k8s\r\nconnection: close\r\n\r\n",
        );
        check(
            ["POST", "/p", "HTTP/1.1"],
            &[("host", "a"), ("connection", "keep-alive")],
            "hello",
            "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        );
        check(
            ["PUT", "/", "HTTP/1.0"],
            &[],
            "",
            "PUT / HTTP/1.0\r\ncontent-length: 0\r\n\r\n",
        );
        check(
            ["FOO", "*", "HTTP/2.0"],
            &[],
            "",
            "FOO * HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
        check(
            ["GET", "/", "HTTP/1.0"],
            &[("connection", "keep-alive")],
            "",
            "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        );
        check(
            ["GET", "/", "HTTP/1.0"],
            &[("connection", "close")],
            "",
            "GET / HTTP/1.0\r\n\r\n",
        );
        check(
            ["GET", "/", "HTTP/1.1"],
            &[("connection", "close"), ("a", "b")],
            "",
            "GET / HTTP/1.1\r\na: b\r\nconnection: close\r\n\r\n",
        );
        check(
            ["GET", "/", "HTTP/1.1"],
            &[("connection", "keep-alive,foo")],
            "",
            "GET / HTTP/1.1\r\nconnection: foo\r\n\r\n",
        );
    }
}
