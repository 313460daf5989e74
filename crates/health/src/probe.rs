//! Asks a server once, as its check says.

use evenkeel_config::check::CheckKind;
use evenkeel_config::{Check, CheckStatus};
use tokio::time::{Instant, timeout};

use crate::CheckOutcome;
use crate::connect::knock;
use crate::run;

/// What a check's steps may ask about the server.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// Whether the server is up.
    pub is_up: bool,
    /// What `http-check send-state` tells the server.
    pub state: &'a (dyn Fn() -> String + Sync),
}

/// Asks once, as `check` says, and takes no longer than its timeouts allow. A check that only sees
/// whether the port accepts is never seen by the server's application.
///
/// `None` when this machine lacked a descriptor or memory for the question, which says nothing of
/// the server. (HAProxy counts it as a failure: out of descriptors, it marks every server DOWN.)
pub async fn probe(check: &Check, situation: Situation<'_>) -> Option<CheckOutcome> {
    if !check.script.is_plain_connect() {
        // A check's steps need much more room than its waiting: they have it while they run.
        return Box::pin(run::run(check, situation)).await;
    }
    let start = Instant::now();
    let (status, words) = match timeout(
        check.connect_timeout,
        knock(&check.address, check.source.as_ref()),
    )
    .await
    {
        Ok(Ok(())) => (CheckStatus::L4Ok, String::new()),
        Ok(Err(failure)) if failure.is_shortage() => return None,
        Ok(Err(failure)) => (
            failure.status(&check.address),
            failure.words(&check.address),
        ),
        Err(_) => (CheckStatus::L4Timeout, String::new()),
    };
    let info = match (status, check.script.kind) {
        (CheckStatus::L4Ok, _) => String::new(),
        (_, CheckKind::TcpCheck) => run::at_step(&words, &check.script.steps[0]),
        (_, _) => words,
    };
    Some(CheckOutcome {
        status,
        info,
        code: None,
        duration: start.elapsed(),
        has_connected: status == CheckStatus::L4Ok,
        cause: None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

    use std::time::Duration;

    use evenkeel_config::ServerAddress;
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::testing;

    fn check(kind: CheckKind, address: ServerAddress) -> Check {
        Check {
            script: testing::plain(kind),
            address,
            ..testing::check(2000)
        }
    }

    async fn expect(check: &Check, status: CheckStatus, info: &str) -> CheckOutcome {
        let outcome = probe(check, testing::SITUATION)
            .await
            .expect("this machine has descriptors");
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
        silent.script = testing::plain(CheckKind::TcpCheck);
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
        let outcome = probe(
            &check(CheckKind::Connect, ServerAddress::Inet(nowhere)),
            testing::SITUATION,
        )
        .await;
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
}
