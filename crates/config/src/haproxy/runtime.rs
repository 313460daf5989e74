//! What `global` says of the sockets that take commands (HAProxy manual, `stats socket`).

use std::path::PathBuf;

use super::options::bind_with;
use super::privileges::with_unix_bind;
use super::{Line, Reader};
use crate::draft::{SavedFrom, StatsSocketDraft};
use crate::resolve::did_you_mean;
use crate::words::Word as _;
use crate::{AccessLevel, Environment, Place, Problem, Source, StatsSocket};

/// `stats socket ADDRESS [mode M] [user U] [group G] [level L] [expose-fd listeners]...`.
pub(super) fn socket(reader: &mut Reader<'_>, line: &Line<'_>) {
    let mut level = None;
    let binds = bind_with(reader, line, &mut |reader, name, argument| match name {
        "level" => {
            let known = AccessLevel::ALL
                .iter()
                .find(|(word, _)| *word == argument.text);
            if let Some((_, known)) = known {
                level = Some(line.spanned(argument, *known));
                return;
            }
            let hint = did_you_mean(
                &argument.text,
                AccessLevel::ALL.iter().map(|(word, _)| *word),
            );
            let message = format!(
                "'level' is user, operator or admin, not '{}'{hint}",
                argument.text
            );
            reader.error(line.place(argument), message);
        }
        "expose-fd" if argument.text != "listeners" => {
            let message = format!("'expose-fd' is listeners, not '{}'", argument.text);
            reader.error(line.place(argument), message);
        }
        "severity-output" if !matches!(&*argument.text, "none" | "number" | "string") => {
            let message = format!(
                "'severity-output' is none, number or string, not '{}'",
                argument.text
            );
            reader.error(line.place(argument), message);
        }
        _ => {}
    });
    let usual = &reader.draft.global.privileges.unix_bind;
    let sockets = with_unix_bind(&binds, usual)
        .into_iter()
        .map(|bind| StatsSocketDraft {
            bind,
            level: level.clone(),
        });
    let sockets: Vec<_> = sockets.collect();
    reader.draft.global.runtime.sockets.extend(sockets);
}

/// What `-S` says: an address and the options of a `bind` line, with commas between them. Without a
/// `level` its visitors are admins.
///
/// # Errors
/// Every mistake, at `argument` as a whole.
pub fn master_sockets(
    argument: &str,
    environment: &Environment<'_>,
) -> Result<Vec<StatsSocket>, Vec<Problem>> {
    let mut words = argument.split(',').filter(|word| !word.is_empty());
    let place = Place::whole_file(&format!("-S {argument}"));
    let Some(address) = words.next() else {
        let message = "an address is missing, such as /run/haproxy-master.sock";
        return Err(vec![Problem::error(place, message.to_owned())]);
    };
    // It is a line of the configuration that stands elsewhere.
    let mut text = format!("global\nstats socket {} level admin", quoted(address));
    for word in words {
        text.push(' ');
        text.push_str(&quoted(word));
    }
    text.push('\n');
    let source = Source {
        name: "-S".to_owned(),
        text: text.into_bytes(),
    };
    let at_argument = |mut problem: Problem| {
        problem.place = place.clone();
        problem.message = problem.message.replace("stats socket option", "option");
        problem
    };
    match crate::load(&[source], environment) {
        Ok(loaded) => {
            let mut sockets = loaded.config.global.runtime.sockets;
            for socket in &mut sockets {
                socket.bind.place = place.clone();
            }
            Ok(sockets)
        }
        Err(problems) => Err(problems.into_iter().map(at_argument).collect()),
    }
}

/// `word` as one of a line, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `stats timeout TIME`.
pub(super) fn timeout(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(time) = reader.time(line, line.name, word)
    {
        if time.value.is_zero() {
            return reader.error(
                line.place(word),
                "'stats timeout' must be more than 0; leave it out for 10s",
            );
        }
        reader.draft.global.runtime.timeout = Some(time);
    }
}

/// `stats maxconn NUMBER`.
pub(super) fn maxconn(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 1..=i64::from(i32::MAX))
    {
        reader.draft.global.runtime.maxconn = Some(line.spanned(word, number as u32));
    }
}

/// `server-state-file PATH`.
pub(super) fn state_file(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        let path = line.spanned(word, PathBuf::from(&word.text));
        reader.draft.global.runtime.state_file = Some(path);
    }
}

/// `server-state-base DIRECTORY`.
pub(super) fn state_base(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        let path = line.spanned(word, PathBuf::from(&word.text));
        reader.draft.global.runtime.state_base = Some(path);
    }
}

/// `load-server-state-from-file global|local|none`.
pub(super) fn load_state(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let from = match word.text.as_str() {
        "global" => SavedFrom::Global,
        "local" => SavedFrom::Local,
        "none" => SavedFrom::None,
        other => {
            let message = format!("'{}' is global, local or none, not '{other}'", line.name);
            return reader.error(line.place(word), message);
        }
    };
    reader.proxy().saved.from = Some(line.spanned(word, from));
}

/// `server-state-file-name [use-backend-name|PATH]`.
pub(super) fn state_file_name(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 1);
    let word = line.args().first();
    let word = word.filter(|word| word.text != "use-backend-name");
    reader.proxy().saved.file = word.map(|word| line.spanned(word, PathBuf::from(&word.text)));
}
