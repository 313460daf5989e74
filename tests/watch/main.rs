//! monitoring/ and docs/watch.md with the real Prometheus: what it is told of a balancer, which alerts
//! it raises, and that rules and dashboard ask for nothing that is not measured.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod dashboard;
mod files;
mod prometheus;
mod scrape;
