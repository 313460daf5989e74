//! Takes over the descriptors that `fd@N` names. The one place that turns a number into an owned
//! descriptor; it must run before the process opens anything of its own.
#![allow(
    unsafe_code,
    reason = "an inherited descriptor comes as a number, which only from_raw_fd makes an owner of"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{FromRawFd as _, OwnedFd};

use evenkeel_config::{BindAddress, Config, Place, Problem};
use rustix::net::sockopt::socket_acceptconn;

/// Claims every descriptor that a `bind fd@N`, `stats socket fd@N` or `-S fd@N` of `config` names.
///
/// # Errors
/// Each one that was not inherited or does not listen.
pub(crate) fn claim(config: &Config) -> Result<BTreeMap<i32, OwnedFd>, Vec<Problem>> {
    let open = open_descriptors();
    let mut claimed = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, place) in wanted(config) {
        match take(number, &open) {
            Ok(descriptor) => {
                claimed.insert(number, descriptor);
            }
            Err(why) => {
                problems.push(Problem::error(place.clone(), format!("fd@{number}: {why}")));
            }
        }
    }
    if problems.is_empty() {
        Ok(claimed)
    } else {
        Err(problems)
    }
}

/// # Errors
/// Each `fd@N` of a reloaded `config` that is not among those claimed at start: what has such a
/// number by now is something of this process's own.
pub(crate) fn knows(config: &Config, claimed: &BTreeSet<i32>) -> Result<(), Vec<Problem>> {
    let unknown = wanted(config)
        .into_iter()
        .filter(|(number, _)| !claimed.contains(number));
    let problems: Vec<_> = unknown
        .map(|(number, place)| {
            let message = format!("fd@{number} was not named when the process started; restart it");
            Problem::error(place.clone(), message)
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The numbers that binds in service name, each with its first place.
fn wanted(config: &Config) -> BTreeMap<i32, &Place> {
    let frontends = config
        .frontends
        .iter()
        .filter(|frontend| !frontend.disabled);
    let runtime = &config.global.runtime;
    let sockets = runtime.sockets.iter().chain(&runtime.master_sockets);
    let binds = frontends
        .flat_map(|frontend| &frontend.binds)
        .chain(sockets.map(|socket| &socket.bind));
    let mut wanted = BTreeMap::new();
    for bind in binds {
        if let BindAddress::Fd(number) = bind.address {
            wanted.entry(number).or_insert(&bind.place);
        }
    }
    wanted
}

/// The descriptors that this process has, the one that lists them left out.
fn open_descriptors() -> BTreeSet<i32> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeSet::new();
    };
    let links = entries
        .filter_map(Result::ok)
        .filter(|entry| fs::read_link(entry.path()).is_ok());
    links
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn take(number: i32, open: &BTreeSet<i32>) -> Result<OwnedFd, &'static str> {
    if number < 3 {
        return Err("the standard streams are no listening sockets");
    }
    if !open.contains(&number) {
        return Err("no such descriptor was inherited; whoever starts evenkeel must pass it on");
    }
    // SAFETY: `number` is open (it was listed a moment ago, and no other thread runs yet that
    // could close it), and nobody else owns it: the process was started with it, opens nothing
    // that outlives a call before this runs, and each number is taken once, for `wanted` is a
    // map. The caller runs this once, at start.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match socket_acceptconn(&descriptor) {
        Ok(true) => Ok(descriptor),
        Ok(false) | Err(_) => {
            // It is somebody's file, not ours to close.
            std::mem::forget(descriptor);
            Err("this descriptor is no listening socket")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn a_listening_descriptor_is_taken_and_owned() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let number = listener.into_raw_fd();
        let taken = take(number, &open_descriptors()).unwrap();
        assert_eq!(TcpListener::from(taken).local_addr().unwrap(), address);
        assert!(
            std::net::TcpStream::connect(address).is_err(),
            "dropping it did not close the descriptor"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let open = open_descriptors();
        assert_eq!(
            take(0, &open).unwrap_err(),
            "the standard streams are no listening sockets"
        );
        assert!(
            take(9_999, &open)
                .unwrap_err()
                .starts_with("no such descriptor was inherited")
        );
        let file = fs::File::open("/proc/self/status").unwrap();
        let number = file.into_raw_fd();
        assert_eq!(
            take(number, &open_descriptors()).unwrap_err(),
            "this descriptor is no listening socket"
        );
    }
}
