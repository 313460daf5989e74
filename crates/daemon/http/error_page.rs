//! Answers that say what went wrong, as HAProxy words them.

use hyper::StatusCode;
use hyper::body::Bytes;

/// Each status that has a page: its reason as HAProxy writes it, and what the page says.
const PAGES: [(u16, &str, &str); 19] = [
    (200, "OK", "Service ready."),
    (400, "Bad request", "Your browser sent an invalid request."),
    (
        401,
        "Unauthorized",
        "You need a valid user and password to access this content.",
    ),
    (
        403,
        "Forbidden",
        "Request forbidden by administrative rules.",
    ),
    (404, "Not Found", "The resource could not be found."),
    (
        405,
        "Method Not Allowed",
        "A request was made of a resource using a request method not supported by that resource",
    ),
    (
        407,
        "Unauthorized",
        "You need a valid user and password to access this content.",
    ),
    (
        408,
        "Request Time-out",
        "Your browser didn't send a complete request in time.",
    ),
    (
        410,
        "Gone",
        "The resource is no longer available and will not be available again.",
    ),
    (
        413,
        "Payload Too Large",
        "The request entity exceeds the maximum allowed.",
    ),
    (
        421,
        "Misdirected Request",
        "Request sent to a non-authoritative server.",
    ),
    (
        422,
        "Unprocessable Content",
        "The server cannot process the contained instructions.",
    ),
    (425, "Too Early", "Your browser sent early data."),
    (
        429,
        "Too Many Requests",
        "You have sent too many requests in a given amount of time.",
    ),
    (
        500,
        "Internal Server Error",
        "An internal server error occurred.",
    ),
    (
        501,
        "Not Implemented",
        ".The server does not support the functionality required to fulfill the request.",
    ),
    (
        502,
        "Bad Gateway",
        "The server returned an invalid or incomplete response.",
    ),
    (
        503,
        "Service Unavailable",
        "No server is available to handle this request.",
    ),
    (
        504,
        "Gateway Time-out",
        "The server didn't respond in time.",
    ),
];

/// The reason that stands behind `status`.
pub(super) fn reason(status: u16) -> &'static str {
    let own = PAGES.iter().find(|(known, ..)| *known == status);
    let known = || StatusCode::from_u16(status).ok()?.canonical_reason();
    own.map(|(_, reason, _)| *reason)
        .or_else(known)
        .unwrap_or("")
}

/// The page of `status`; empty where there is none.
pub(super) fn body(status: u16) -> Bytes {
    let Some((_, reason, text)) = PAGES.iter().find(|(known, ..)| *known == status) else {
        return Bytes::new();
    };
    Bytes::from(format!(
        "<html><body><h1>{status} {reason}</h1>\n{text}\n</body></html>\n"
    ))
}

/// A whole answer to what was no request, after which the connection ends.
pub(super) fn last_words(status: u16) -> Vec<u8> {
    let body = body(status);
    let mut answer = format!(
        "HTTP/1.1 {status} {}\r\nContent-length: {}\r\nCache-Control: no-cache\r\n\
         Connection: close\r\nContent-Type: text/html\r\n\r\n",
        reason(status),
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_haproxys_to_the_byte() {
        assert_eq!(
            body(200),
            "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"
        );
        assert_eq!((body(200).len(), body(503).len()), (58, 107));
        assert_eq!(
            (body(400).len(), body(401).len(), body(408).len()),
            (90, 112, 110)
        );
        assert_eq!((body(405).len(), body(418).len()), (146, 0));
        assert_eq!(
            (reason(400), reason(503)),
            ("Bad request", "Service Unavailable")
        );
        assert_eq!((reason(418), reason(999)), ("I'm a teapot", ""));
        let last = String::from_utf8(last_words(400)).unwrap();
        assert!(
            last.starts_with("HTTP/1.1 400 Bad request\r\nContent-length: 90\r\n"),
            "{last}"
        );
    }
}
