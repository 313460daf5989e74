//! docker/: the image's root directory runs as its Dockerfile says, read-only and as its numeric user.
//! No container engine takes part: `unshare` and `chroot` do what it would.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::files::{path, text};
use crate::image::{HEALTH, Image, listed, runs};
use crate::support::lab::visit;
use crate::support::metrics::get;
use crate::support::{Lab, Peer, Program, loopback, not_run, until};

/// Enters the image as a container engine would: a root directory that cannot be written to, /proc,
/// and nobody's user.
const ENTER: &str = "set -e
root=$1; shift
mount --bind \"$root\" \"$root\"
mount -t proc proc \"$root/proc\"
mount -o remount,bind,ro \"$root\"
exec chroot --userspec=65532:65532 --groups=65532 \"$root\" \"$@\"
";

fn entering(image: &Image, command: &[String]) -> Command {
    let mut entering = Command::new("unshare");
    entering
        .args(["--mount", "sh", "-c", ENTER, "sh"])
        .arg(&image.root)
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    entering
}

/// The Dockerfile's words, with the port of metrics at a free address.
fn words(instruction: &str, admin: SocketAddr) -> Vec<String> {
    let ends = |word: &String| word.ends_with(":9101");
    let words = listed(instruction).into_iter();
    words
        .map(|word| if ends(&word) { admin.to_string() } else { word })
        .collect()
}

struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn image_serves_read_only_as_nobody_and_drains_when_it_is_stopped() {
    if !rustix::process::geteuid().is_root() || !runs("unshare", &["--mount", "true"]) {
        not_run(
            "the container's image",
            "entering it takes root and a mount namespace",
        );
        return;
    }
    let lab = Lab::of(Program::Evenkeel);
    let origins = lab.origins(["master1", "master2"]);
    let (front, admin) = (lab.address(), lab.address());
    let image = Image::build();
    fs::create_dir(image.root.join("proc")).unwrap();
    // What docker mounts, and the configuration of the image with this test's ports.
    fs::write(
        image.root.join("etc/hosts"),
        format!("{} master1 master2\n", lab.ip()),
    )
    .unwrap();
    let mut configuration = text("docker/evenkeel.toml").replace(":6443\"\nb", "LISTEN\"\nb");
    configuration = configuration.replace("LISTEN", &front.to_string());
    for (name, origin) in ["master1", "master2"].iter().zip(&origins) {
        let place = format!("{name}:{}", origin.address().port());
        configuration = configuration.replace(&format!("{name}:6443"), &place);
    }
    fs::write(image.root.join("etc/evenkeel/evenkeel.toml"), configuration).unwrap();

    let command = [words("ENTRYPOINT", admin), words("CMD", admin)].concat();
    let mut child = entering(&image, &command)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let messages = BufReader::new(child.stderr.take().unwrap());
    let mut container = Container(child);
    until("it serves", || {
        if let Some(status) = container.0.try_wait().unwrap() {
            panic!("it ended: {status}");
        }
        (loopback::is_listening(front) && loopback::is_listening(admin)).then_some(())
    });
    let mut seen = [visit(front), visit(front)];
    seen.sort();
    assert_eq!(seen, ["master1", "master2"]);
    for probe in ["/readyz", "/serving"] {
        assert!(get(admin, probe).0.contains(" 200 "), "{probe}");
    }

    let process = format!("/proc/{}", container.0.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532\t65532\t65532",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "{line}:\n{status}"
        );
    }
    let mounts = fs::read_to_string(format!("{process}/mountinfo")).unwrap();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .unwrap();
    assert!(root.split(' ').nth(5).unwrap().starts_with("ro"), "{root}");
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
    assert!(!maps.contains(".so"), "a library is loaded:\n{maps}");

    let healthy = || {
        let health = words(HEALTH, admin);
        let ended = entering(&image, &health).output().unwrap();
        (ended.status.success(), format!("{ended:?}"))
    };
    let (is_healthy, told) = healthy();
    assert!(is_healthy, "{told}");

    // `docker stop`: an exchange that is open may end.
    let mut open = Peer::connect(front);
    assert!(!open.receive_line().is_empty());
    kill_process(Pid::from_child(&container.0), Signal::USR1).unwrap();
    until("it accepts nothing more", || {
        (!loopback::is_listening(front)).then_some(())
    });
    assert!(!healthy().0, "a container that drains is healthy");
    assert_eq!(container.0.try_wait().unwrap(), None);
    drop(open);
    let status = until("it ends", || container.0.try_wait().unwrap());
    assert!(status.success(), "{status}");

    let messages: Vec<_> = messages.lines().map(Result::unwrap).collect();
    assert!(messages.iter().any(|line| line.contains("draining")));
    for line in &messages {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["message"].is_string(), "{line}");
    }
}

#[test]
fn samples_of_the_container_load() {
    // Command lines that the manifests give.
    let pod = text("docker/static-pod.yaml");
    let arguments: Vec<_> = pod
        .lines()
        .skip_while(|line| !line.ends_with("args:"))
        .skip(1)
        .map_while(|line| line.strip_prefix("        - "))
        .collect();
    assert_eq!(arguments[..2], ["-W", "-f"]);
    let master = path("docker/demo/master.cfg");
    let entrypoint = listed("ENTRYPOINT");
    let entrypoint = entrypoint[1..].iter().map(String::as_str);
    for arguments in [arguments[3..].to_vec(), entrypoint.collect()] {
        let run = Program::Evenkeel
            .command()
            .args(["-c", "-W", "-f"])
            .arg(&master)
            .args(&arguments)
            .env("NAME", "master1")
            .output()
            .unwrap();
        assert!(run.status.success(), "{arguments:?}: {run:?}");
    }
    // A hung thread is a reason to start it anew, a master that is down is none.
    for (probe, asked) in [
        ("startupProbe", "/serving"),
        ("livenessProbe", "/serving"),
        ("readinessProbe", "/readyz"),
    ] {
        let (_, rest) = pod.split_once(&format!("{probe}:\n")).unwrap();
        let line = rest.lines().next().unwrap();
        assert!(
            line.ends_with(&format!("path: {asked} }}")),
            "{probe}: {line}"
        );
    }
    // A hung process hears no signal: the kubelet is not to wait for the drain that it was asked for.
    let (_, liveness) = pod.split_once("livenessProbe:\n").unwrap();
    let (liveness, _) = liveness.split_once("readinessProbe:\n").unwrap();
    assert!(
        liveness.contains("\n        terminationGracePeriodSeconds: 1\n"),
        "{liveness}"
    );
    // What compose.yaml mounts is there.
    let compose = text("docker/compose.yaml");
    let mounted: Vec<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ."))
        .filter_map(|mount| mount.split(':').next())
        .collect();
    assert!(mounted.len() >= 5, "{mounted:?}");
    for file in mounted {
        let file = path("docker").join(format!(".{file}"));
        assert!(file.exists(), "compose.yaml mounts {}", file.display());
    }
}

#[test]
fn docker_compose_reads_the_demo() {
    let Some((program, arguments)) = compose() else {
        let why = "no Docker Compose 2 (Debian's package docker-compose has it, from Debian 13 on)";
        return not_run("container docker/compose.yaml", why);
    };
    let output = Command::new(program)
        .args(arguments)
        .arg("--file")
        .arg(path("docker/compose.yaml"))
        .args(["config", "--quiet"])
        .output()
        .unwrap();
    // It also warns there of what it does not know.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Docker Compose 2 or later, as a plugin of docker or a program of its own.
fn compose() -> Option<(&'static str, &'static [&'static str])> {
    let programs: [(_, &[&str]); 2] = [("docker", &["compose"]), ("docker-compose", &[])];
    programs.into_iter().find(|(program, arguments)| {
        let mut command = Command::new(program);
        let output = command.args(*arguments).args(["version", "--short"]);
        let said = output
            .output()
            .ok()
            .filter(|output| output.status.success());
        said.is_some_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout);
            let major = said.trim_start_matches('v').split('.').next();
            major.is_some_and(|major| major.parse::<u32>().is_ok_and(|major| major >= 2))
        })
    })
}
