//! The packages of evenkeel-bootstrap: what is in them, and that they work where they are installed.

use std::path::Path;
use std::process::Command;

use crate::machine::with_machine;
use crate::parcel::{bootstrap_deb, bootstrap_rpm, missing};
use crate::support::not_run;

const FILES: [&str; 8] = [
    "/usr/bin/evenkeel-bootstrap",
    "/usr/share/man/man8/evenkeel-bootstrap.8",
    "/usr/share/bash-completion/completions/evenkeel-bootstrap",
    "/usr/share/zsh/vendor-completions/_evenkeel-bootstrap",
    "/usr/share/fish/vendor_completions.d/evenkeel-bootstrap.fish",
    "/usr/share/doc/evenkeel-bootstrap/bootstrap.md",
    "/usr/share/doc/evenkeel-bootstrap/bootstrap-toml.md",
    "/usr/share/doc/evenkeel-bootstrap/preflight.md",
];

/// What a program prints of a package.
fn asked(program: &str, question: &[&str], package: &Path) -> String {
    let output = Command::new(program)
        .args(question)
        .arg(package)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program} {question:?}: {said}");
    said.into_owned()
}

#[track_caller]
fn has_all(list: &str, files: impl Iterator<Item = String>) {
    for file in files {
        // Debian packs manuals and what is long.
        let found = list
            .lines()
            .any(|line| line.ends_with(&file) || line.trim_end_matches(".gz").ends_with(&file));
        assert!(found, "{file} is not in\n{list}");
    }
}

#[test]
fn the_deb_of_the_bootstrap_is_right() {
    if let Some(why) = missing() {
        return not_run("package bootstrap: .deb", &why);
    }
    let deb = bootstrap_deb();
    let contents = asked("dpkg-deb", &["--contents"], &deb);
    has_all(&contents, FILES.iter().map(|file| (*file).to_owned()));
    // No service, no user, nothing to configure.
    assert!(!contents.contains("/etc/") && !contents.contains("systemd"));
    let depends = asked("dpkg-deb", &["--show", "--showformat=${Depends}"], &deb);
    assert!(depends.contains("openssh-client"), "{depends}");
    if !Path::new("/usr/bin/lintian").exists() {
        let why = "no lintian (Debian's package lintian has it)";
        return not_run("package bootstrap: lintian", why);
    }
    asked("lintian", &["--fail-on", "error", "--allow-root"], &deb);
}

#[test]
fn the_rpm_of_the_bootstrap_is_right() {
    let why = match Path::new("/usr/bin/rpm").exists() {
        true => missing(),
        false => Some("no rpm (Debian's package rpm has it)".to_owned()),
    };
    if let Some(why) = why {
        return not_run("package bootstrap: .rpm", &why);
    }
    let rpm = bootstrap_rpm();
    let files = asked("rpm", &["-qp", "--list"], &rpm);
    let of_fedora = |file: &&str| file.replace("/zsh/vendor-completions/", "/zsh/site-functions/");
    has_all(&files, FILES.iter().map(of_fedora));
    let requires = asked("rpm", &["-qp", "--requires"], &rpm);
    assert!(
        requires.lines().any(|one| one == "openssh-clients"),
        "{requires}"
    );
}

#[test]
fn the_bootstrap_runs_where_it_is_installed() {
    with_machine(
        "bootstrap::the_bootstrap_runs_where_it_is_installed",
        |machine| {
            machine.copy_in(&bootstrap_deb(), "/root/bootstrap.deb");
            // The machine has no ssh, and no network to get it from.
            machine.sh("dpkg -i --ignore-depends=openssh-client /root/bootstrap.deb");
            let version = machine.sh("evenkeel-bootstrap --version");
            assert_eq!(
                version,
                concat!("evenkeel-bootstrap ", env!("CARGO_PKG_VERSION"), "\n")
            );
            let page = machine.sh("zcat /usr/share/man/man8/evenkeel-bootstrap.8.gz");
            for part in [".TH evenkeel-bootstrap 8", ".SH SYNOPSIS", "preflight"] {
                assert!(page.contains(part), "no {part} in\n{page}");
            }
            machine.sh("dpkg -P evenkeel-bootstrap && ! test -e /usr/bin/evenkeel-bootstrap");
        },
    );
}
