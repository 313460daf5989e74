//! `evenkeel reload` and `evenkeel upgrade`: a visit to the master's socket of a running process, which
//! waits for what comes of it, so that a service manager and a script hear of a failure and its reason.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::Exit;
use crate::cli::Order;
use crate::diagnostics::{print, say};
use crate::health::{Door, on_this_machine};
use crate::question::{self, After, is_silence};

/// A load may have to look up the names of every server of a file.
const PATIENCE: Duration = Duration::from_secs(150);
/// More than any load says.
const LONGEST_ANSWER_BYTES: usize = 16 << 20;

/// Has it done: 0 if it was, 1 and the reason if not.
pub(crate) fn give(order: &Order) -> Exit {
    let answer = match ask(order, PATIENCE) {
        Ok(answer) => answer,
        Err(why) => {
            say(format!("cannot {}: {why}", order.command));
            return Exit::Code(1);
        }
    };
    match answer.split_once("\n--\n") {
        Some(("Success=1", log)) => {
            print(lines(log));
            Exit::Code(0)
        }
        Some(("Success=0", log)) => {
            say(format!("{}{} failed", lines(log), order.command));
            Exit::Code(1)
        }
        _ => {
            let answer = answer.trim();
            let answer = if answer.is_empty() {
                "it ended without an answer"
            } else {
                answer
            };
            let socket = &order.socket;
            say(format!("cannot {}: {socket}: {answer}", order.command));
            Exit::Code(1)
        }
    }
}

/// What was said, each line once ended.
fn lines(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

fn ask(order: &Order, patience: Duration) -> Result<String, String> {
    let path = &order.socket;
    let stream = match path {
        Door::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
        Door::Inet(address) | Door::Admin(address) => {
            TcpStream::connect_timeout(&on_this_machine(*address), patience).map(OwnedFd::from)
        }
    };
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("nobody listens on {path}: is evenkeel running, with -Ws -S {path}?")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "{path}: permission denied; try it as root, or as the user that evenkeel runs as"
            )
        }
        _ => format!("{path}: {error}"),
    })?;
    let silent = || format!("{path}: no answer within {} s", patience.as_secs());
    let words = format!("{}\n", order.command);
    let socket = Socket::from(stream);
    let end = Instant::now() + patience;
    let answer = question::ask(&socket, &words, After::Leave, end, LONGEST_ANSWER_BYTES);
    answer.map_err(|error| match is_silence(&error) {
        true => silent(),
        false => format!("{path}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn whoever_does_not_answer_is_not_waited_for_for_ever() {
        let socket = std::env::temp_dir().join(format!("evenkeel-order-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let order = Order {
            command: "reload",
            socket: Door::Unix(socket.clone()),
        };
        let why = ask(&order, PATIENCE).unwrap_err();
        assert!(why.contains("is evenkeel running"), "{why}");
        let _listener = UnixListener::bind(&socket).unwrap();
        let why = ask(&order, Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("no answer within"), "{why}");
        std::fs::remove_file(&socket).unwrap();
    }
}
