//! `evenkeel health`: asks a running evenkeel whether it serves, for keepalived's track script and a
//! container's health check. One line and an exit code, in bounded time. Knows nothing of servers:
//! see `vitals`, which answers.

use std::fmt::{self, Write as _};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::Exit;
use crate::diagnostics::print;
use crate::question::{self, After, is_silence, left};
use crate::vitals::{LEAVING, NOT_SERVING, PATH, SERVING};

/// Where the package's unit takes the master's commands.
pub(crate) const MASTER_SOCKET: &str = "/run/evenkeel/master.sock";
/// Where the package's configuration serves metrics.
pub(crate) const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9101);
/// How long silence is taken for work. Together with `FIRM` and `STEP` it decides how soon the address
/// moves.
pub(crate) const PATIENCE: Duration = Duration::from_millis(800);
/// How long a process may be gone, or say that it does not serve, before that counts: a restart in a
/// moment is no reason to move an address.
const FIRM: Duration = Duration::from_millis(300);
/// How much of `PATIENCE` one may take that said that its sockets are kept: a restart has new clients
/// wait for a second at most (docs/operations.md).
const RESTART: (u32, u32) = (3, 2);
/// Between two looks with `--for`.
const STEP: Duration = Duration::from_millis(250);
/// Until a process that is gone is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// An answer is a line and an HTTP head.
const LONGEST_ANSWER_BYTES: usize = 4096;

/// Whom to ask, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// In this order: the first that can be reached decides. None: those of the package's unit.
    pub(crate) doors: Vec<Door>,
    /// `--timeout`.
    pub(crate) patience: Duration,
    /// `--for`: how long to go on looking while it serves.
    pub(crate) span: Duration,
    /// `-q`: the exit code alone.
    pub(crate) is_quiet: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            doors: Vec::new(),
            patience: PATIENCE,
            span: Duration::ZERO,
            is_quiet: false,
        }
    }
}

/// Where a process can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `--admin`: over HTTP.
    Admin(SocketAddr),
    /// `-S`: the master's socket, or a stats socket.
    Unix(PathBuf),
    /// The same on an address and port.
    Inet(SocketAddr),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(address) => write!(f, "http://{address}{PATH}"),
            Self::Unix(path) => path.display().fmt(f),
            Self::Inet(address) => address.fmt(f),
        }
    }
}

/// Asks, says one line, and ends with 0 if it serves, else with 1.
pub(crate) fn run(health: &Health) -> Exit {
    let (line, code) = match watch(health) {
        Ok(line) => (line, 0),
        Err(line) => (line, 1),
    };
    if !health.is_quiet {
        print(format!("{line}\n"));
    }
    Exit::Code(code)
}

/// What was learnt at a door.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// At this door.
    Serves(String),
    /// It says itself that it does not, or is none of ours.
    Ill(String),
    /// It says that it ends, and that its sockets are kept until another one serves or none will.
    Leaves(String),
    /// It is there and says nothing.
    Silent(String),
    /// Nobody is there, or not for us.
    Absent(String),
}

/// Looks once, or every `STEP` while it serves: keepalived comes once a second.
fn watch(health: &Health) -> Result<String, String> {
    let end = Instant::now() + health.span;
    loop {
        let begun = Instant::now();
        let line = ask(health)?;
        if begun >= end {
            return Ok(line);
        }
        let next = end.min(begun + STEP);
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
}

fn ask(health: &Health) -> Result<String, String> {
    let usual = [Door::Unix(MASTER_SOCKET.into()), Door::Admin(ADMIN)];
    let doors = match health.doors.as_slice() {
        [] => &usual,
        doors => doors,
    };
    let keeps = doors.iter().any(|door| matches!(door, Door::Admin(_)));
    let start = Instant::now();
    let mut deadline = start + health.patience;
    let mut firm = start + health.patience.min(FIRM);
    let mut leaves = false;
    loop {
        let why = match ask_all(doors, deadline) {
            Answer::Serves(door) => return Ok(format!("{SERVING} ({door})")),
            Answer::Silent(why) => return Err(format!("{NOT_SERVING}{why}")),
            // The kernel takes no visitor for it any more: nobody follows.
            Answer::Absent(why) if leaves && keeps => return Err(format!("{NOT_SERVING}{why}")),
            Answer::Ill(why) | Answer::Absent(why) => format!("{NOT_SERVING}{why}"),
            Answer::Leaves(why) => {
                if !leaves {
                    leaves = true;
                    deadline = Instant::now() + health.patience * RESTART.0 / RESTART.1;
                    firm = deadline;
                }
                format!("{NOT_SERVING}{why}")
            }
        };
        if Instant::now() + PAUSE >= firm {
            return Err(why);
        }
        // Nobody wakes this thread: it waits for that long.
        std::thread::park_timeout(PAUSE);
    }
}

/// The first door where somebody is decides; if there is none, all are named.
fn ask_all(doors: &[Door], deadline: Instant) -> Answer {
    let mut absent = String::new();
    for door in doors {
        match ask_at(door, deadline) {
            Answer::Absent(why) => {
                let separator = if absent.is_empty() { "" } else { "; " };
                let _ = write!(absent, "{separator}{why}");
            }
            answer => return answer,
        }
    }
    Answer::Absent(absent)
}

fn ask_at(door: &Door, deadline: Instant) -> Answer {
    let stream = match connect(door, deadline) {
        Ok(stream) => stream,
        // A Unix socket's line of waiting visitors is full: nobody accepts.
        Err(error) if is_silence(&error) => {
            return Answer::Silent(format!("it hangs: {door} accepts no visitor"));
        }
        Err(error) => return Answer::Absent(format!("{door}: {}", system(&error))),
    };
    let words = match door {
        Door::Admin(_) => format!("GET {PATH} HTTP/1.0\r\n\r\n"),
        // The master understands the first command, a stats socket the second.
        Door::Unix(_) | Door::Inet(_) => "@1 show health;show health\n".to_owned(),
    };
    let after = match door {
        Door::Admin(_) => After::Stay,
        Door::Unix(_) | Door::Inet(_) => After::Leave,
    };
    match question::ask(&stream, &words, after, deadline, LONGEST_ANSWER_BYTES) {
        Ok(answer) => {
            let said = match door {
                Door::Admin(_) => page(&answer),
                Door::Unix(_) | Door::Inet(_) => reply(&answer),
            };
            match said {
                Ok(Ok(())) => Answer::Serves(door.to_string()),
                Ok(Err(why)) if LEAVING.strip_prefix(NOT_SERVING) == Some(&why) => {
                    Answer::Leaves(format!("{why} ({door})"))
                }
                Ok(Err(why)) => Answer::Ill(format!("{why} ({door})")),
                Err(instead) => {
                    Answer::Ill(format!("{door} is not evenkeel's, it answers {instead}"))
                }
            }
        }
        Err(error) if is_silence(&error) => {
            Answer::Silent(format!("it hangs: {door} does not answer in time"))
        }
        Err(error) => Answer::Ill(format!("{door} breaks off: {}", system(&error))),
    }
}

/// What the system says, without its number.
fn system(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

fn connect(door: &Door, deadline: Instant) -> io::Result<Socket> {
    match door {
        Door::Admin(address) | Door::Inet(address) => {
            let address = on_this_machine(*address);
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.connect_timeout(&address.into(), left(deadline)?)?;
            Ok(socket)
        }
        Door::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // At once or never: else it would wait for room in the line (EAGAIN, connect(2)).
            socket.set_nonblocking(true)?;
            socket.connect(&SockAddr::unix(path)?)?;
            socket.set_nonblocking(false)?;
            Ok(socket)
        }
    }
}

/// Who listens on every address is asked on loopback.
pub(crate) fn on_this_machine(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    address
}

/// What an HTTP answer says; the error is what another program said.
fn page(answer: &str) -> Result<Said, String> {
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or("nothing");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match (status, said(body.trim_end())) {
        ("200" | "503", Some(said)) => Ok(said),
        _ => Err(status.chars().take(20).collect()),
    }
}

/// What a socket's answer says.
fn reply(answer: &str) -> Result<Said, String> {
    answer.lines().find_map(said).ok_or_else(|| {
        let first = answer.lines().find(|line| !line.trim().is_empty());
        let first: String = first.unwrap_or_default().chars().take(60).collect();
        format!("'{first}'")
    })
}

/// `Err`: why it does not serve.
type Said = Result<(), String>;

fn said(line: &str) -> Option<Said> {
    match line.strip_prefix(NOT_SERVING) {
        Some(why) => Some(Err(why.to_owned())),
        None => (line == SERVING).then_some(Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn health(doors: Vec<Door>) -> Health {
        Health {
            doors,
            ..Health::default()
        }
    }

    /// A program that answers every visitor with `answer`.
    fn program(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    #[test]
    fn answers_are_told_apart() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\nserving\n", Ok(Ok(()))),
            (
                "HTTP/1.1 503 No\r\n\r\nnot serving: it drains\n",
                Ok(Err("it drains".to_owned())),
            ),
            (
                "HTTP/1.1 404 Not Found\r\n\r\nserving\n",
                Err("404".to_owned()),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", Err("200".to_owned())),
            ("", Err("nothing".to_owned())),
        ] {
            assert_eq!(page(answer), expected, "{answer:?}");
        }
        let unknown = "Unknown command: '@1', but maybe ...\n  help\n\n";
        for (answer, expected) in [
            (
                "serving\n\nUnknown command: 'show'\n".to_owned(),
                Ok(Ok(())),
            ),
            (format!("{unknown}serving\n\n"), Ok(Ok(()))),
            ("not serving: why\n\n".to_owned(), Ok(Err("why".to_owned()))),
            (
                "Permission denied\n".to_owned(),
                Err("'Permission denied'".to_owned()),
            ),
        ] {
            assert_eq!(reply(&answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_first_door_where_somebody_is_decides() {
        let good = program("HTTP/1.1 200 OK\r\n\r\nserving\n");
        let other = program("HTTP/1.1 404 Not Found\r\n\r\n");
        let nowhere = Door::Unix("/nonexistent/master.sock".into());
        let line = ask(&health(vec![nowhere.clone(), Door::Admin(good)]));
        assert_eq!(line, Ok(format!("serving (http://{good}/serving)")));
        let line = ask(&health(vec![Door::Admin(other), Door::Admin(good)]));
        assert_eq!(
            line,
            Err(format!(
                "not serving: http://{other}/serving is not evenkeel's, it answers 404"
            ))
        );
        assert_eq!(
            ask(&health(vec![nowhere])),
            Err("not serving: /nonexistent/master.sock: no such file or directory".to_owned())
        );
    }

    /// The kernel takes visitors for a process that does not: TCP and Unix alike, also when its line
    /// of waiting visitors is full.
    #[test]
    fn a_process_that_hangs_is_found_out_in_time() {
        let folder = std::env::temp_dir().join(format!("evenkeel-health-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("master.sock");
        let _ = std::fs::remove_file(&path);
        let unix = UnixListener::bind(&path).unwrap();
        let full = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let full_path = folder.join("full.sock");
        let _ = std::fs::remove_file(&full_path);
        full.bind(&SockAddr::unix(&full_path).unwrap()).unwrap();
        full.listen(0).unwrap();
        let waiting = std::os::unix::net::UnixStream::connect(&full_path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        for door in [
            Door::Unix(path),
            Door::Unix(full_path),
            Door::Admin(tcp.local_addr().unwrap()),
        ] {
            let start = Instant::now();
            let mut health = health(vec![door]);
            health.patience = Duration::from_millis(200);
            let line = ask(&health).unwrap_err();
            assert!(line.starts_with("not serving: it hangs: "), "{line}");
            assert!(start.elapsed() < Duration::from_secs(5), "{line}");
        }
        drop((unix, waiting, full));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A program that says to each visitor the next of `answers`, and is gone after the last.
    fn leaving(answers: Vec<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{answer}\n").as_bytes());
            }
        });
        address
    }

    #[test]
    fn one_that_leaves_is_waited_for_until_its_sockets_are_gone() {
        let restart = leaving([vec![LEAVING; 10], vec![SERVING]].concat());
        let line = ask(&health(vec![Door::Admin(restart)]));
        assert_eq!(line, Ok(format!("serving (http://{restart}/serving)")));
        let stop = leaving(vec![LEAVING; 2]);
        let start = Instant::now();
        let mut question = health(vec![Door::Admin(stop)]);
        question.patience = Duration::from_secs(60);
        let line = ask(&question).unwrap_err();
        assert!(line.contains("connection refused"), "{line}");
        assert!(start.elapsed() < Duration::from_secs(30), "{line}");
        let for_ever = leaving(vec![LEAVING; 1000]);
        question = health(vec![Door::Admin(for_ever)]);
        question.patience = Duration::from_millis(200);
        let line = ask(&question).unwrap_err();
        assert!(line.contains("its sockets are kept"), "{line}");
    }

    #[test]
    fn with_a_span_it_looks_until_one_look_fails() {
        let ends = leaving(vec![SERVING, SERVING]);
        let mut question = health(vec![Door::Admin(ends)]);
        question.patience = Duration::from_millis(100);
        question.span = Duration::from_secs(60);
        let line = watch(&question).unwrap_err();
        assert!(line.contains("connection refused"), "{line}");
        question.doors = vec![Door::Admin(program("HTTP/1.1 200 OK\r\n\r\nserving\n"))];
        question.span = STEP * 2;
        let start = Instant::now();
        assert!(watch(&question).is_ok());
        assert!(start.elapsed() >= STEP * 2);
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        for (given, asked) in [
            ("0.0.0.0:9101", "127.0.0.1:9101"),
            ("[::]:9101", "[::1]:9101"),
            ("10.0.1.8:9101", "10.0.1.8:9101"),
        ] {
            let given: SocketAddr = given.parse().unwrap();
            assert_eq!(on_this_machine(given), asked.parse().unwrap());
        }
    }
}
