//! Keywords that say how much a server is given and how clients wait.

use super::lexer::Word;
use super::options::ServerLine;
use super::{Line, Reader};
use crate::{InitState, OnMarkedUp};

/// `maxconn`, `minconn` and `maxqueue` of a server: 0 is no limit.
pub(super) fn server_limit(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    name: &str,
    argument: &Word,
) {
    let number = reader.number(line, name, argument, 0..=i64::from(i32::MAX));
    let number = number.map(|number| line.spanned(argument, number as u32));
    let load = &mut server.options.load;
    *match name {
        "maxconn" => &mut load.maxconn,
        "minconn" => &mut load.minconn,
        _ => &mut load.maxqueue,
    } = number;
}

/// `slowstart`: bare numbers are milliseconds, 0 is none.
pub(super) fn slowstart(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    argument: &Word,
) {
    server.options.load.slowstart = reader.time(line, "slowstart", argument);
}

/// `on-marked-up`.
pub(super) fn on_marked_up(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    argument: &Word,
) {
    if argument.text == "shutdown-backup-sessions" {
        server.options.load.on_marked_up =
            Some(line.spanned(argument, OnMarkedUp::ShutdownBackupSessions));
    } else {
        let message = format!(
            "'on-marked-up' is shutdown-backup-sessions, not '{}'",
            argument.text
        );
        reader.error(line.place(argument), message);
    }
}

/// `init-state`.
pub(super) fn init_state(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    argument: &Word,
) {
    let state = match argument.text.as_str() {
        "up" => InitState::Up,
        "fully-up" => InitState::FullyUp,
        "down" => InitState::Down,
        "fully-down" => InitState::FullyDown,
        other => {
            let message =
                format!("'init-state' is up, fully-up, down or fully-down, not '{other}'");
            return reader.error(line.place(argument), message);
        }
    };
    server.options.load.init_state = Some(line.spanned(argument, state));
}

/// `fullconn` of a backend.
pub(super) fn fullconn(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, "fullconn", word, 0..=i64::from(i32::MAX))
    {
        reader.proxy().queueing.fullconn = Some(line.spanned(word, number as u32));
    }
}

/// `option abortonclose`.
pub(super) fn abortonclose(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.proxy().queueing.abort_on_close = Some(line.spanned(&line.words[0], !line.negated));
}
