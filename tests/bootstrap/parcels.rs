//! What the machines can install: evenkeel's own package, and packages of the doubles that bear the
//! names and versions of what they stand for, all in one repository.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{DIRECTORY, tree};
use crate::tools::run;

/// The release of Kubernetes that the doubles are.
pub(crate) const RELEASE: &str = "1.36.2";
/// A later one, to upgrade to.
pub(crate) const NEXT: &str = "1.36.3";

/// Units of the packages, by the path of the file.
const KUBELET_UNIT: &str = include_str!("packages/kubelet.service");
const KUBELET_DROP_IN: &str = include_str!("packages/10-kubeadm.conf");
const CONTAINERD_UNIT: &str = include_str!("packages/containerd.service");

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
}

/// Where cargo has put programs.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_evenkeel-bootstrap"))
        .parent()
        .unwrap()
}

/// Why there can be no packages, if so.
pub(crate) fn missing() -> Option<String> {
    let tools =
        env::var_os("EVENKEEL_TOOLS").map_or_else(|| root().join("target/tools"), PathBuf::from);
    let packer = tools.join("bin/cargo-deb");
    (!packer.exists()).then(|| {
        let place = packer.display();
        format!("no {place}: 'packaging/build tools' installs it")
    })
}

/// Builds the programs that go into packages, once. `EVENKEEL_BUILT=1` says that they are beside this
/// one and up to date, as they are when cargo tests the whole workspace.
pub(crate) fn build() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let built = env::var_os("EVENKEEL_BUILT").is_some();
        for (package, program) in [("evenkeel", "evenkeel"), ("evenkeel-doubles", "doubles")] {
            if built {
                break;
            }
            let profile = match programs().file_name().unwrap().to_str().unwrap() {
                "debug" => "dev",
                other => other,
            };
            run(Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
                .args(["build", "--quiet", "--locked", "--profile", profile])
                .args(["-p", package, "--bin", program])
                .current_dir(root()));
        }
        run(Command::new(root().join("packaging/build"))
            .args([
                "--no-build",
                programs().file_name().unwrap().to_str().unwrap(),
            ])
            .args(["--version", "0.1.0-1", "--output"])
            .arg(output())
            .arg("deb"));
    });
}

fn output() -> PathBuf {
    root().join("target/packaging/bootstrapped")
}

/// Packs the doubles and lists everything as apt wants it; where that is, inside of a lab.
pub(crate) fn repository() -> PathBuf {
    let repository = Path::new(DIRECTORY).join("repository");
    fs::create_dir(&repository).unwrap();
    let program = Path::new(DIRECTORY).join("doubles");
    run(Command::new("strip")
        .arg("-o")
        .arg(&program)
        .arg(programs().join("doubles")));
    pack(&repository, "kubernetes-doubles", "1.0-1", &[], |root| {
        install(
            root,
            "usr/lib/doubles/doubles",
            0o755,
            &fs::read(&program).unwrap(),
        );
    });
    for release in [RELEASE, NEXT] {
        let version = format!("{release}-1.1");
        let doubles = ["kubernetes-doubles"];
        pack(
            &repository,
            "kubeadm",
            &version,
            &["kubernetes-doubles", "cri-tools"],
            |root| {
                link(root, "kubeadm");
                note(root, "kubeadm", release);
            },
        );
        pack(
            &repository,
            "kubelet",
            &version,
            &["kubernetes-doubles", "kubernetes-cni"],
            |root| {
                link(root, "kubelet");
                note(root, "kubelet", release);
                install(
                    root,
                    "lib/systemd/system/kubelet.service",
                    0o644,
                    KUBELET_UNIT.as_bytes(),
                );
                let drop_in = "lib/systemd/system/kubelet.service.d/10-kubeadm.conf";
                install(root, drop_in, 0o644, KUBELET_DROP_IN.as_bytes());
                enable_after(root, "kubelet");
            },
        );
        pack(&repository, "kubectl", &version, &doubles, |root| {
            let real = fs::read(tree().join("usr/bin/kubectl")).unwrap();
            install(root, "usr/lib/doubles/kubectl", 0o755, &real);
            link(root, "kubectl");
            note(root, "kubectl", release);
        });
    }
    let doubles = ["kubernetes-doubles"];
    for name in ["containerd", "containerd.io"] {
        pack(&repository, name, "2.1.9-1", &doubles, |root| {
            for program in ["containerd", "ctr"] {
                link(root, program);
            }
            note(root, "containerd", "2.1.9");
            install(
                root,
                "lib/systemd/system/containerd.service",
                0o644,
                CONTAINERD_UNIT.as_bytes(),
            );
            enable_after(root, "containerd");
        });
    }
    pack(&repository, "cri-tools", "1.36.0-1.1", &doubles, |root| {
        link(root, "crictl")
    });
    pack(&repository, "kubernetes-cni", "1.7.1-1.1", &[], |root| {
        install(root, "opt/cni/bin/loopback", 0o755, b"#!/bin/sh\nexit 0\n");
    });
    let evenkeel = output().join(format!("evenkeel_0.1.0-1_{}.deb", architecture()));
    fs::copy(evenkeel, repository.join("evenkeel.deb")).unwrap();
    if let Some(keepalived) = keepalived() {
        fs::copy(keepalived, repository.join("keepalived.deb")).unwrap();
    }
    index(&repository);
    repository
}

/// Debian's own package of keepalived, as it was installed in the tree.
pub(crate) fn keepalived() -> Option<PathBuf> {
    let cache = tree().join("var/cache/apt/archives");
    let mut files = fs::read_dir(cache).ok()?.filter_map(Result::ok);
    let is_it = |name: &str| name.starts_with("keepalived_") && name.ends_with(".deb");
    let found = files.find(|file| file.file_name().to_str().is_some_and(is_it));
    found.map(|file| file.path())
}

fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Makes one package.
fn pack(repository: &Path, name: &str, version: &str, depends: &[&str], fill: impl FnOnce(&Path)) {
    let root = Path::new(DIRECTORY)
        .join("pack")
        .join(format!("{name}-{version}"));
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let mut control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {}\nMaintainer: tests <tests@localhost>\n\
         Description: stands in for {name}\n",
        architecture()
    );
    if !depends.is_empty() {
        control += &format!("Depends: {}\n", depends.join(", "));
    }
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    fill(&root);
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Znone", "--build"])
        .arg(&root)
        .arg(repository.join(format!("{name}_{version}_{}.deb", architecture()))));
    fs::remove_dir_all(root).unwrap();
}

fn install(root: &Path, path: &str, mode: u32, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A program that is the doubles' under a name.
fn link(root: &Path, program: &str) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    std::os::unix::fs::symlink("../lib/doubles/doubles", root.join("usr/bin").join(program))
        .unwrap();
}

/// Tells a double of which release it is.
fn note(root: &Path, program: &str, release: &str) {
    let path = format!("usr/share/doubles/{program}.version");
    install(root, &path, 0o644, format!("v{release}\n").as_bytes());
}

/// As the real packages do: the unit is enabled and started.
fn enable_after(root: &Path, unit: &str) {
    let script = format!(
        "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n    systemctl daemon-reload\n    \
         systemctl enable -q {unit}\n    [ -n \"$2\" ] || systemctl start --no-block {unit}\nfi\n"
    );
    install(root, "DEBIAN/postinst", 0o755, script.as_bytes());
}

/// Writes the list of a repository.
fn index(repository: &Path) {
    let mut list = String::new();
    for package in fs::read_dir(repository).unwrap() {
        let path = package.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let sum = run(Command::new("sha256sum").arg(&path));
        let fields = run(Command::new("dpkg-deb").arg("--field").arg(&path));
        list += &format!(
            "{}\nFilename: ./{name}\nSize: {}\nSHA256: {}\n\n",
            fields.trim_end(),
            path.metadata().unwrap().len(),
            sum.split_whitespace().next().unwrap()
        );
    }
    fs::write(repository.join("Packages"), list).unwrap();
}
