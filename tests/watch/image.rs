//! The container's image: built from docker/Dockerfile by buildah, with the compiler's place taken by a
//! program that is there already; or, where there is no buildah, put together as the Dockerfile says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::files::{path, text};
use crate::support::balancer::temporary_directory;
use crate::support::not_run;
use crate::support::static_program::static_program;

/// The second line of HEALTHCHECK.
pub(crate) const HEALTH: &str = "    CMD";

/// An image's root directory and what it says of how to run it.
pub(crate) struct Image {
    pub(crate) root: PathBuf,
    directory: PathBuf,
}

impl Image {
    /// Builds it.
    pub(crate) fn build() -> Self {
        let directory = temporary_directory();
        let program = static_program();
        let root = if runs("buildah", &["--version"]) && runs("/bin/busybox", &["true"]) {
            built_by_buildah(&directory, &program)
        } else {
            not_run(
                "docker/Dockerfile by buildah",
                "no buildah or no busybox-static; its root was put together by hand",
            );
            assembled(&directory, &program)
        };
        Self { root, directory }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What an instruction of the Dockerfile lists: `CMD ["a", "b"]`; [`HEALTH`] is another's.
pub(crate) fn listed(instruction: &str) -> Vec<String> {
    let file = text("docker/Dockerfile");
    let line = file
        .lines()
        .find(|line| line.starts_with(&format!("{instruction} [")))
        .unwrap_or_else(|| panic!("no {instruction} in docker/Dockerfile"));
    serde_json::from_str(&line[instruction.len()..]).unwrap()
}

/// The root directory after the whole Dockerfile has run. No registry is asked: what it builds upon
/// is a busybox with a `cargo` that puts the program where cargo would.
fn built_by_buildah(directory: &Path, program: &Path) -> PathBuf {
    let cargo = directory.join("cargo");
    let script = "#!/bin/sh\n\
        mkdir -p target/release && cp /prebuilt target/release/evenkeel\n";
    std::fs::write(&cargo, script).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let authorities = directory.join("ca-certificates.crt");
    std::fs::write(&authorities, "# no authority\n").unwrap();

    let base = buildah(directory, &["from", "scratch"]);
    for (from, to) in [
        (Path::new("/bin/busybox"), "/bin/busybox"),
        (Path::new("/bin/busybox"), "/bin/sh"),
        (program, "/prebuilt"),
        (&cargo, "/bin/cargo"),
        (&authorities, "/etc/ssl/certs/ca-certificates.crt"),
    ] {
        buildah(
            directory,
            &["copy", "-q", &base, from.to_str().unwrap(), to],
        );
    }
    let install = ["/bin/busybox", "--install", "-s", "/bin"];
    let run = ["run", "--isolation", "chroot", &base];
    buildah(directory, &[&run[..], &install].concat());
    buildah(directory, &["config", "--env", "PATH=/bin", &base]);
    buildah(directory, &["commit", "-q", &base, "rust:1-bookworm"]);

    let file = path("docker/Dockerfile");
    let checkout = path("");
    let build = ["bud", "-q", "--isolation", "chroot", "--format", "docker"];
    let what = ["--pull-never", "-t", "evenkeel", "-f"];
    let of = [file.to_str().unwrap(), checkout.to_str().unwrap()];
    buildah(directory, &[&build[..], &what, &of].concat());

    let told = buildah(directory, &["inspect", "--type", "image", "evenkeel"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let config = &told["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["StopSignal"], "SIGUSR1");
    assert_eq!(config["Entrypoint"], Value::from(listed("ENTRYPOINT")));
    assert_eq!(config["Cmd"][0], "-f");
    assert_eq!(config["Healthcheck"]["Test"][1], listed(HEALTH)[0]);
    for port in ["6443/tcp", "9101/tcp"] {
        assert!(config["ExposedPorts"][port].is_object(), "{config}");
    }
    let container = buildah(directory, &["from", "--pull-never", "evenkeel"]);
    PathBuf::from(buildah(directory, &["mount", &container]))
}

/// Runs buildah on a storage of the test's own; what it printed.
fn buildah(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("buildah")
        .arg("--root")
        .arg(directory.join("storage"))
        .arg("--runroot")
        .arg(directory.join("run"))
        .args(["--storage-driver", "vfs"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "buildah {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The root directory as the Dockerfile would have made it.
fn assembled(directory: &Path, program: &Path) -> PathBuf {
    let root = directory.join("root");
    for folder in ["etc/evenkeel", "run/evenkeel"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::copy(program, root.join("evenkeel")).unwrap();
    let configuration = root.join("etc/evenkeel/evenkeel.toml");
    std::fs::copy(path("docker/evenkeel.toml"), configuration).unwrap();
    root
}

/// Whether a program is there.
pub(crate) fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}
