//! `evenkeel upgrade`: another process takes the place of the one that serves; nobody notices.

mod counters;
mod failures;
mod orders;

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{Pid, kill_process, test_kill_process};

use crate::support::balancer::{Launch, until_metrics};
use crate::support::cli::ask;
use crate::support::lab::{Visitors, is_up, visit};
use crate::support::{Balancer, Finished, Lab, Peer, Program, Signal, loopback, until};

/// A balancer and all that follow it.
struct Line {
    first: Balancer,
    master: PathBuf,
    stats: PathBuf,
}

impl Line {
    fn start(lab: &Lab, text: &str) -> Self {
        Self::launch(lab, text, Launch::default())
    }

    fn launch(lab: &Lab, text: &str, launch: Launch) -> Self {
        let directory = crate::support::balancer::temporary_directory();
        let (master, stats) = (directory.join("master"), directory.join("stats"));
        let mut arguments = ["-Ws", "-S", master.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(launch.arguments);
        let launch = Launch {
            arguments,
            ..launch
        };
        let socket = format!("global\n    stats socket {} level admin\n", stats.display());
        let text = text.replacen("global\n", &socket, 1);
        let first = lab.launch(&text, &launch);
        Self {
            first,
            master,
            stats,
        }
    }

    fn upgrade(&self, lab: &Lab) -> Finished {
        let master = self.master.to_str().unwrap();
        lab.program().run(["upgrade", "-S", master])
    }

    /// Upgrades, which must work; the process that follows.
    #[track_caller]
    fn follow(&self, lab: &Lab) -> u32 {
        let done = self.upgrade(lab);
        assert_eq!(done.code(), 0, "{done:?}");
        *self.followers().last().unwrap()
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.stats, command)
    }

    /// A column of `show stat`.
    fn stat(&self, proxy: &str, what: &str, column: &str) -> String {
        let text = self.ask("show stat");
        let mut lines = text.lines();
        let names = lines.next().unwrap().trim_start_matches("# ").split(',');
        let at = names.clone().position(|name| name == column).unwrap();
        let begin = format!("{proxy},{what},");
        let row = lines.find(|line| line.starts_with(&begin)).unwrap();
        row.split(',').nth(at).unwrap().to_owned()
    }

    /// The processes that followed, as the service manager was told.
    fn followers(&self) -> Vec<u32> {
        let first = self.first.pid();
        let mut pids: Vec<u32> = self
            .first
            .notices()
            .iter()
            .filter(|notice| notice.starts_with("MAINPID="))
            .filter_map(|notice| notice.trim()["MAINPID=".len()..].parse().ok())
            .filter(|&pid| pid != first)
            .collect();
        pids.dedup();
        pids
    }
}

/// Whether the process runs.
fn lives(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_ok()
}

impl Drop for Line {
    fn drop(&mut self) {
        for pid in self.followers() {
            let pid = Pid::from_raw(pid.cast_signed()).unwrap();
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn config(lab: &Lab, front: SocketAddr, streams: SocketAddr, servers: [SocketAddr; 3]) -> String {
    let [a, b, echo] = servers;
    format!(
        "{}\nlisten api\n    bind {front}\n    server a {a} check inter 200ms\n    \
         server b {b} check inter 200ms\n\nlisten streams\n    bind {streams}\n    server echo {echo}\n",
        lab.preamble()
    )
}

#[test]
fn no_connect_fails_and_no_stream_breaks_in_twenty_upgrades() {
    let lab = Lab::of(Program::Evenkeel);
    let [a, b] = lab.origins(["a", "b"]);
    let echo = lab.echo();
    let (front, streams) = (lab.address(), lab.address());
    let servers = [a.address(), b.address(), echo.address()];
    let line = Line::start(&lab, &config(&lab, front, streams, servers));
    let mut stream = Peer::connect(streams);
    stream.send("first");
    stream.receive_exactly(5);

    let visitors = Visitors::start(front, 3, &["a", "b"]);
    for round in 1..=20 {
        let done = line.upgrade(&lab);
        assert_eq!(done.code(), 0, "{done:?}");
        // Also takes what was said out of the way of what follows.
        assert_eq!(line.followers().len(), round);
        visitors.go_on(10);
        stream.send("still");
        assert_eq!(stream.receive_exactly(5), b"still");
    }
    let visits = visitors.end().to_string();
    stream.close();
    for what in ["FRONTEND", "BACKEND"] {
        until("every visit is counted, whoever served it", || {
            (line.stat("api", what, "stot") == visits).then_some(())
        });
    }
    until("the stream is counted in all that it said", || {
        let bytes = ["bin", "bout"].map(|column| line.stat("streams", "BACKEND", column));
        (bytes == ["105", "105"].map(str::to_owned)).then_some(())
    });
}

#[test]
fn what_is_known_goes_over_and_the_service_manager_hears_of_it_in_order() {
    let lab = Lab::of(Program::Evenkeel);
    let a = lab.origin("a");
    let dead = lab.dead_origin("b");
    let echo = lab.echo();
    let (front, streams) = (lab.address(), lab.address());
    let servers = [a.address(), dead.address(), echo.address()];
    let mut line = Line::start(&lab, &config(&lab, front, streams, servers));
    until_metrics(&line.first, "the dead server is down", |metrics| {
        !is_up(metrics, "api", "b")
    });
    assert_eq!(visit(front), "a");
    lab.syslog.session();
    ask(&line.stats, "set server streams/echo state maint");
    ask(&line.stats, "set weight api/a 7");
    ask(&line.stats, "set maxconn server api/a 99");
    let downs = || {
        let texts = lab.syslog.all();
        texts
            .iter()
            .filter(|message| message.text.contains("Server "))
            .count()
    };
    until("the changes are logged", || (downs() == 2).then_some(()));

    assert_eq!(line.upgrade(&lab).code(), 0);

    // Nothing held the first one: it has ended, and what answers now is its successor.
    assert_eq!(line.first.exit().code(), Some(0));
    let metrics = line.first.metrics();
    assert_eq!(
        metrics.value("haproxy_frontend_sessions_total", "proxy=api"),
        1.0
    );
    assert_eq!(
        metrics.value("haproxy_server_sessions_total", "proxy=api,server=a"),
        1.0
    );
    assert!(!is_up(&metrics, "api", "b"));
    let state = ask(&line.stats, "show servers state streams");
    let maintained = state.lines().last().filter(|text| !text.is_empty());
    let maintained = maintained.or_else(|| state.lines().rev().nth(1)).unwrap();
    assert_eq!(maintained.split_whitespace().nth(6), Some("1"), "{state}");
    assert!(ask(&line.stats, "get weight api/a").starts_with("7 (initial 1)"));
    assert_eq!(downs(), 2, "what was known was told a second time");

    let [heir] = line.followers()[..] else {
        panic!("{:?}", line.first.notices());
    };
    let notices = line.first.notices();
    let main = notices
        .iter()
        .position(|notice| *notice == format!("MAINPID={heir}\n"));
    let later = &notices[main.unwrap() + 1..];
    assert!(
        later.iter().any(|notice| notice.contains("READY=1")),
        "{notices:?}"
    );
    assert!(
        !later.iter().any(|notice| notice.contains("STOPPING=1")),
        "{notices:?}"
    );
}

#[test]
fn an_upgrade_to_a_bad_file_changes_nothing() {
    let lab = Lab::of(Program::Evenkeel);
    let [a, b] = lab.origins(["a", "b"]);
    let echo = lab.echo();
    let (front, streams) = (lab.address(), lab.address());
    let servers = [a.address(), b.address(), echo.address()];
    let mut line = Line::start(&lab, &config(&lab, front, streams, servers));
    let file = line.first.file("lb.cfg");
    let good = std::fs::read_to_string(&file).unwrap();

    std::fs::write(&file, good.replace("server a", "servre a")).unwrap();
    let failed = line.upgrade(&lab);
    assert_eq!(failed.code(), 1);
    assert!(
        failed.stderr.contains("unknown keyword 'servre'"),
        "{failed:?}"
    );
    assert!(line.first.is_running());
    assert_eq!(visit(front), "a");
    assert!(line.followers().is_empty());
    assert!(ask(&line.master, "show proc").contains(&line.first.pid().to_string()));

    // Without a bind of before: it is listened on no more.
    let less = good.replace(
        &format!("    bind {streams}\n"),
        &format!("    bind {}\n", lab.address()),
    );
    std::fs::write(&file, less).unwrap();
    assert_eq!(line.upgrade(&lab).code(), 0);
    until("nobody listens", || {
        (!loopback::is_listening(streams)).then_some(())
    });
    assert!(!visit(front).is_empty());
}
