//! The .deb and the .rpm, made by packaging/build of the program under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::Machine;
use crate::support::static_program::{cargo, static_program, static_program_of, target};

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
socket = "/run/evenkeel/stats.sock"
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
    deb_of("evenkeel", version)
}

fn deb_of(program: &str, version: &str) -> PathBuf {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let file = format!("{program}_{version}_{architecture}.deb");
    pack("deb", version, &[program], &file)
}

/// The .deb of evenkeel-bootstrap.
pub(crate) fn bootstrap_deb() -> PathBuf {
    make_bootstrap();
    deb_of("evenkeel-bootstrap", "0.1.0-1")
}

/// Its .rpm.
pub(crate) fn bootstrap_rpm() -> PathBuf {
    make_bootstrap();
    rpm_of("evenkeel-bootstrap", "0.1.0-1")
}

/// It is a program of another crate, of which cargo does not tell this test.
fn make_bootstrap() {
    let arguments = ["build", "-p", "evenkeel-bootstrap"];
    cargo(target(), &arguments, &[]);
}

/// An .rpm of this version; each is made once.
pub(crate) fn rpm(version: &str) -> PathBuf {
    rpm_of("evenkeel", version)
}

fn rpm_of(program: &str, version: &str) -> PathBuf {
    let architecture = std::env::consts::ARCH;
    let file = format!("{program}-{version}.{architecture}.rpm");
    pack("rpm", version, &[program], &file)
}

/// The tarball; made once. It needs no tool that may be missing.
pub(crate) fn tarball() -> PathBuf {
    static_program();
    static_program_of("evenkeel-bootstrap");
    make_bootstrap();
    let version = env!("CARGO_PKG_VERSION");
    let architecture = std::env::consts::ARCH;
    let name = format!("evenkeel-{version}-{architecture}-unknown-linux-gnu-static.tar.gz");
    pack(
        "tarball",
        "0.1.0-1",
        &["evenkeel", "evenkeel-bootstrap"],
        &name,
    )
}

/// Has a file of these programs made, if it is older than what it is made of.
fn pack(kind: &str, version: &str, programs: &[&str], file: &str) -> PathBuf {
    let output = Path::new(ROOT).join("target/packaging/tested");
    std::fs::create_dir_all(&output).unwrap();
    // Tests run as threads and as processes of their own: whoever holds this file packs.
    let lock = File::create(output.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let folder = Path::new(env!("CARGO_BIN_EXE_evenkeel")).parent().unwrap();
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
    .chain(programs.iter().map(|program| folder.join(program)))
    .chain(["Cargo.toml", "crates/bootstrap/Cargo.toml"].map(|file| Path::new(ROOT).join(file)));
    let made = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    if sources.map(|path| made(&path)).max() > Some(made(&parcel)) {
        let mut build = Command::new(packaging.join("build"));
        if let [only] = programs {
            build.args(["--only", only]);
        }
        let packed = build
            .arg("--no-build")
            .arg(folder.file_name().unwrap())
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
