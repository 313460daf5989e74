//! What the system says in files, remembered by a process that is about to lose sight of them.

use std::sync::OnceLock;

use jiff::tz::TimeZone;

static SEEN: OnceLock<Seen> = OnceLock::new();

#[derive(Debug)]
struct Seen {
    zone: TimeZone,
    largest_pipe: Option<usize>,
    keepalive: [Option<u32>; 3],
}

/// The sysctls of TCP keepalive (tcp(7)).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keepalive {
    Time = 0,
    Interval = 1,
    Probes = 2,
}

const KEEPALIVE: [Keepalive; 3] = [Keepalive::Time, Keepalive::Interval, Keepalive::Probes];

/// Reads now whatever would be read later from files outside of a new root directory: the time
/// zone and kernel settings. From then on changes of them are not seen.
pub fn remember() {
    SEEN.get_or_init(|| Seen {
        zone: TimeZone::system(),
        largest_pipe: read_largest_pipe(),
        keepalive: KEEPALIVE.map(read_keepalive),
    });
}

/// The zone of dates in logs.
pub(crate) fn zone() -> TimeZone {
    SEEN.get()
        .map_or_else(TimeZone::system, |seen| seen.zone.clone())
}

/// What an unprivileged process may have a pipe hold (proc_sys_fs(5)).
pub(crate) fn largest_pipe() -> Option<usize> {
    SEEN.get()
        .map_or_else(read_largest_pipe, |seen| seen.largest_pipe)
}

/// The kernel's own value of a keepalive setting.
pub(crate) fn keepalive(which: Keepalive) -> Option<u32> {
    SEEN.get().map_or_else(
        || read_keepalive(which),
        |seen| seen.keepalive[which as usize],
    )
}

fn read_largest_pipe() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/sys/fs/pipe-max-size").ok()?;
    text.trim().parse().ok()
}

fn read_keepalive(which: Keepalive) -> Option<u32> {
    let name = match which {
        Keepalive::Time => "time",
        Keepalive::Interval => "intvl",
        Keepalive::Probes => "probes",
    };
    let path = format!("/proc/sys/net/ipv4/tcp_keepalive_{name}");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
