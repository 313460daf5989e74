//! Takes over the descriptors that `fd@N` names. The one place that turns a number into an owned
//! descriptor; it must run before the process opens anything of its own.
#![allow(
    unsafe_code,
    reason = "an inherited descriptor comes as a number, which only from_raw_fd makes an owner of"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::OnceLock;

use evenkeel_config::{BindAddress, Config, Place, Problem};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_acceptconn, socket_cookie, socket_type};

/// What was open before this process opened anything. To be looked at once, first of all.
static AT_START: OnceLock<BTreeSet<i32>> = OnceLock::new();

/// Claims every descriptor that a `bind fd@N`, `stats socket fd@N` or `-S fd@N` of `config` names, or
/// takes what the process before `handed` over for it: its number may be nothing, or something else,
/// here.
///
/// # Errors
/// Each one that was not inherited or does not listen.
pub(crate) fn claim(
    config: &Config,
    mut handed: BTreeMap<i32, OwnedFd>,
) -> Result<BTreeMap<i32, OwnedFd>, Vec<Problem>> {
    let open = AT_START.get_or_init(open_descriptors);
    let mut claimed = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, place) in wanted(config) {
        if let Some(handed) = handed.remove(&number) {
            let _ = fcntl_setfd(&handed, FdFlags::CLOEXEC);
            close_other_name(number, open, &handed);
            claimed.insert(number, handed);
            continue;
        }
        match take(number, open) {
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

/// Where the descriptors of the service manager begin (sd_listen_fds(3)).
const FIRST_LISTENER: i32 = 3;
/// More than any unit hands over.
const MOST_LISTENERS: i32 = 1 << 20;
/// The descriptor that a process that gives way is talked to through.
pub(crate) const HANDOVER: &str = "EVENKEEL_HANDOVER";

/// Takes what the service manager hands over (LISTEN_FDS), each with its name; what `claimed` has is
/// the configuration's own. To be called once, at start.
pub(crate) fn listeners(claimed: &BTreeMap<i32, OwnedFd>) -> Vec<(String, OwnedFd)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<i32>().ok();
    let is_ours = number("LISTEN_PID").is_some_and(|pid| pid.unsigned_abs() == std::process::id());
    let count = number("LISTEN_FDS").filter(|count| (1..MOST_LISTENERS).contains(count));
    let Some(count) = count.filter(|_| is_ours) else {
        return Vec::new();
    };
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let open = open_descriptors();
    let numbers = (FIRST_LISTENER..FIRST_LISTENER + count)
        .map(|number| (number, names.next().unwrap_or_default()));
    numbers
        .filter(|(number, _)| open.contains(number) && !claimed.contains_key(number))
        .map(|(number, name)| {
            // SAFETY: as in `take`: it is open, no other thread runs, nobody else owns it: what the
            // configuration claimed is left out, and each number comes once.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            // Nothing that this process starts has any business with it.
            let _ = fcntl_setfd(&descriptor, FdFlags::CLOEXEC);
            (name, descriptor)
        })
        .collect()
}

/// Takes the way to the process that this one is to follow; `None`: there is none. To be called
/// once, at start.
pub(crate) fn handover() -> Option<OwnedFd> {
    let open = AT_START.get_or_init(open_descriptors);
    let number: i32 = std::env::var(HANDOVER).ok()?.parse().ok()?;
    if number < FIRST_LISTENER || !open.contains(&number) {
        return None;
    }
    // SAFETY: as in `take`: it is open, no other thread runs, and nobody else owns it: this is the
    // first thing that the process does with descriptors, once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    if !matches!(socket_type(&descriptor), Ok(SocketType::SEQPACKET)) {
        // A leftover of another time: the number is something else's by now.
        std::mem::forget(descriptor);
        return None;
    }
    let _ = fcntl_setfd(&descriptor, FdFlags::CLOEXEC);
    Some(descriptor)
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

/// Closes what was inherited as `number`, if it is the same socket: nobody would.
fn close_other_name(number: i32, open: &BTreeSet<i32>, socket: &OwnedFd) {
    if let Ok(inherited) = take(number, open) {
        let cookies = [&inherited, socket].map(|socket| socket_cookie(socket).ok());
        if cookies[0].is_none() || cookies[0] != cookies[1] {
            // It is somebody's, not ours to close.
            std::mem::forget(inherited);
        }
    }
}

fn take(number: i32, open: &BTreeSet<i32>) -> Result<OwnedFd, &'static str> {
    if number < 3 {
        return Err("the standard streams are no listening sockets");
    }
    // It was at start, and nothing since has closed what it does not own.
    if !open.contains(&number) {
        return Err("no such descriptor was inherited; whoever starts evenkeel must pass it on");
    }
    // SAFETY: `number` is open (it was listed before the process opened anything, and no other
    // thread runs yet that could close it), and nobody else owns it: the process was started with
    // it, and each number is taken once, for `wanted` is a map. The caller runs this once, at start.
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
