//! Started as root with `user`, `group` and `chroot`: it serves as an ordinary user in an empty
//! directory, and a reload still finds files, opens ports and reaches the log.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Group, User};
use rustix::process::{Pid, kill_process};

use crate::support::balancer::{Launch, temporary_directory};
use crate::support::cli::ask;
use crate::support::lab::visit;
use crate::support::{Balancer, Lab, Peer, Program, Signal, loopback, not_run, until};

/// Whom every system has.
const USER: &str = "nobody";

/// What a test needs besides its lab: a directory that stays empty, and one that only root sees.
struct Cell {
    lab: Lab,
    jail: PathBuf,
    secret: PathBuf,
    uid: u32,
    gid: u32,
    group: String,
}

impl Cell {
    /// `None`, and a note, where the test is not run by root.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            not_run(test, "only root can become another user");
            return None;
        }
        let user = User::from_name(USER).unwrap().unwrap();
        let group = Group::from_gid(user.gid).unwrap().unwrap();
        let directory = temporary_directory();
        let (jail, secret) = (directory.join("jail"), directory.join("secret"));
        fs::create_dir(&jail).unwrap();
        fs::create_dir(&secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self {
            lab: Lab::of(Program::Evenkeel),
            jail,
            secret,
            uid: user.uid.as_raw(),
            gid: group.gid.as_raw(),
            group: group.name,
        })
    }

    /// The file that Debian installs, with this test's accounts and paths, and `rest` at its end.
    fn debian(&self, rest: &str) -> String {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/debian-default.cfg");
        let text = fs::read_to_string(sample).unwrap();
        let (head, _) = text.split_once("frontend kubernetes-frontend").unwrap();
        let jail = self.jail.display().to_string();
        let log = self.secret.join("log").display().to_string();
        let socket = self.secret.join("admin.sock").display().to_string();
        let adapted = head
            .replace("/var/lib/haproxy", &jail)
            .replace("user haproxy", &format!("user {USER}"))
            .replace("group haproxy", &format!("group {}", self.group))
            .replace("/run/haproxy/admin.sock", &socket)
            .replace("/dev/log", &log);
        assert!(adapted.contains(&jail) && adapted.contains(&log));
        format!("{adapted}\n{rest}")
    }

    fn api(&self, front: SocketAddr, server: SocketAddr) -> String {
        format!(
            "listen api\n    mode tcp\n    option tcplog\n    bind {front}\n    server s1 {server}\n"
        )
    }

    /// A port below 1024 that is free on this test's address.
    fn low_address(&self) -> SocketAddr {
        let is_free = |port: &u16| !loopback::is_listening(SocketAddr::new(self.lab.ip(), *port));
        SocketAddr::new(self.lab.ip(), (600..1024).find(is_free).unwrap())
    }

    /// Every thread has the user's rights and no others, in the jail.
    fn assert_confined(&self, lb: &Balancer) {
        let tasks = tasks(lb.pid());
        assert!(tasks.len() >= 3, "{tasks:?}");
        for task in tasks {
            let status = fs::read_to_string(task.join("status")).unwrap();
            let field = |name: &str| {
                let mut lines = status.lines();
                let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(field("Uid:"), vec![self.uid.to_string(); 4], "{status}");
            assert_eq!(field("Gid:"), vec![self.gid.to_string(); 4], "{status}");
            assert!(field("Groups:").is_empty(), "{status}");
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(field(set), ["0000000000000000"], "{set} {status}");
            }
            assert_eq!(field("NoNewPrivs:"), ["1"], "{status}");
            assert_eq!(fs::read_link(task.join("root")).unwrap(), self.jail);
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let directory = self.jail.parent().unwrap();
        let _ = fs::remove_dir_all(directory);
    }
}

fn tasks(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The processes whose parent is `pid`, zombies too, with their state.
fn children(pid: u32) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            let (state, parent) = (fields.next()?, fields.next()?);
            (parent == pid.to_string()).then(|| (child, state.to_owned()))
        })
        .collect()
}

fn keeper(lb: &Balancer) -> u32 {
    let children = children(lb.pid());
    assert_eq!(children.len(), 1, "{children:?}");
    children[0].0
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn bind_log(cell: &Cell) -> UnixDatagram {
    let path = cell.secret.join("log");
    let _ = fs::remove_file(&path);
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    log
}

/// A visit that says something, which `option dontlognull` wants of those that are logged.
fn visit_aloud(front: SocketAddr) -> String {
    let mut peer = Peer::connect(front);
    peer.send("hello");
    peer.receive_line()
}

/// What the stats socket answers.
fn command(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads log lines until one contains `part`.
fn logged(log: &UnixDatagram, part: &str) {
    let mut buffer = [0; 4096];
    loop {
        let length = log.recv(&mut buffer).expect("the line comes");
        if String::from_utf8_lossy(&buffer[..length]).contains(part) {
            return;
        }
    }
}

#[test]
fn debians_file_serves_confined_and_reloads_a_backend_and_a_low_port() {
    let Some(cell) = Cell::new("debians_file_serves_confined") else {
        return;
    };
    let [a, b] = cell.lab.origins(["a", "b"]);
    let (front, low) = (cell.lab.address(), cell.low_address());
    let log = bind_log(&cell);
    let lb = cell.lab.start(&cell.debian(&cell.api(front, a.address())));
    assert_eq!(visit_aloud(front), "a");
    cell.assert_confined(&lb);
    logged(&log, " api api/s1 ");

    let socket = cell.secret.join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o660);
    assert!(command(&socket, "show info").contains(&format!("Pid: {}\n", lb.pid())));

    let another = cell.debian(&cell.api(front, b.address()));
    lb.reload(&another);
    assert_eq!(visit(front), "b");

    let more = format!("{another}    bind {low}\n");
    lb.reload(&more);
    assert_eq!(visit(low), "b");
    assert_eq!(visit(front), "b");
    cell.assert_confined(&lb);

    assert!(command(&socket, "show stat").contains("\napi,FRONTEND,"));

    // The log's daemon starts anew.
    drop(log);
    let log = bind_log(&cell);
    until("a line arrives at the new log socket", || {
        visit_aloud(front);
        log.set_nonblocking(true).unwrap();
        log.recv(&mut [0; 64]).ok()
    });
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 2.0);
}

/// The keeper starts the successor, with the rights that the operator gave, which gives them up again.
#[test]
fn a_confined_process_is_upgraded() {
    let Some(cell) = Cell::new("a_confined_process_is_upgraded") else {
        return;
    };
    let a = cell.lab.origin("a");
    let echo = cell.lab.echo();
    let (front, low) = (cell.lab.address(), cell.low_address());
    let _log = bind_log(&cell);
    let inherited = std::net::TcpListener::bind(cell.lab.address()).unwrap();
    let numbered = inherited.local_addr().unwrap();
    let (master, pidfile) = (cell.secret.join("master.sock"), cell.secret.join("pid"));
    let launch = Launch {
        arguments: vec![
            "-W".into(),
            "-S".into(),
            format!("{},mode,600", master.display()),
            "-p".into(),
            pidfile.display().to_string(),
        ],
        inherited: Some(std::sync::Arc::new(inherited.into())),
        ..Launch::default()
    };
    let listen = |front, server| {
        cell.debian(&format!(
            "{}\nlisten streams\n    mode tcp\n    bind {low}\n    bind fd@9\n    server e {}\n",
            cell.api(front, server),
            echo.address()
        ))
    };
    let is_served_at = |address| {
        let mut stream = Peer::connect(address);
        stream.send("through");
        stream.receive_exactly(7) == b"through"
    };
    let lb = cell.lab.launch(&listen(front, a.address()), &launch);
    cell.assert_confined(&lb);
    let mut stream = Peer::connect(low);
    stream.send("first");
    assert_eq!(stream.receive_exactly(5), b"first");

    let bad = listen(front, a.address()).replace("server s1", "servre s1");
    let good = fs::read_to_string(lb.file("lb.cfg")).unwrap();
    fs::write(lb.file("lb.cfg"), bad).unwrap();
    let answer = ask(&master, "upgrade");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains("unknown keyword 'servre'"), "{answer}");
    fs::write(lb.file("lb.cfg"), good).unwrap();
    let answer = ask(&master, "upgrade");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");

    let heir: u32 = fs::read_to_string(&pidfile)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_ne!(heir, lb.pid());
    let status = fs::read_to_string(format!("/proc/{heir}/status")).unwrap();
    assert!(
        status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}\n", cell.uid)),
        "{status}"
    );
    assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    stream.send("still");
    assert_eq!(stream.receive_exactly(5), b"still");
    assert_eq!(visit(front), "a");
    assert!(is_served_at(numbered));

    // Once more, by a keeper that was itself started by one. Nothing holds the one in the middle, and
    // the keeper that started it leaves no zombie of it.
    let answer = ask(&master, "upgrade");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    until("the one in the middle is gone", || {
        (!Path::new(&format!("/proc/{heir}")).exists()).then_some(())
    });
    assert!(is_served_at(numbered));
    stream.send("yet");
    assert_eq!(stream.receive_exactly(3), b"yet");
    let last: u32 = fs::read_to_string(&pidfile)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kill_process(Pid::from_raw(last.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

/// The master's socket lies where the process can no longer go, and answers reloads all the same.
#[test]
fn the_masters_socket_reloads_a_confined_process() {
    let Some(cell) = Cell::new("the_masters_socket_reloads_a_confined_process") else {
        return;
    };
    let [a, b] = cell.lab.origins(["a", "b"]);
    let (front, low) = (cell.lab.address(), cell.low_address());
    let _log = bind_log(&cell);
    let master = cell.secret.join("master.sock");
    let launch = Launch {
        arguments: vec![
            "-W".into(),
            "-S".into(),
            format!("{},mode,600", master.display()),
        ],
        ..Launch::default()
    };
    let text = cell.debian(&cell.api(front, a.address()));
    let lb = cell.lab.launch(&text, &launch);
    cell.assert_confined(&lb);
    assert_eq!(fs::metadata(&master).unwrap().mode() & 0o777, 0o600);

    for (bind, server) in [(front, b.address()), (low, a.address())] {
        let text = cell.debian(&cell.api(bind, server));
        fs::write(lb.file("lb.cfg"), text).unwrap();
        let answer = ask(&master, "reload");
        assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    }
    assert_eq!(visit(low), "a");

    let bad = cell.debian("listen api\n    bnid 127.0.0.1:1\n");
    fs::write(lb.file("lb.cfg"), &bad).unwrap();
    let answer = ask(&master, "reload");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    let place = format!("lb.cfg:{}:5: unknown keyword 'bnid'", bad.lines().count());
    assert!(answer.contains(&place), "{answer}");
    assert_eq!(visit(low), "a");
    let shown = ask(&master, "show proc");
    assert!(shown.contains(" 3 [failed: 1] "), "{shown}");
}

#[test]
fn files_that_the_user_cannot_read_are_read_at_a_reload_and_mistakes_are_told() {
    let Some(cell) = Cell::new("files_that_the_user_cannot_read") else {
        return;
    };
    let [a, b] = cell.lab.origins(["a", "b"]);
    let front = cell.lab.address();
    let rights = format!(
        "global\n    user {USER}\n    group {}\n    chroot {}\n{}",
        cell.group,
        cell.jail.display(),
        cell.lab.defaults()
    );
    let mut lb = cell
        .lab
        .start(&format!("{rights}{}", cell.api(front, a.address())));
    let file = lb.file("lb.cfg");
    // Kept by the file when it is written anew.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    lb.reload(&format!("{rights}{}", cell.api(front, b.address())));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(visit(front), "b");

    lb.reload(&format!("{rights}listen api\n    bnid {front}\n"));
    let line = rights.lines().count() + 2;
    lb.says(&format!("lb.cfg:{line}:5: unknown keyword 'bnid'"));
    assert!(lb.is_running());
    assert_eq!(visit(front), "b");

    let stranger = rights.replace(&format!("user {USER}"), "user no-such-user");
    lb.reload(&format!("{stranger}{}", cell.api(front, a.address())));
    lb.says("lb.cfg:2:10: there is no user 'no-such-user' on this machine");
    assert_eq!(visit(front), "b");

    let taken = std::net::TcpListener::bind(SocketAddr::new(cell.lab.ip(), 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let both = format!(
        "{rights}{}    bind {address}\n",
        cell.api(front, a.address())
    );
    lb.reload(&both);
    lb.says(&format!(
        "frontend 'api' cannot listen on {address}: the port is taken by "
    ));
    assert_eq!(visit(front), "b");

    // Neither file is in the jail.
    let ca = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if ca.exists() {
        let before = lb.metrics().value("evenkeel_reloads_total", "");
        for name in ["@system-ca", "/etc/ssl/certs/ca-certificates.crt"] {
            let config = format!("{rights}{}", cell.api(front, b.address()));
            let server = format!(
                "{} check check-ssl verify required ca-file {name}",
                b.address()
            );
            lb.reload(&config.replace(&b.address().to_string(), &server));
        }
        assert_eq!(
            lb.metrics().value("evenkeel_reloads_total", ""),
            before + 2.0
        );
    }

    let other = rights.replace(&format!("chroot {}", cell.jail.display()), "chroot /");
    lb.reload(&format!("{other}{}", cell.api(front, a.address())));
    lb.says("the change of 'chroot' takes effect at the next start");
    assert_eq!(visit(front), "a");
    cell.assert_confined(&lb);
}

#[test]
fn fifty_reloads_leave_no_descriptor_and_no_zombie_behind() {
    let Some(cell) = Cell::new("fifty_reloads_leave_nothing_behind") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let _log = bind_log(&cell);
    let config = cell.debian(&cell.api(front, origin.address()));
    let lb = cell.lab.start(&config);
    let keeper = keeper(&lb);
    for _ in 0..3 {
        lb.reload(&config);
    }
    let settled = |pid| {
        let mut last = descriptors(pid);
        until("descriptors settle", || {
            let now = descriptors(pid);
            let is_same = std::mem::replace(&mut last, now) == now;
            is_same.then_some(now)
        })
    };
    let before = (settled(lb.pid()), settled(keeper));
    for _ in 0..50 {
        lb.reload(&config);
    }
    let after = (settled(lb.pid()), settled(keeper));
    assert_eq!(after, before);
    assert_eq!(children(lb.pid()), [(keeper, "S".to_owned())]);
    assert_eq!(visit(front), "a");
}

#[test]
fn without_its_keeper_it_serves_and_says_that_a_reload_fails() {
    let Some(cell) = Cell::new("without_its_keeper_it_serves") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let config = cell.debian(&cell.api(front, origin.address()));
    let mut lb = cell.lab.start(&config);
    let keeper = keeper(&lb);
    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "a");

    // What a service manager sends to every process does not end it.
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        kill_process(Pid::from_raw(keeper as i32).unwrap(), signal).unwrap();
    }
    lb.reload(&config);
    assert_eq!(children(lb.pid()), [(keeper, "S".to_owned())]);

    kill_process(Pid::from_raw(keeper as i32).unwrap(), Signal::KILL).unwrap();
    lb.says(&format!("the keeper (pid {keeper}) has ended"));
    assert_eq!(children(lb.pid()), []);
    lb.reload(&config);
    lb.says("a reload needs a restart");
    assert!(lb.is_running());
    assert_eq!(visit(front), "a");
    assert!(!held.has_failed());
}

#[test]
fn a_serving_process_gains_nothing_from_its_keeper() {
    let Some(cell) = Cell::new("a_serving_process_gains_nothing") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let lb = cell
        .lab
        .start(&cell.debian(&cell.api(front, origin.address())));
    let shadow = format!("/proc/{}/root/etc/shadow", lb.pid());
    assert!(!Path::new(&shadow).exists(), "it sees files of the system");
    // The keeper holds nothing but its side of the line: no socket that listens, no file.
    let inodes = |pid: u32| -> BTreeSet<String> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links
            .map(|link| link.display().to_string())
            .filter(|link| link.starts_with("socket:"))
            .collect()
    };
    let own = inodes(std::process::id());
    let shared: Vec<_> = inodes(keeper(&lb))
        .difference(&own)
        .filter(|socket| inodes(lb.pid()).contains(*socket))
        .cloned()
        .collect();
    assert!(shared.is_empty(), "both hold {shared:?}");
}

#[test]
fn unix_sockets_have_the_mode_and_owner_that_the_file_says_at_a_reload_too() {
    let Some(cell) = Cell::new("unix_sockets_have_mode_and_owner") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let (first, second) = (cell.secret.join("first"), cell.secret.join("second"));
    let config = format!(
        "global\n    user {USER}\n    chroot {}\n    unix-bind mode 640 group {}\n{}{}",
        cell.jail.display(),
        cell.group,
        cell.lab.defaults(),
        cell.api(front, origin.address())
    );
    let with = |binds: &str| format!("{config}{binds}");
    let mode_of = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o777, found.uid(), found.gid())
    };
    let lb = cell
        .lab
        .start(&with(&format!("    bind {}\n", first.display())));
    assert_eq!(mode_of(&first), (0o640, 0, cell.gid));
    lb.reload(&with(&format!(
        "    bind {} mode 600\n    bind unix@{} mode 666 user {USER}\n",
        first.display(),
        second.display()
    )));
    until("the sockets are as the new file says", || {
        let is_there = second.exists() && mode_of(&first).0 == 0o600;
        is_there.then_some(())
    });
    assert_eq!(mode_of(&second), (0o666, cell.uid, cell.gid));
    let mut stream = UnixStream::connect(&second).unwrap();
    stream.write_all(b"").unwrap();
    let mut name = [0; 2];
    stream.read_exact(&mut name).unwrap();
    assert_eq!(&name, b"a\n");
    let left: Vec<_> = fs::read_dir(&cell.secret).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_frontend_that_was_shut_down_listens_again_after_a_reload() {
    let Some(cell) = Cell::new("a_frontend_that_was_shut_down_listens_again") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let (front, low) = (cell.lab.address(), cell.low_address());
    let _log = bind_log(&cell);
    let path = cell.secret.join("api");
    let config = cell.debian(&format!(
        "{}\nlisten low\n    mode tcp\n    bind {low}\n    bind {}\n    server s1 {}\n",
        cell.api(front, origin.address()),
        path.display(),
        origin.address()
    ));
    let mut lb = cell.lab.start(&config);
    let socket = cell.secret.join("admin.sock");
    for _ in 0..2 {
        assert_eq!(visit(low), "a");
        command(&socket, "shutdown frontend low");
        until("nobody listens", || {
            (!loopback::is_listening(low)).then_some(())
        });
        lb.reload(&config);
        assert!(lb.is_running());
        assert_eq!(visit(front), "a");
        assert_eq!(visit(low), "a");
        let mut name = [0; 2];
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.read_exact(&mut name).unwrap();
        assert_eq!(&name, b"a\n");
    }
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 2.0);
}

#[test]
fn what_the_user_puts_in_a_sockets_place_is_left_alone() {
    let Some(cell) = Cell::new("what_the_user_puts_in_a_sockets_place") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let own = cell.jail.join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(cell.uid), Some(cell.gid)).unwrap();
    let (path, roots) = (own.join("api"), cell.secret.join("roots"));
    fs::write(&roots, "secret").unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "global\n    user {USER}\n    group {}\n{}{}    bind {} mode 666 user {USER}\n",
        cell.group,
        cell.lab.defaults(),
        cell.api(front, origin.address()),
        path.display()
    );
    let lb = cell.lab.start(&config);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
    for link in [true, false] {
        fs::remove_file(&path).unwrap();
        if link {
            std::os::unix::fs::symlink(&roots, &path).unwrap();
        } else {
            fs::hard_link(&roots, &path).unwrap();
        }
        // What the keeper does for the first is done before it reads the files again.
        lb.reload(&config);
        lb.reload(&config);
        let found = fs::metadata(&roots).unwrap();
        assert_eq!((found.mode() & 0o777, found.uid()), (0o600, 0));
    }
    assert_eq!(visit(front), "a");
}

#[test]
fn what_setcap_names_is_kept_and_nothing_else() {
    let Some(cell) = Cell::new("what_setcap_names_is_kept") else {
        return;
    };
    let origin = cell.lab.origin("a");
    let front = cell.lab.address();
    let config = format!(
        "global\n    user {USER}\n    setcap cap_net_raw,cap_net_bind_service\n    set-dumpable\n{}{}",
        cell.lab.defaults(),
        cell.api(front, origin.address())
    );
    let lb = cell.lab.start(&config);
    assert_eq!(visit(front), "a");
    for task in tasks(lb.pid()) {
        let status = fs::read_to_string(task.join("status")).unwrap();
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let kept = format!("{set}:\t0000000000002400\n");
            assert!(status.contains(&kept), "{status}");
        }
    }
    let owner = fs::metadata(format!("/proc/{}/status", lb.pid())).unwrap();
    assert_eq!(owner.uid(), cell.uid, "it is not dumpable");
}

#[test]
fn who_is_not_root_is_told_what_cannot_be() {
    let lab = Lab::of(Program::Evenkeel);
    let Some(cell) = Cell::new("who_is_not_root_is_told") else {
        return;
    };
    let front = lab.address();
    let run = |global: &str| {
        let file = cell.jail.join("lb.cfg");
        let text = format!(
            "global\n    {global}\n{}listen api\n    bind {front}\n",
            lab.defaults()
        );
        fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new("setpriv");
        let ids = [
            format!("--reuid={}", cell.uid),
            format!("--regid={}", cell.gid),
        ];
        command
            .args(ids)
            .args(["--clear-groups", env!("CARGO_BIN_EXE_evenkeel"), "-f"])
            .arg(file);
        let ended = command.output().unwrap();
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        )
    };
    for (global, says) in [
        ("uid 1", "2:9: cannot become user 1: "),
        ("gid 1", "2:9: cannot become group 1: "),
        ("chroot /tmp", "2:12: cannot chroot to /tmp: "),
    ] {
        let (code, text) = run(global);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(says), "{text}");
        assert!(text.contains("start it as root"), "{text}");
    }
    let (code, text) = run("ulimit-n 1000000000");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("cannot raise the limit of file descriptors to 1000000000"),
        "{text}"
    );
}

#[test]
fn a_file_for_another_machine_is_valid_and_does_not_start_here() {
    let lab = Lab::of(Program::Evenkeel);
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    let text = format!(
        "global\n    user no-such-user\n    group no-such-group\n{}listen api\n    bind {}\n",
        lab.defaults(),
        lab.address()
    );
    fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap();
    let checked = lab.program().run(["-c", "-f", name]);
    assert_eq!(checked.code(), 0, "{checked:?}");
    for says in [
        "lb.cfg:2:10: warning: there is no user 'no-such-user' on this machine; it would not start here",
        "lb.cfg:3:11: warning: there is no group 'no-such-group' on this machine; it would not start here",
    ] {
        assert!(checked.stderr.contains(says), "{checked:?}");
    }
    assert_eq!(lab.program().run(["-c", "-dW", "-f", name]).code(), 1);
    let started = lab.program().run(["-f", name]);
    assert_eq!(started.code(), 1, "{started:?}");
    let says = "lb.cfg:2:10: there is no user 'no-such-user' on this machine";
    assert!(started.stderr.contains(says), "{started:?}");
    fs::remove_dir_all(&directory).unwrap();
}
