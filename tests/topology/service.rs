//! The balancer's everyday life: all is well, its checks disturb nobody, its address is elsewhere
//! when it starts, it is reloaded under load, and Debian's unit starts it.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, Program};
use crate::client::{Load, Watch, first_answer, kubectl, request, shares};
use crate::lab::{Host, Lab, Master, Vip};
use crate::namespaces::{inside, say};
use crate::report::{Both, Course, Observed, Stage, with_both};
use crate::support::wait::within;
use crate::{SEED, TUNED};

#[test]
fn all_is_well() {
    inside("service::all_is_well", || {
        let seen = with_both(|program| {
            let stage = Stage::set(program, SEED);
            let turns: Vec<String> = (0..20)
                .map(|_| {
                    request(&stage.lab, Host::Client)
                        .answer
                        .expect("all is well")
                })
                .collect();
            assert!(
                turns.windows(2).all(|pair| pair[0] != pair[1]),
                "{turns:?} do not alternate"
            );
            for host in [Host::Client, Host::Worker1, Host::Worker2] {
                let ready = kubectl(&stage.lab, host, &["get", "--raw", "/readyz"]);
                assert_eq!(ready.as_deref(), Ok("ok"), "{host:?}");
            }
            let version = kubectl(&stage.lab, Host::Client, &["version"]).expect("all is well");
            assert!(version.contains("Server Version: v1.31.0"), "{version}");
            let versions = kubectl(&stage.lab, Host::Client, &["api-versions"]);
            assert_eq!(versions.as_deref(), Ok("v1\n"));
            let errors: usize = stage.masters.iter().map(Master::handshake_errors).sum();
            assert_eq!(errors, 0, "the masters saw broken handshakes");
            (
                program.version(),
                "20 of 20 alternate; kubectl: readyz ok, version v1.31.0",
            )
        });
        print("all is well, the seed's file", &seen);
    });
}

#[test]
fn checks_are_invisible_to_the_application() {
    inside("service::checks_are_invisible_to_the_application", || {
        let seen = with_both(|program| {
            let often = TUNED.replace("inter 1s fastinter 500ms", "inter 100ms");
            assert_ne!(often, TUNED);
            let stage = Stage::set(program, &often);
            let master = &stage.masters[0];
            let (accepted, segments) = (master.accepted(), master.segments_received());
            // A check is at least two segments to the master, a SYN and the RST.
            let received = within(Duration::from_secs(10), || {
                let received = master.segments_received() - segments;
                (received >= 60).then_some(received)
            });
            let received = received.expect("thirty checks arrive in ten seconds");
            assert_eq!(
                master.accepted() - accepted,
                1,
                "our own question and nothing else"
            );
            assert_eq!(master.handshake_errors(), 0);

            // The same page and the same log do show a client that connects and closes.
            let probe = "exec 3<>/dev/tcp/10.0.1.11/6443";
            let status = stage.lab.on(Host::Lb, "bash").args(["-c", probe]).status();
            assert!(status.expect("bash is there").success());
            let noticed = within(Duration::from_secs(5), || {
                (master.handshake_errors() == 1).then(|| master.accepted() - accepted)
            });
            assert_eq!(noticed, Some(3), "our two questions and the probe");
            (
                program.version(),
                format!("{received} segments of checks, 0 accepted, 0 errors"),
            )
        });
        print("health checks as the application sees them", &seen);
    });
}

#[test]
fn vip_absent_at_start() {
    inside("service::vip_absent_at_start", || {
        let seen = with_both(|program| {
            let (lab, _masters) = Stage::without_balancer(program, Vip::Absent);
            let mut balancer = Balancer::start(program, &lab, SEED);
            if let Program::HaProxy { .. } = program {
                let status = balancer.ends(Duration::from_secs(10));
                let said = balancer.said();
                assert_eq!(status.and_then(|status| status.code()), Some(1), "{said}");
                assert!(said.contains("Cannot assign requested address"), "{said}");
                return (program.version(), "refuses to start".to_owned());
            }
            let warning = balancer.says("10.0.1.10", Instant::now() - PAST, Duration::from_secs(5));
            let said = balancer.said();
            assert!(
                warning.is_some(),
                "no warning names the absent address: {said}"
            );
            let warnings = said.lines().filter(|line| line.contains("10.0.1.10"));
            assert_eq!(warnings.count(), 1, "one warning is enough: {said}");
            assert!(
                said.contains("eth0") && said.contains("10.0.1.9"),
                "what is there: {said}"
            );
            assert!(
                request(&lab, Host::Client).answer.is_err(),
                "nobody has the address yet"
            );
            lab.bring_vip();
            let came = Instant::now();
            let first = first_answer(&lab, Duration::from_secs(10)).expect("served at last");
            let alive = balancer.ends(Duration::ZERO).is_none();
            assert!(alive, "it runs on");
            let after = (first.ended - came).as_secs_f64();
            (
                program.version(),
                format!("warns, serves {after:.2} s after the address came"),
            )
        });
        print("the balanced address is absent at start", &seen);
    });
}

/// Longer than any test has been running.
const PAST: Duration = Duration::from_secs(3600);

#[test]
fn reload_under_load() {
    inside("service::reload_under_load", || {
        let both = with_both(|program| {
            let (lab, masters) = Stage::without_balancer(program, Vip::Present);
            let notify = Notifications::listen(&lab);
            let balancer = start_as_debian_does(program, &lab, &notify);
            notify.expect("READY=1");
            let stage = Stage {
                lab,
                masters,
                balancer,
            };
            stage.assert_serving();
            let watches = Watch::on_both(&stage.lab);
            let load = Load::start(&stage.lab, 10);
            load.wait_for(10, Instant::now());
            let fault = Instant::now();
            for _ in 0..3 {
                let reload = Instant::now();
                reload_once(program, &stage.balancer, &notify);
                load.wait_for(10, reload);
            }
            let repair = Instant::now();
            load.wait_for(10, repair);
            let requests = load.stop();
            for watch in watches {
                assert!(
                    watch.flows(Duration::from_secs(5)),
                    "a reload broke an open watch"
                );
            }
            let course = Course {
                fault,
                down: None,
                repair,
                up: None,
            };
            let shares = shares(&requests);
            assert!(
                shares["master1"].abs_diff(shares["master2"]) <= 6,
                "{shares:?}"
            );
            Observed::new(program, &requests, course)
        });
        both.print(
            "three reloads under 10 new connections a second and two watches, the seed's file",
        );
        both.assert_as_good(Duration::ZERO);
        assert_eq!(both.evenkeel.failed, 0, "a reload costs no request");
    });
}

#[test]
fn debian_unit_starts_it() {
    inside("service::debian_unit_starts_it", || {
        let seen = with_both(|program| {
            let (lab, _masters) = Stage::without_balancer(program, Vip::Present);
            let notify = Notifications::listen(&lab);
            let mut balancer = start_as_debian_does(program, &lab, &notify);
            notify.expect("READY=1");
            let pid_file = lab.directory().join("haproxy.pid");
            let pid =
                fs::read_to_string(&pid_file).expect("the pid file is there once it is ready");
            assert_eq!(
                pid.trim(),
                balancer.pid().to_string(),
                "systemd signals the main process"
            );
            first_answer(&lab, Duration::from_secs(10)).expect("served");

            reload_once(program, &balancer, &notify);
            first_answer(&lab, Duration::from_secs(10)).expect("served after a reload");

            // A broken file leaves all as it was, and says READY=1 again, or `systemctl reload` hangs.
            fs::write(
                lab.directory().join("haproxy.cfg"),
                "frontend broken\n    bnid :1\n",
            )
            .expect("the lab's file system takes files");
            reload_once(program, &balancer, &notify);
            first_answer(&lab, Duration::from_secs(10)).expect("served after a failed reload");

            balancer.signal("TERM");
            let status = balancer
                .ends(Duration::from_secs(10))
                .expect("SIGTERM stops it");
            // What the service manager takes for a clean end: 0, the unit's own 143, and SIGTERM
            // itself, which can meet HAProxy's master while it starts itself again.
            let clean = matches!(status.code(), Some(0 | 143)) || status.signal() == Some(15);
            assert!(clean, "{status}: {}", balancer.said());
            (
                program.version(),
                "READY, RELOADING + READY, bad file survived, stopped",
            )
        });
        print(
            "Debian's haproxy.service: -Ws -f CFG -p PIDFILE -S SOCK",
            &seen,
        );
    });
}

/// The ExecStart line of Debian's haproxy.service.
fn start_as_debian_does(program: &Program, lab: &Arc<Lab>, notify: &Notifications) -> Balancer {
    Balancer::start_with(program, lab, SEED, |command, file| {
        let folder = lab.directory();
        command
            .arg("-Ws")
            .arg("-f")
            .arg(file)
            .arg("-p")
            .arg(folder.join("haproxy.pid"))
            .arg("-S")
            .arg(folder.join("haproxy-master.sock"))
            .env("NOTIFY_SOCKET", &notify.path);
    })
}

/// SIGUSR2, answered with RELOADING=1 and READY=1.
fn reload_once(program: &Program, balancer: &Balancer, notify: &Notifications) {
    // A signal right after READY=1 can be lost on HAProxy's master; evenkeel has to take the first.
    let attempts = if *program == Program::Evenkeel { 1 } else { 5 };
    let heard = (0..attempts).any(|_| {
        balancer.signal("USR2");
        notify.came("RELOADING=1", Duration::from_secs(2)).is_ok()
    });
    assert!(heard, "SIGUSR2 did not reload: {}", balancer.said());
    notify.expect("READY=1");
}

/// The service manager's end of sd_notify.
struct Notifications {
    path: std::path::PathBuf,
    socket: UnixDatagram,
}

impl Notifications {
    fn listen(lab: &Lab) -> Self {
        let path = lab.directory().join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("the lab's file system takes sockets");
        Notifications { path, socket }
    }

    fn expect(&self, line: &str) {
        let came = self.came(line, Duration::from_secs(10));
        assert_eq!(came, Ok(()), "{line} did not come, but these");
    }

    /// Reads until a message has this line; others (STATUS, WATCHDOG) may come before it. Without
    /// it, the others are the answer.
    fn came(&self, line: &str, limit: Duration) -> Result<(), Vec<String>> {
        let deadline = Instant::now() + limit;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(others);
            }
            self.socket
                .set_read_timeout(Some(left))
                .expect("time is left");
            let mut message = [0; 4096];
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&message[..length]).into_owned();
                    if text.lines().any(|one| one == line) {
                        return Ok(());
                    }
                    others.push(text);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{line}: {error}"),
            }
        }
    }
}

fn print(title: &str, seen: &Both<(String, impl std::fmt::Display)>) {
    let mut text = format!("\n{title}\n");
    for (program, result) in seen.haproxy.iter().chain([&seen.evenkeel]) {
        text += &format!("  {program:<24} {result}\n");
    }
    say(&text);
}
