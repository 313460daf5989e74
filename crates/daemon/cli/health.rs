//! The options of `evenkeel health`.

use std::time::Duration;

use super::admin_address;
use super::choice::Choice;
use crate::health::{Door, Health};

/// Longer than this nobody waits for an answer.
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);

/// Every option.
pub(crate) const CHOICES: &[Choice<Health>] = &[
    Choice {
        name: "--admin",
        argument: "ADDRESS",
        help: "ask the admin address, as --admin or the file gave it to the process; may be repeated",
        take: |health, address| {
            health.doors.push(Door::Admin(admin_address(address)?));
            Ok(())
        },
    },
    Choice {
        name: "-S",
        argument: "SOCKET",
        help: "ask the master's socket or a stats socket; may be repeated, and the first of all that \
               can be reached decides",
        take: |health, socket| {
            health.doors.push(door(socket)?);
            Ok(())
        },
    },
    Choice {
        name: "--timeout",
        argument: "TIME",
        help: "how long silence is taken for work, 800ms if not given",
        take: |health, time| {
            let patience = evenkeel_config::parse_time(time)?;
            if patience.is_zero() || patience > LONGEST_PATIENCE {
                return Err(format!("'{time}' is not between 1ms and 60s"));
            }
            health.patience = patience;
            Ok(())
        },
    },
    Choice {
        name: "--for",
        argument: "TIME",
        help: "look again every 250ms for so long, until a look fails; once if not given",
        take: |health, time| {
            let span = evenkeel_config::parse_time(time)?;
            if span > LONGEST_PATIENCE {
                return Err(format!("'{time}' is more than 60s"));
            }
            health.span = span;
            Ok(())
        },
    },
    Choice {
        name: "-q",
        argument: "",
        help: "say nothing: the exit code speaks",
        take: |health, _| {
            health.is_quiet = true;
            Ok(())
        },
    },
];

/// `/run/evenkeel/master.sock`, as it was given to the process: what follows a comma says who may
/// connect.
pub(super) fn door(socket: &str) -> Result<Door, String> {
    let name = socket.split(',').next().unwrap_or_default();
    let path = ["unix@", "uxst@"]
        .into_iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .or(name.contains('/').then_some(name));
    match path {
        Some("") => Err(format!("missing path in '{socket}'")),
        Some(path) => Ok(Door::Unix(path.into())),
        None => admin_address(name).map(Door::Inet).map_err(|_| {
            format!("'{socket}' is neither a path such as /run/evenkeel/master.sock or ./master.sock nor an address with a port")
        }),
    }
}
