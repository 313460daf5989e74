//! The program as docker/Dockerfile and the tarball have it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Linked with all that it needs, so that it runs where nothing else is. Cargo makes it anew when its source
/// has changed; `tests/run` has it made before the tests. The libraries are those of other builds.
pub(crate) fn static_program() -> PathBuf {
    static_program_of("evenkeel")
}

/// That of a package that is named as its program is.
pub(crate) fn static_program_of(package: &str) -> PathBuf {
    let place = target().join("static");
    let arguments = ["rustc", "-p", package, "--bin", package];
    cargo(
        &place,
        &arguments,
        &["--", "-C", "target-feature=+crt-static"],
    );
    place.join("debug").join(package)
}

/// Where all is built.
pub(crate) fn target() -> &'static Path {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("cargo's folder for tests is in its target folder")
}

/// Has cargo make something, what is final into `place`.
pub(crate) fn cargo(place: &Path, arguments: &[&str], last: &[&str]) {
    let mut cargo = Command::new("nice");
    cargo
        .arg(env!("CARGO"))
        .args(arguments)
        .args(["--quiet", "--locked"])
        .args(last)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // What the cargo that runs this test set would have it build everything again.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            cargo.env_remove(name);
        }
    }
    let made = cargo
        .env("CARGO_TARGET_DIR", place)
        .env("CARGO_BUILD_BUILD_DIR", target())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}
