//! How many connections this process may carry: `maxconn` and the descriptors that it needs.

use std::io;

use evenkeel_config::{Config, RelayMethod};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection takes two descriptors, one toward each side.
const PER_CONNECTION: u64 = 2;
/// Standard streams, logs, the admin address and its visitors, notify and name look-ups.
const FOR_THE_PROCESS: u64 = 64;
/// A thread's epoll, its wakers and timers.
const PER_THREAD: u64 = 32;
/// The pipes of a thread that may splice, two descriptors each.
const PER_SPLICING_THREAD: u64 = 32;
/// A thread's socket of a bind and the duplicate that is accepted from; during a reload the
/// duplicate of the next generation, too.
const PER_BIND_AND_THREAD: u64 = 3;
/// Beyond this no machine goes without `maxconn`: unlimited descriptors (containers have a
/// limit of a billion) must not be taken for unlimited connections. HAProxy stops here too.
const MOST_DESCRIPTORS: u64 = 1_048_576;

/// The limits in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Client connections at once.
    pub(crate) maxconn: u32,
    /// Data-plane threads.
    pub(crate) threads: usize,
}

/// Why a configuration's `maxconn` cannot be carried.
#[derive(Debug, thiserror::Error)]
#[error(
    "maxconn {maxconn} needs {needed} file descriptors and this process may open {allowed}: raise \
     LimitNOFILE= of the systemd unit (or ulimit -n) to {needed}, or {lower}"
)]
pub(crate) struct Shortage {
    maxconn: u64,
    needed: u64,
    allowed: u64,
    lower: String,
    #[source]
    source: Option<io::Error>,
}

/// Works out the limits of `config` and raises RLIMIT_NOFILE to what they need; never lowers it.
pub(crate) fn settle(config: &Config) -> Result<Limits, Shortage> {
    let threads = threads(config);
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let plan = plan(config.global.maxconn, reserve(config, threads), hard);
    let raised = Rlimit {
        current: Some(plan.descriptors),
        maximum: now.maximum.map(|_| plan.descriptors.max(hard)),
    };
    if soft < plan.descriptors {
        setrlimit(Resource::Nofile, raised)
            .map_err(|error| shortage(&plan, hard, Some(error.into())))?;
    }
    if plan.maxconn == 0 {
        return Err(shortage(&plan, hard, None));
    }
    Ok(Limits {
        maxconn: u32::try_from(plan.maxconn).unwrap_or(u32::MAX),
        threads,
    })
}

/// `nbthread`, or one for each CPU that this process may use.
fn threads(config: &Config) -> usize {
    match config.global.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Descriptors that are needed besides those of connections.
fn reserve(config: &Config, threads: usize) -> u64 {
    let threads = threads as u64;
    let binds: usize = config
        .frontends
        .iter()
        .filter(|frontend| !frontend.disabled)
        .map(|frontend| frontend.binds.len())
        .sum();
    let checks = config
        .backends
        .iter()
        .flat_map(|backend| &backend.servers)
        .filter(|s| s.check.is_some())
        .count();
    let pipes = match config.global.relay {
        RelayMethod::Auto | RelayMethod::Splice => PER_SPLICING_THREAD,
        RelayMethod::Copy => 0,
    };
    let per_thread = PER_THREAD + pipes + PER_BIND_AND_THREAD * binds as u64;
    FOR_THE_PROCESS + per_thread * threads + checks as u64
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    maxconn: u64,
    descriptors: u64,
    reserve: u64,
}

/// `maxconn` as set, or as many as `hard` carries; and the descriptors that it takes.
fn plan(maxconn: Option<u32>, reserve: u64, hard: u64) -> Plan {
    let maxconn = maxconn.map_or_else(|| room(reserve, hard), u64::from);
    // One connection more: it is refused only after it was accepted.
    Plan {
        maxconn,
        descriptors: reserve + PER_CONNECTION * (maxconn + 1),
        reserve,
    }
}

/// Connections that fit beside the reserve.
fn room(reserve: u64, hard: u64) -> u64 {
    (hard.min(MOST_DESCRIPTORS).saturating_sub(reserve) / PER_CONNECTION).saturating_sub(1)
}

fn shortage(plan: &Plan, allowed: u64, source: Option<io::Error>) -> Shortage {
    let lower = match room(plan.reserve, allowed) {
        0 => "start it from a shell or unit without such a limit".to_owned(),
        room => format!("set maxconn {room} or less"),
    };
    Shortage {
        maxconn: plan.maxconn.max(1),
        needed: plan.descriptors.max(plan.reserve + 4),
        allowed,
        lower,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxconn_fits_the_descriptors() {
        for (maxconn, hard, expected) in [
            (None, 20_000, 9_949),
            (Some(9_000), 20_000, 9_000),
            (Some(50_000), 20_000, 50_000),
            (None, u64::MAX, 524_237),
            (None, 100, 0),
        ] {
            let plan = plan(maxconn, 100, hard);
            assert_eq!(plan.maxconn, expected, "maxconn {maxconn:?} of {hard}");
            if maxconn.is_none() && expected > 0 {
                assert!(plan.descriptors <= hard);
            }
        }
    }

    #[test]
    fn a_shortage_says_what_to_do() {
        let message = shortage(&plan(Some(50_000), 100, 20_000), 20_000, None).to_string();
        assert_eq!(
            message,
            "maxconn 50000 needs 100102 file descriptors and this process may open 20000: raise LimitNOFILE= of \
             the systemd unit (or ulimit -n) to 100102, or set maxconn 9949 or less"
        );
        let hopeless = shortage(&plan(None, 100, 64), 64, None).to_string();
        assert!(
            hopeless.contains("start it from a shell or unit without such a limit"),
            "{hopeless}"
        );
    }
}
