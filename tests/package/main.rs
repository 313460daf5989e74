//! The package in a Debian that was booted for it: what an operator's machine does with it, from
//! `dpkg -i` to purge, with clients all the while. Each test has a machine of its own, which shares
//! the network of the test and of nothing else and forgets everything when it goes.
//!
//! Needs root. `EVENKEEL_DEBIAN=trixie` boots that release, of which tests/run makes no tree by itself:
//!
//!     debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,haproxy trixie target/oracle/trixie-systemd
//!
//! `EVENKEEL_SERVICE_ROUNDS=100` repeats what is done under load so often (upgrades and
//! restarts a fifth of it).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod behaviour;
mod bootstrap;
mod handed;
mod install;
mod load;
mod machine;
mod parcel;
mod rpm;
mod shared_address;
#[path = "../support/mod.rs"]
mod support;
mod tarball;
mod under_load;
