//! Upgrades that come to nothing: the process that runs goes on untouched and says why.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A path that a program is started by, at which tests put others.
struct Installed(PathBuf);

impl Installed {
    fn new() -> Self {
        let path = crate::support::balancer::temporary_directory().join("evenkeel");
        let installed = Self(path);
        installed.put(&Self::ours(), 0o755);
        installed
    }

    fn ours() -> Vec<u8> {
        std::fs::read(env!("CARGO_BIN_EXE_evenkeel")).unwrap()
    }

    /// As a package manager does: another file by the same name.
    fn put(&self, bytes: &[u8], mode: u32) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn remove(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// How many zombies `pid` is the parent of.
fn zombies(pid: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stats =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let mark = format!(") Z {pid} ");
    stats.filter(|stat| stat.contains(&mark)).count()
}

#[test]
fn an_upgrade_to_a_program_that_does_not_run_changes_nothing() {
    let lab = Lab::of(Program::Evenkeel);
    let [a, b] = lab.origins(["a", "b"]);
    let echo = lab.echo();
    let (front, streams) = (lab.address(), lab.address());
    let installed = Installed::new();
    let launch = Launch {
        path: Some(installed.0.clone()),
        ..Launch::default()
    };
    let servers = [a.address(), b.address(), echo.address()];
    let mut line = Line::launch(&lab, &config(&lab, front, streams, servers), launch);
    let mut stream = Peer::connect(streams);
    let mut foreign = Installed::ours();
    // e_machine (elf(5)): a machine that nobody has.
    foreign[18..20].copy_from_slice(&[0xff, 0xff]);
    let ours = Installed::ours();
    let cases: [(&str, &dyn Fn(), &str); 6] = [
        (
            "not executable",
            &|| installed.put(&ours, 0o644),
            "ermission denied",
        ),
        ("another machine's", &|| installed.put(&foreign, 0o755), ""),
        ("half a file", &|| installed.put(&ours[..4096], 0o755), ""),
        (
            "ends at once",
            &|| installed.put(b"#!/bin/sh\nexit 3\n", 0o755),
            "has ended",
        ),
        (
            "is killed",
            &|| installed.put(b"#!/bin/sh\nkill -9 $$\n", 0o755),
            "has ended",
        ),
        ("is not there", &|| installed.remove(), "cannot start "),
    ];
    for (what, put, why) in cases {
        put();
        let failed = line.upgrade(&lab);
        assert_eq!(failed.code(), 1, "{what}: {failed:?}");
        assert!(failed.stderr.contains(why), "{what}: {failed:?}");
        assert!(
            failed.stderr.contains("upgrade failed"),
            "{what}: {failed:?}"
        );
        assert!(line.first.is_running(), "{what}");
        assert!(!visit(front).is_empty(), "{what}");
        stream.send("x");
        assert_eq!(stream.receive_exactly(1), b"x", "{what}");
        assert!(line.followers().is_empty(), "{what}");
        assert_eq!(zombies(line.first.pid()), 0, "{what}");
    }
    let told = line
        .first
        .says("upgrade failed, everything stays as it was");
    assert!(!told.is_empty());
    // What commands ask for is done again, as before.
    assert_eq!(line.ask("set weight api/a 7").trim(), "");
    installed.put(&ours, 0o755);
    line.follow(&lab);
    assert!(line.ask("get weight api/a").starts_with("7 "));
}

/// It bound everything by then.
#[test]
fn a_disabled_frontend_refuses_after_an_upgrade_that_failed() {
    let lab = Lab::of(Program::Evenkeel);
    let [a, b] = lab.origins(["a", "b"]);
    let echo = lab.echo();
    let (front, streams) = (lab.address(), lab.address());
    let servers = [a.address(), b.address(), echo.address()];
    let text = config(&lab, front, streams, servers);
    let line = Line::start(&lab, &text);
    line.ask("disable frontend api");
    let file = line.first.file("lb.cfg");
    let good = std::fs::read_to_string(&file).unwrap();
    let nowhere = Path::new("/nonexistent/pid").display();
    std::fs::write(
        &file,
        good.replacen("global\n", &format!("global\n    pidfile {nowhere}\n"), 1),
    )
    .unwrap();
    let failed = line.upgrade(&lab);
    assert_eq!(failed.code(), 1);
    assert!(failed.stderr.contains("/nonexistent/pid"), "{failed:?}");
    assert!(!loopback::is_listening(front));
    assert!(Peer::try_connect(front).is_err());
    line.ask("enable frontend api");
    assert!(!visit(front).is_empty());
}

/// Its operator stops the service while another process is being started to follow.
#[test]
fn a_service_that_is_told_to_end_takes_along_what_was_to_follow_it() {
    for signal in [Signal::USR1, Signal::TERM] {
        let lab = Lab::of(Program::Evenkeel);
        let [a, b] = lab.origins(["a", "b"]);
        let echo = lab.echo();
        let (front, streams) = (lab.address(), lab.address());
        let installed = Installed::new();
        let launch = Launch {
            path: Some(installed.0.clone()),
            ..Launch::default()
        };
        let servers = [a.address(), b.address(), echo.address()];
        let mut line = Line::launch(&lab, &config(&lab, front, streams, servers), launch);
        // It hears nothing, says nothing and does not end by itself.
        let note = installed.0.with_extension("pid");
        let hangs = format!(
            "#!/bin/sh\necho $$ >{0}.new && mv {0}.new {0}\nexec sleep 300\n",
            note.display()
        );
        installed.put(hangs.as_bytes(), 0o755);
        let master = line.master.display().to_string();
        let asked = std::thread::spawn(move || Program::Evenkeel.run(["upgrade", "-S", &master]));
        let child: u32 = until("it to be started", || {
            std::fs::read_to_string(&note).ok()?.trim().parse().ok()
        });
        assert!(lives(child));
        line.first.signal(signal);
        line.first.exit();
        assert!(!lives(child), "{signal:?}: it was left behind");
        assert_ne!(asked.join().unwrap().code(), 0);
    }
}
