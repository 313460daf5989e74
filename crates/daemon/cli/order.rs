//! The option of `evenkeel reload` and `evenkeel upgrade`.

use super::choice::Choice;
use super::health::door;
use crate::health::Door;

/// Whom to ask, if not at the usual place.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) socket: Option<Door>,
}

/// Every option.
pub(super) const CHOICES: &[Choice<Asked>] = &[Choice {
    name: "-S",
    argument: "SOCKET",
    help: "the master's socket, as -S gave it to the process; /run/evenkeel/master.sock without this",
    take: |asked, socket| {
        asked.socket = Some(door(socket)?);
        Ok(())
    },
}];
