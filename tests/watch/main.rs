//! What watches evenkeel, and what it runs in: monitoring/ with the real Prometheus, which is told of a
//! balancer and raises alerts; rules and dashboard ask for nothing that is not measured; messages as
//! JSON; docker/ without an engine.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod container;
mod dashboard;
mod files;
mod image;
mod messages;
mod prometheus;
mod scrape;
