//! The .deb, made by packaging/build of the program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::machine::Machine;

/// Where clients of the tests' configuration connect.
pub(crate) const FRONT: &str = "127.0.0.1:6443";
/// Where it sends them.
pub(crate) const MASTERS: [&str; 2] = ["127.0.0.11:6443", "127.0.0.12:6443"];

pub(crate) const CONFIG: &str = r#"
[frontend.kubernetes]
bind = "127.0.0.1:6443"
backend = "masters"

[backend.masters.servers]
master1 = "127.0.0.11:6443"
master2 = "127.0.0.12:6443"

[admin]
listen = "127.0.0.1:9101"
"#;

/// A package of this version; each is made once.
pub(crate) fn deb(version: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Tests run as processes of their own: whoever holds the lock on this file packs.
    let packages = root.join("target/packages");
    std::fs::create_dir_all(&packages).unwrap();
    let lock = std::fs::File::create(packages.join(".lock")).unwrap();
    lock.lock().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let profile = program.parent().and_then(Path::file_name).unwrap();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let deb = packages.join(format!("evenkeel_{version}_{architecture}.deb"));
    let made = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|found| found.modified())
            .ok()
    };
    if made(&deb) < made(program) {
        let output = Command::new(root.join("packaging/build"))
            .arg("--no-build")
            .arg(profile)
            .args(["--version", version, "deb"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "packaging/build: {said}");
    }
    deb
}

/// Installs it, as an operator would who has put a configuration there before.
pub(crate) fn install(machine: &Machine, version: &str) {
    machine.copy_in(&deb(version), "/root/evenkeel.deb");
    machine.sh("dpkg -i --force-confold /root/evenkeel.deb");
}

/// Installs it with the tests' configuration in place of the sample, and sees it serve.
pub(crate) fn install_configured(machine: &Machine) {
    install(machine, "0.1.0-1");
    machine.write("/etc/evenkeel/evenkeel.toml", CONFIG);
    machine.sh("systemctl restart evenkeel && systemctl is-active evenkeel");
}
