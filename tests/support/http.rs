//! Requests as a browser, a probe or a scraper sends them, byte by byte where it matters.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wait::PATIENCE;

/// Sends `bytes` and returns all that comes until the other side ends the connection.
pub(crate) fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// One request of `method` with these headers, after which the connection ends.
pub(crate) fn ask(address: SocketAddr, method: &str, target: &str, headers: &str) -> String {
    exchange(
        address,
        &format!("{method} {target} HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n{headers}\r\n"),
    )
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1);
    word.and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"))
}
