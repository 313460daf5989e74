//! Clusters from bare machines: booted Debians with real systemd and sshd in namespaces of the test's
//! own, evenkeel's real package, the real kubectl, and doubles of kubeadm, kubelet and containerd that
//! say and check what the real ones do.
//!
//! Needs root.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests, and a lab whose parts not every test uses"
)]

#[path = "../support/booted.rs"]
mod booted;
mod by_hand;
#[path = "../support/caller.rs"]
mod caller;
mod down;
mod from_nothing;
mod killed;
mod lab;
mod node;
#[path = "../support/notice.rs"]
mod notice;
mod operate;
mod operator;
mod pair;
mod parcels;
#[path = "../support/space.rs"]
mod space;
#[path = "../support/tools.rs"]
mod tools;
mod traffic;
mod transcripts;
mod trouble;
#[path = "../support/wait.rs"]
mod wait;
mod words;
