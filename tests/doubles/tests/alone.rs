//! What the double of kubeadm says without a cluster is what kubeadm 1.36.2 says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

fn kubeadm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doubles"));
    command.arg0("kubeadm").args(arguments).output().unwrap()
}

fn check(arguments: &[&str], status: i32, expected: &str) {
    let output = kubeadm(arguments);
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), expected, "{arguments:?}");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}");
}

#[test]
fn its_version_is_that_of_the_transcripts() {
    check(&["version", "-o", "short"], 0, "v1.36.2\n");
}

#[test]
fn it_lists_the_images_of_its_release() {
    check(
        &[
            "config",
            "images",
            "list",
            "--kubernetes-version",
            "v1.36.2",
        ],
        0,
        "registry.k8s.io/kube-apiserver:v1.36.2\n\
         registry.k8s.io/kube-controller-manager:v1.36.2\n\
         registry.k8s.io/kube-scheduler:v1.36.2\n\
         registry.k8s.io/kube-proxy:v1.36.2\n\
         registry.k8s.io/coredns/coredns:v1.14.2\n\
         registry.k8s.io/pause:3.10.2\n\
         registry.k8s.io/etcd:3.6.8-0\n",
    );
}

#[test]
fn a_certificate_key_is_64_hexadecimal_digits_and_never_the_same() {
    let key = || String::from_utf8(kubeadm(&["certs", "certificate-key"]).stdout).unwrap();
    let (one, other) = (key(), key());
    assert!(
        one.len() == 65 && one.trim().bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{one}"
    );
    assert_ne!(one, other);
}
