//! Stand-ins for kubeadm, kubelet, containerd and the parts of a control plane, so that whole clusters
//! can be made and broken on one machine in seconds. They are honest: what they print, and with which
//! code they exit, is what the real kubeadm 1.36.2 does, they check what it checks, they write real
//! files, and the API that they serve is the one that the real kubectl uses.
//!
//! One program, called by many names. What it does not do is run containers: a pod that has been
//! given to a kubelet is said to run.
//!
//! Files in `/run/doubles` make it misbehave on purpose; [`faults`] lists them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a program for tests: it prints as kubeadm does, and may panic where that cannot happen"
)]

mod api;
mod containerd;
mod controllers;
mod dns;
mod etcd;
mod etcdctl;
mod faults;
mod http;
mod kubeadm;
mod kubeconfig;
mod kubectl;
mod kubelet;
mod pki;
mod pods;
mod store;
mod yaml;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called)
        .file_name()
        .unwrap_or_default()
        .to_owned();
    let arguments: Vec<String> = arguments.collect();
    run(&name.to_string_lossy(), arguments)
}

/// Runs what `name` stands for; called by its own name, the first argument says it.
fn run(name: &str, mut arguments: Vec<String>) -> ExitCode {
    match name {
        "kubeadm" => kubeadm::run(&arguments),
        "kubelet" => kubelet::run(&arguments),
        "kubectl" => kubectl::run(&arguments),
        "containerd" => containerd::run(&arguments),
        "ctr" => containerd::ctr(&arguments),
        "crictl" => containerd::crictl(&arguments),
        "kube-apiserver" => api::run(&arguments),
        "etcd" => etcd::run(&arguments),
        "etcdctl" => etcdctl::etcdctl(&arguments),
        "curl" => etcdctl::curl(&arguments),
        "kube-controller-manager" => controllers::run(&arguments, 10257),
        "kube-scheduler" => controllers::run_scheduler(&arguments, 10259),
        _ if !arguments.is_empty() => {
            let name = arguments.remove(0);
            run(&name, arguments)
        }
        other => {
            eprintln!("doubles: nothing stands in for '{other}'");
            ExitCode::from(2)
        }
    }
}

/// The release that a package of doubles was made as.
fn version(program: &str) -> String {
    std::fs::read_to_string(format!("/usr/share/doubles/{program}.version"))
        .map_or_else(|_| "v1.36.2".to_owned(), |text| text.trim().to_owned())
}
