//! `evenkeel reload` and `evenkeel upgrade`: a visit to the master's socket of a running process, which
//! waits for what comes of it, so that a service manager and a script hear of a failure and its reason.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::Exit;
use crate::cli::Order;
use crate::diagnostics::{print, say};

/// A load may have to look up the names of every server of a file.
const PATIENCE: Duration = Duration::from_secs(150);
/// More than any load says.
const LONGEST_ANSWER: u64 = 16 << 20;

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
            let socket = order.socket.display();
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
    let path = order.socket.display();
    let mut stream = UnixStream::connect(&order.socket).map_err(|error| match error.kind() {
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
    let lost = |error: io::Error| format!("{path}: {error}");
    let end = Instant::now() + patience;
    stream.set_write_timeout(Some(patience)).map_err(lost)?;
    writeln!(stream, "{}", order.command).map_err(lost)?;
    // There is no second command to wait for.
    stream.shutdown(Shutdown::Write).map_err(lost)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() as u64 > LONGEST_ANSWER {
            return Err(format!("{path}: no answer within {} s", patience.as_secs()));
        }
        stream.set_read_timeout(Some(left)).map_err(lost)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
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
            socket: socket.clone(),
        };
        let why = ask(&order, PATIENCE).unwrap_err();
        assert!(why.contains("is evenkeel running"), "{why}");
        let _listener = UnixListener::bind(&socket).unwrap();
        let why = ask(&order, Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("no answer within"), "{why}");
        std::fs::remove_file(&socket).unwrap();
    }
}
