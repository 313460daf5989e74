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

/// The limits in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Client connections at once.
    pub(crate) maxconn: u32,
    /// Data-plane threads.
    pub(crate) threads: usize,
}

/// Why this process cannot have the descriptors that a configuration needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Shortage {
    /// `maxconn` cannot be carried.
    #[error(
        "maxconn {maxconn} needs {needed} file descriptors and this process may open {allowed}: \
         {advice}"
    )]
    Connections {
        maxconn: u64,
        needed: u64,
        allowed: u64,
        advice: String,
        #[source]
        source: Option<io::Error>,
    },
    /// `ulimit-n` cannot be had.
    #[error(
        "cannot raise the limit of file descriptors to {wanted}, as 'ulimit-n' asks: this process \
         may open {allowed}; start it as root, raise LimitNOFILE= of the systemd unit, or leave \
         'ulimit-n' out"
    )]
    Wanted {
        wanted: u64,
        allowed: u64,
        #[source]
        source: io::Error,
    },
}

/// Works out the limits of `config` and raises RLIMIT_NOFILE to what they need; never lowers
/// it.
pub(crate) fn settle(config: &Config) -> Result<Limits, Shortage> {
    let threads = threads(config);
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let descriptors = config.global.descriptors;
    let wanted = descriptors.at_least.unwrap_or(0);
    let plan = plan(
        config.global.maxconn,
        reserve(config, threads),
        hard.max(wanted).min(descriptors.at_most),
    );
    let needed = plan.descriptors.max(wanted);
    if soft < needed {
        let raised = Rlimit {
            current: Some(needed),
            maximum: now.maximum.map(|_| needed.max(hard)),
        };
        setrlimit(Resource::Nofile, raised).map_err(|error| {
            let source = io::Error::from(error);
            if plan.descriptors < wanted {
                Shortage::Wanted {
                    wanted,
                    allowed: hard,
                    source,
                }
            } else {
                shortage(&plan, hard, descriptors.at_most, Some(source))
            }
        })?;
    }
    if plan.maxconn == 0 {
        return Err(shortage(&plan, hard, descriptors.at_most, None));
    }
    Ok(Limits {
        maxconn: u32::try_from(plan.maxconn).unwrap_or(u32::MAX),
        threads,
    })
}

/// `nbthread`, or one for each CPU that this process may use.
pub(crate) fn threads(config: &Config) -> usize {
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
fn room(reserve: u64, allowed: u64) -> u64 {
    (allowed.saturating_sub(reserve) / PER_CONNECTION).saturating_sub(1)
}

fn shortage(plan: &Plan, allowed: u64, at_most: u64, source: Option<io::Error>) -> Shortage {
    let needed = plan.descriptors.max(plan.reserve + 4);
    let advice = match room(plan.reserve, allowed) {
        _ if at_most < needed && at_most < allowed => {
            format!("'fd-hard-limit' allows {at_most}; raise it to {needed}")
        }
        0 => format!(
            "raise LimitNOFILE= of the systemd unit (or ulimit -n) to {needed}, or start it from a \
             shell or unit without such a limit"
        ),
        room => format!(
            "raise LimitNOFILE= of the systemd unit (or ulimit -n) to {needed}, or set maxconn \
             {room} or less"
        ),
    };
    Shortage::Connections {
        maxconn: plan.maxconn.max(1),
        needed,
        allowed,
        advice,
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
            (None, 1_048_576, 524_237),
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
        let message =
            shortage(&plan(Some(50_000), 100, 20_000), 20_000, 1_048_576, None).to_string();
        assert_eq!(
            message,
            "maxconn 50000 needs 100102 file descriptors and this process may open 20000: raise LimitNOFILE= of \
             the systemd unit (or ulimit -n) to 100102, or set maxconn 9949 or less"
        );
        let hopeless = shortage(&plan(None, 100, 64), 64, 1_048_576, None).to_string();
        assert!(
            hopeless.contains("start it from a shell or unit without such a limit"),
            "{hopeless}"
        );
        let bounded = shortage(&plan(None, 100, 64), 20_000, 64, None).to_string();
        assert!(
            bounded.ends_with("'fd-hard-limit' allows 64; raise it to 104"),
            "{bounded}"
        );
    }
}
