//! The static tarball: its program needs nothing of the machine that it runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::parcel::tarball;
use crate::support::balancer::temporary_directory;
use crate::support::not_run;

const CONFIG: &str = "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1m\n  timeout server 1m\n\
    listen api\n  bind 127.0.0.1:6443\n  server master1 NAME:6443 check\n";

/// A root directory with the program of the tarball and what a test puts there; gone with this value.
struct Root(PathBuf);

impl Root {
    fn unpacked() -> Self {
        let root = temporary_directory();
        let unpacked = Command::new("tar")
            .args(["--strip-components=1", "-xzf"])
            .arg(tarball())
            .arg("-C")
            .arg(&root)
            .status()
            .unwrap();
        assert!(unpacked.success());
        Self(root)
    }

    fn write(&self, file: &str, content: &str) {
        let file = self.0.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    /// Loads a file whose server has this name.
    fn load(&self, name: &str) -> Output {
        self.write("lb.cfg", &CONFIG.replace("NAME", name));
        Command::new("chroot")
            .arg(&self.0)
            .args(["/sbin/evenkeel", "-c", "-V", "-f", "/lb.cfg"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn holds(root: &Path, file: &str) -> bool {
    root.join(file)
        .metadata()
        .is_ok_and(|found| found.len() > 0)
}

#[test]
fn its_program_runs_alone_and_looks_names_up() {
    if !rustix::process::geteuid().is_root() {
        return not_run("package tarball", "chroot takes root");
    }
    let root = Root::unpacked();
    for file in [
        "README.md",
        "LICENSE-APACHE",
        "docs/install.md",
        "man/evenkeel.8",
        "completions/evenkeel.bash",
        "completions/evenkeel-bootstrap.fish",
        "man/evenkeel-bootstrap.8",
        "systemd/evenkeel.service",
        "monitoring/alerts.yaml",
        "evenkeel.toml",
    ] {
        assert!(holds(&root.0, file), "no {file}");
    }
    let bootstrap = Command::new("chroot")
        .arg(&root.0)
        .args(["/sbin/evenkeel-bootstrap", "--version"])
        .output()
        .unwrap();
    assert!(bootstrap.status.success(), "{bootstrap:?}");
    // Nothing is there to look names up in: glibc's own two sources know `localhost` all the same, or not,
    // by its version; with /etc/hosts they have to.
    root.write(
        "etc/hosts",
        "127.0.0.1 localhost\n127.0.0.11 master1.example.com\n",
    );
    for name in ["127.0.0.1", "localhost", "master1.example.com"] {
        let loaded = root.load(name);
        assert!(loaded.status.success(), "{name}: {loaded:?}");
    }
    // A machine's list of sources may name libraries that are not for this program.
    root.write(
        "etc/nsswitch.conf",
        "passwd: files systemd\nhosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n",
    );
    let loaded = root.load("master1.example.com");
    assert!(loaded.status.success(), "{loaded:?}");
    let unknown = root.load("nobody.example.com");
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(
        !unknown.status.success()
            && said.contains("lb.cfg:8:18: ")
            && said.contains("nobody.example.com"),
        "{unknown:?}"
    );
}
