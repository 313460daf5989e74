//! Asks a server once whether it accepts.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use evenkeel_config::{Check, CheckKind, ServerAddress};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{CheckOutcome, CheckStatus};

/// Asks once, as `check` says, and takes no longer than its timeouts allow.
///
/// A TCP server's application never notices: the ACK that would complete the handshake is held
/// back and a reset goes out instead, so that the other kernel has nothing to accept. A
/// kube-apiserver would log each accepted and closed connection as a failed TLS handshake.
///
/// `None` when this machine lacked a descriptor or memory for the question, which says nothing of
/// the server. (HAProxy counts it as a failure: out of descriptors, it marks every server DOWN.)
pub async fn probe(check: &Check) -> Option<CheckOutcome> {
    let start = Instant::now();
    let (status, words) = match timeout(check.connect_timeout, connect(&check.address)).await {
        Ok(Ok(())) => (CheckStatus::L4Ok, String::new()),
        Ok(Err(failure)) if failure.is_shortage() => return None,
        Ok(Err(failure)) => (
            failure.status(&check.address),
            failure.words(&check.address),
        ),
        Err(_) => (CheckStatus::L4Timeout, String::new()),
    };
    let info = match (status, check.kind) {
        (CheckStatus::L4Ok, _) => String::new(),
        (_, CheckKind::Connect) => words,
        // After a timeout there are no words, and HAProxy leaves the space before `at` standing.
        (_, CheckKind::TcpCheck) => format!("{words} at initial connection step of tcp-check"),
    };
    Some(CheckOutcome {
        status,
        info,
        duration: start.elapsed(),
    })
}

/// Where a connect failed; HAProxy words the two differently.
#[derive(Debug)]
enum Failure {
    /// This machine refused to try: no descriptor, no port, no route.
    Start(io::Error),
    /// The network or the server answered with an error.
    Answer(io::Error),
}

impl Failure {
    /// Whether this machine ran out of what every connection needs.
    fn is_shortage(&self) -> bool {
        let Self::Start(error) = self else {
            return false;
        };
        let errno = Errno::from_io_error(error);
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
            .iter()
            .any(|shortage| errno == Some(*shortage))
    }

    fn status(&self, address: &ServerAddress) -> CheckStatus {
        match address {
            ServerAddress::Inet(_) => CheckStatus::L4Connection,
            _ => CheckStatus::SocketError,
        }
    }

    /// What HAProxy 3.0 writes into `info`.
    fn words(&self, address: &ServerAddress) -> String {
        let (error, is_start) = match self {
            Self::Start(error) => (error, true),
            Self::Answer(error) => (error, false),
        };
        let errno = Errno::from_io_error(error);
        let text = system_text(error);
        match (address, errno) {
            // On loopback the refusal comes back before connect() does: an answer all the same.
            (ServerAddress::Inet(_), Some(Errno::CONNREFUSED)) => text,
            (ServerAddress::Unix(_) | ServerAddress::Abstract(_), Some(Errno::AGAIN)) => {
                start_category(errno).into()
            }
            _ if is_start => format!("{} ({text})", start_category(errno)),
            _ => text,
        }
    }
}

/// The manual's names (`fc_err_str`) for what can go wrong before a connection is under way.
fn start_category(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::MFILE) => "Too many sockets on the process",
        Some(Errno::NFILE) => "Too many sockets on the system",
        Some(Errno::NOBUFS | Errno::NOMEM) => "Out of system buffers",
        Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => {
            "Protocol or address family not supported"
        }
        Some(Errno::AGAIN | Errno::ADDRNOTAVAIL) => "Out of local source ports on the system",
        Some(Errno::ADDRINUSE) => "Local source address already in use",
        _ => "General socket error",
    }
}

/// strerror's text; std adds the number to it.
fn system_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.find(" (os error ") {
        text.truncate(end);
    }
    text
}

async fn connect(address: &ServerAddress) -> Result<(), Failure> {
    let target = match address {
        ServerAddress::Inet(address) => SockAddr::from(*address),
        // A Unix socket's connect never stays under way: it is done or has failed.
        ServerAddress::Unix(path) => return connect_unix(path).map_err(Failure::Start),
        ServerAddress::Abstract(name) => {
            let marked = [b"\0", name.as_slice()].concat();
            return connect_unix(OsStr::from_bytes(&marked).as_ref()).map_err(Failure::Start);
        }
        // The reader demands a port for such a check; without one there is nothing to ask.
        ServerAddress::Mapped { .. } => {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "no port to check");
            return Err(Failure::Start(error));
        }
    };
    let socket = start(&target).map_err(Failure::Start)?;
    // The second call tells what became of the first. A server on this machine or behind a virtual
    // link has answered by now, and needs no waiting for; asking the rest costs them a microsecond.
    match socket.connect(&target) {
        Ok(()) => return Ok(()),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ALREADY) => {}
        Err(error) => return Err(Failure::Answer(error)),
    }
    // Registered with epoll only now: it reports a socket that is not connecting yet as hung up.
    let stream = TcpStream::from_std(socket.into()).map_err(Failure::Start)?;
    // Nothing between the server's SYN/ACK and the close may make the kernel send the ACK; its
    // own patience ends after some 40 to 200 ms.
    let wanted = Interest::WRITABLE | Interest::ERROR;
    let ready = stream.ready(wanted).await.map_err(Failure::Answer)?;
    if !ready.is_error() {
        return Ok(());
    }
    match stream.take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(Failure::Answer(error)),
    }
}

/// A TCP connect begun, or done, that will end without an ACK.
fn start(target: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(target.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_tcp_quickack(false)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(target) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn connect_unix(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

    use super::*;
    use crate::testing;

    fn check(kind: CheckKind, address: ServerAddress) -> Check {
        Check {
            kind,
            address,
            ..testing::check(2000)
        }
    }

    async fn expect(check: &Check, status: CheckStatus, info: &str) -> CheckOutcome {
        let outcome = probe(check).await.expect("this machine has descriptors");
        assert_eq!((outcome.status, outcome.info.as_str()), (status, info));
        assert_eq!(outcome.is_pass(), status == CheckStatus::L4Ok);
        outcome
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A port that nobody listens on: bound, so that no one else takes it meanwhile.
    fn closed_port() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_application_never_accepts_a_check() {
        let (listener, address) = listener();
        listener.set_nonblocking(true).unwrap();
        let check = check(CheckKind::Connect, ServerAddress::Inet(address));
        // A machine busy for that long between SYN/ACK and close sends the ACK by itself.
        let held_up = Duration::from_millis(20);
        let mut clean = 0;
        let mut late = 0;
        while clean < 30 {
            let outcome = expect(&check, CheckStatus::L4Ok, "").await;
            if outcome.duration < held_up {
                clean += 1;
            } else {
                late += 1;
                assert!(late < 30, "this machine is too busy to hold an ACK back");
            }
        }
        // Connections are accepted in the order in which they were completed: what comes before
        // this one was a check's.
        let honest = std::net::TcpStream::connect(address).unwrap();
        let mut accepted = 0;
        while listener.accept().unwrap().1 != honest.local_addr().unwrap() {
            accepted += 1;
        }
        assert!(accepted <= late, "{accepted} accepts of {clean} checks");
    }

    #[tokio::test]
    async fn a_check_leaves_no_connection_behind() {
        let (listener, address) = listener();
        // A backlog of one connection: thirty checks pass only if none of them stays in it.
        rustix::net::listen(&listener, 0).unwrap();
        let check = check(CheckKind::Connect, ServerAddress::Inet(address));
        for _ in 0..30 {
            expect(&check, CheckStatus::L4Ok, "").await;
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let (_held, address) = closed_port();
        let address = ServerAddress::Inet(address);
        let plain = check(CheckKind::Connect, address.clone());
        expect(&plain, CheckStatus::L4Connection, "Connection refused").await;
        let step = check(CheckKind::TcpCheck, address);
        let info = "Connection refused at initial connection step of tcp-check";
        expect(&step, CheckStatus::L4Connection, info).await;
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        // A full backlog drops further SYNs, as a machine that is cut off does.
        let (listener, address) = listener();
        rustix::net::listen(&listener, 0).unwrap();
        let _fills_it = std::net::TcpStream::connect(address).unwrap();
        let mut silent = check(CheckKind::Connect, ServerAddress::Inet(address));
        silent.connect_timeout = Duration::from_millis(50);
        let outcome = expect(&silent, CheckStatus::L4Timeout, "").await;
        assert!(outcome.duration >= Duration::from_millis(50));
        silent.kind = CheckKind::TcpCheck;
        let info = " at initial connection step of tcp-check";
        expect(&silent, CheckStatus::L4Timeout, info).await;
    }

    /// The kernel asks a second time a second later: the answer comes when the check is waiting.
    #[tokio::test]
    async fn a_late_answer_counts_as_one_at_once() {
        let full = || {
            let (listener, address) = listener();
            rustix::net::listen(&listener, 0).unwrap();
            let fills_it = std::net::TcpStream::connect(address).unwrap();
            (listener, address, fills_it)
        };
        let (makes_room, first, _fills_it) = full();
        let (closes, second, _fills_that) = full();
        let check = |address| Check {
            connect_timeout: Duration::from_secs(10),
            ..check(CheckKind::Connect, ServerAddress::Inet(address))
        };
        let (first, second) = (check(first), check(second));
        let change = async {
            drop(makes_room.accept().unwrap());
            drop(closes);
        };
        // In this order: the servers are full when they are asked first.
        let (passes, fails, ()) = tokio::join!(
            biased;
            expect(&first, CheckStatus::L4Ok, ""),
            expect(&second, CheckStatus::L4Connection, "Connection refused"),
            change,
        );
        let not_at_once = Duration::from_millis(500);
        assert!(passes.duration > not_at_once && fails.duration > not_at_once);
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_connected_to_is_told_as_haproxy_tells_it() {
        // The all-ones address takes no TCP connection, whatever the routes of this machine.
        let nowhere = SocketAddr::from((Ipv4Addr::BROADCAST, 80));
        let outcome = probe(&check(CheckKind::Connect, ServerAddress::Inet(nowhere))).await;
        let outcome = outcome.expect("this machine has descriptors");
        assert_eq!(outcome.status, CheckStatus::L4Connection);
        assert!(
            outcome.info.starts_with("General socket error ("),
            "{}",
            outcome.info
        );
        assert!(!outcome.info.contains("os error"), "{}", outcome.info);
    }

    #[tokio::test]
    async fn unix_sockets_are_connected_to() {
        let name = format!("evenkeel-probe-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let named = check(
            CheckKind::Connect,
            ServerAddress::Abstract(name.into_bytes()),
        );
        expect(&named, CheckStatus::L4Ok, "").await;
        drop(listener);
        let info = "General socket error (Connection refused)";
        expect(&named, CheckStatus::SocketError, info).await;

        let path = std::env::temp_dir().join(format!("evenkeel-probe-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let check = check(CheckKind::Connect, ServerAddress::Unix(path.clone()));
        expect(&check, CheckStatus::L4Ok, "").await;
        drop(listener);
        std::fs::remove_file(path).unwrap();
        let info = "General socket error (No such file or directory)";
        expect(&check, CheckStatus::SocketError, info).await;
    }

    #[tokio::test]
    async fn a_mapped_port_cannot_be_asked() {
        let mapped = ServerAddress::Mapped {
            ip: Ipv4Addr::LOCALHOST.into(),
            offset: 0,
        };
        let info = "General socket error (no port to check)";
        expect(
            &check(CheckKind::Connect, mapped),
            CheckStatus::SocketError,
            info,
        )
        .await;
    }

    /// Each line measured with HAProxy 3.0.
    #[test]
    fn failures_are_worded_as_haproxy_words_them() {
        let inet = ServerAddress::Inet(([10, 0, 0, 1], 80).into());
        let unix = ServerAddress::Unix("/s".into());
        let start = |errno: Errno| Failure::Start(errno.into());
        let answer = |errno: Errno| Failure::Answer(errno.into());
        let table = [
            (&inet, start(Errno::CONNREFUSED), "Connection refused"),
            (&inet, answer(Errno::CONNREFUSED), "Connection refused"),
            (&inet, answer(Errno::HOSTUNREACH), "No route to host"),
            (
                &inet,
                start(Errno::HOSTUNREACH),
                "General socket error (No route to host)",
            ),
            (
                &inet,
                start(Errno::NETUNREACH),
                "General socket error (Network is unreachable)",
            ),
            (
                &inet,
                start(Errno::ACCESS),
                "General socket error (Permission denied)",
            ),
            (
                &inet,
                start(Errno::INVAL),
                "General socket error (Invalid argument)",
            ),
            (
                &inet,
                start(Errno::ADDRNOTAVAIL),
                "Out of local source ports on the system (Cannot assign requested address)",
            ),
            (
                &inet,
                start(Errno::MFILE),
                "Too many sockets on the process (Too many open files)",
            ),
            (
                &unix,
                start(Errno::CONNREFUSED),
                "General socket error (Connection refused)",
            ),
            (
                &unix,
                start(Errno::NOENT),
                "General socket error (No such file or directory)",
            ),
            (
                &unix,
                start(Errno::AGAIN),
                "Out of local source ports on the system",
            ),
        ];
        for (address, failure, words) in table {
            assert_eq!(failure.words(address), words);
        }
        assert_eq!(start(Errno::MFILE).status(&inet), CheckStatus::L4Connection);
        assert!(start(Errno::MFILE).is_shortage());
        assert!(!start(Errno::CONNREFUSED).is_shortage());
        assert_eq!(start(Errno::MFILE).status(&unix), CheckStatus::SocketError);
    }
}
