//! The seed's topology in network namespaces: the file that people have, real TLS masters, curl and
//! kubectl as clients, and the faults of a real cluster, once with HAProxy in the middle and once
//! with evenkeel. What evenkeel's clients see must be what HAProxy's clients see, or better.
//!
//! Each test is a program of its own inside fresh network, mount and process namespaces, so that
//! tests run side by side, nothing is left behind whatever happens, and root is not required where
//! user namespaces are allowed. What could not run says so: `NOT RUN: <test>: <why>`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod balancer;
mod client;
mod faults;
mod lab;
mod namespaces;
mod report;
mod service;
#[path = "../support/mod.rs"]
mod support;

/// The file this project started from, to the letter.
const SEED: &str = include_str!("../../config/seed.cfg");

/// The same balancer as an operator tunes it: quick detection, quick failover, no idle connection
/// left on a server that is down.
const TUNED: &str = "\
defaults
    mode tcp
    option redispatch
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout check 1s
    default-server inter 1s fastinter 500ms fall 2 rise 2 on-marked-down shutdown-sessions

frontend kubernetes-frontend
    bind 10.0.1.10:6443
    option tcplog
    default_backend kubernetes-backend

backend kubernetes-backend
    balance roundrobin
    option tcp-check
    server master1 10.0.1.11:6443 check
    server master2 10.0.1.12:6443 check
";
