//! Asks a balancer over its stats socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::wait::{PATIENCE, until};

/// The whole answer to a line, as it comes.
pub(crate) fn ask(socket: &Path, line: &str) -> String {
    let mut stream = until("the stats socket takes visitors", || {
        UnixStream::connect(socket).ok()
    });
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
