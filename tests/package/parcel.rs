//! The .deb, made by packaging/build of the program under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::Machine;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

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

/// Why there can be no package, if so.
pub(crate) fn missing() -> Option<String> {
    let tools = std::env::var_os("EVENKEEL_TOOLS")
        .map_or_else(|| Path::new(ROOT).join("target/tools"), PathBuf::from);
    let packer = tools.join("bin/cargo-deb");
    if !packer.exists() {
        let place = packer.display();
        return Some(format!("no {place}: 'packaging/build tools' installs it"));
    }
    let dpkg = Path::new("/usr/bin/dpkg-deb");
    (!dpkg.exists()).then(|| "dpkg-deb is missing (Debian's package dpkg has it)".to_owned())
}

/// A package of this version; each is made once.
pub(crate) fn deb(version: &str) -> PathBuf {
    let output = Path::new(ROOT).join("target/packaging/tested");
    std::fs::create_dir_all(&output).unwrap();
    // Tests run as threads and as processes of their own: whoever holds this file packs.
    let lock = File::create(output.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let deb = output.join(format!("evenkeel_{version}_{architecture}.deb"));
    let packaging = Path::new(ROOT).join("packaging");
    let sources = [packaging.clone(), packaging.join("debian")]
        .into_iter()
        .flat_map(|folder| folder.read_dir().unwrap())
        .map(|file| file.unwrap().path())
        .chain([program.to_owned(), Path::new(ROOT).join("Cargo.toml")]);
    let made = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    if sources.map(|path| made(&path)).max() > Some(made(&deb)) {
        let profile = program.parent().and_then(Path::file_name).unwrap();
        let packed = Command::new(packaging.join("build"))
            .arg("--no-build")
            .arg(profile)
            .args(["--version", version, "--output"])
            .arg(&output)
            .arg("deb")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&packed.stderr);
        assert!(packed.status.success(), "packaging/build: {said}");
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
