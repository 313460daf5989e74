//! The .deb and the .rpm, made by packaging/build of the program under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::Machine;
use crate::support::static_program::static_program;

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
    for packer in ["bin/cargo-deb", "bin/cargo-generate-rpm"] {
        let packer = tools.join(packer);
        if !packer.exists() {
            let place = packer.display();
            return Some(format!("no {place}: 'packaging/build tools' installs it"));
        }
    }
    let dpkg = Path::new("/usr/bin/dpkg-deb");
    (!dpkg.exists()).then(|| "dpkg-deb is missing (Debian's package dpkg has it)".to_owned())
}

/// A .deb of this version; each is made once.
pub(crate) fn deb(version: &str) -> PathBuf {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    pack(
        "deb",
        version,
        &format!("evenkeel_{version}_{architecture}.deb"),
    )
}

/// An .rpm of this version; each is made once.
pub(crate) fn rpm(version: &str) -> PathBuf {
    let architecture = std::env::consts::ARCH;
    pack(
        "rpm",
        version,
        &format!("evenkeel-{version}.{architecture}.rpm"),
    )
}

/// The tarball; made once. It needs no tool that may be missing.
pub(crate) fn tarball() -> PathBuf {
    static_program();
    let version = env!("CARGO_PKG_VERSION");
    let architecture = std::env::consts::ARCH;
    let name = format!("evenkeel-{version}-{architecture}-unknown-linux-gnu-static.tar.gz");
    pack("tarball", "0.1.0-1", &name)
}

fn pack(kind: &str, version: &str, file: &str) -> PathBuf {
    let output = Path::new(ROOT).join("target/packaging/tested");
    std::fs::create_dir_all(&output).unwrap();
    // Tests run as threads and as processes of their own: whoever holds this file packs.
    let lock = File::create(output.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let parcel = output.join(file);
    let packaging = Path::new(ROOT).join("packaging");
    let sources = [
        "packaging",
        "packaging/debian",
        "packaging/rpm",
        "monitoring",
    ]
    .into_iter()
    .flat_map(|folder| Path::new(ROOT).join(folder).read_dir().unwrap())
    .map(|file| file.unwrap().path())
    .chain([program.to_owned(), Path::new(ROOT).join("Cargo.toml")]);
    let made = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    if sources.map(|path| made(&path)).max() > Some(made(&parcel)) {
        let profile = program.parent().and_then(Path::file_name).unwrap();
        let packed = Command::new(packaging.join("build"))
            .arg("--no-build")
            .arg(profile)
            .args(["--version", version, "--output"])
            .arg(&output)
            .arg(kind)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&packed.stderr);
        assert!(packed.status.success(), "packaging/build: {said}");
    }
    parcel
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
