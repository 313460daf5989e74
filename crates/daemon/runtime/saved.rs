//! Reads what `show servers state` wrote (version 1): what a restart takes over of servers. A file
//! that is damaged or of something else costs a warning and what is wrong in it, never the start.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use evenkeel_config::{Backend, CheckStatus, Config, OwnPlace, Place, Problem};
use evenkeel_proxy::{SavedHealth, SavedServer};

use super::servers::OUTCOMES;

/// As many servers as anybody has; a longer file is something else.
const MOST_LINES: usize = 1_000_000;
/// Where each field stands in a line.
const FIELDS: usize = 25;
/// Bits of administrative state: maintenance, by a command or by `disabled` in the file; that
/// `disabled`; drain.
const FORCED_MAINT: u32 = 0x01;
const DISABLED: u32 = 0x04;
const FORCED_DRAIN: u32 = 0x08;
/// And the one that says that a command gave the name to follow.
const FQDN_SET: u32 = 0x40;
/// Every bit that there is.
const ADMIN_BITS: u32 = 0x7f;

/// One line of the file.
struct Line<'a> {
    backend: (u32, &'a str),
    server: (u32, &'a str),
    saved: SavedServer,
}

/// Reads the files that the backends of `config` name, each once.
pub(crate) fn read(
    config: &Config,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> (Vec<(usize, usize, SavedServer)>, Vec<Problem>) {
    let mut texts: BTreeMap<&Path, Option<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for (index, backend) in config.backends.iter().enumerate() {
        let Some(path) = &backend.saved_state else {
            continue;
        };
        let text = texts
            .entry(path)
            .or_insert_with(|| match checked(path, read(path)) {
                Ok(text) => Some(text),
                Err(message) => {
                    problems.push(warning(path, 0, message));
                    None
                }
            });
        let Some(text) = text else { continue };
        for (number, line) in (1..).zip(text.lines()).skip(1) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse(line) {
                Ok(line) if is_of(backend, &line) => {
                    if let Some(server) = place(backend, &line) {
                        found.push((index, server, line.saved));
                    }
                }
                Ok(_) => {}
                // Each file's mistakes are told with the first backend that names it.
                Err(message) if is_first(config, index, path) => {
                    problems.push(warning(path, number, message));
                }
                Err(_) => {}
            }
        }
    }
    (found, problems)
}

/// Reads the same of every backend of `config` from a text that another process has just written.
pub(crate) fn of_text(config: &Config, text: &str) -> Vec<(usize, usize, SavedServer)> {
    let lines = text.lines().skip(1).filter(|line| !line.starts_with('#'));
    let lines: Vec<_> = lines.filter_map(|line| parse(line).ok()).collect();
    let mut by_backend: BTreeMap<&str, Vec<Line<'_>>> = BTreeMap::new();
    for line in lines {
        by_backend.entry(line.backend.1).or_default().push(line);
    }
    let mut found = Vec::new();
    for (index, backend) in config.backends.iter().enumerate() {
        for line in by_backend.remove(backend.name.as_str()).unwrap_or_default() {
            if let Some(server) = place(backend, &line) {
                found.push((index, server, line.saved));
            }
        }
    }
    found
}

fn is_first(config: &Config, index: usize, path: &Path) -> bool {
    let mut before = config.backends[..index].iter();
    before.all(|backend| backend.saved_state.as_deref() != Some(path))
}

fn warning(path: &Path, line: u32, message: String) -> Problem {
    let mut place = Place::whole_file(&path.display().to_string());
    place.line = line;
    Problem::warning(place, message)
}

/// The text of a file of version 1.
fn checked(path: &Path, read: io::Result<Vec<u8>>) -> Result<String, String> {
    let bytes = read.map_err(|error| {
        let path = path.display();
        format!("cannot read the state of servers from {path} ({error}): they begin anew")
    })?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let first = text.lines().next().unwrap_or_default();
    if first.trim() != "1" {
        return Err(
            "this is no state of servers of version 1, as 'show servers state' prints it: servers begin anew"
                .to_owned(),
        );
    }
    if text.lines().count() > MOST_LINES {
        return Err(format!("more than {MOST_LINES} lines: servers begin anew"));
    }
    Ok(text)
}

fn parse(line: &str) -> Result<Line<'_>, String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.len() < FIELDS {
        let count = fields.len();
        return Err(format!(
            "{count} fields where there are to be {FIELDS}: left out"
        ));
    }
    let number = |index: usize, name: &str, most: u32| -> Result<u32, String> {
        let value = fields[index].parse::<u32>().ok();
        value.filter(|&value| value <= most).ok_or_else(|| {
            let (backend, server) = (fields[1], fields[3]);
            let value = fields[index];
            format!("server {backend}/{server}: {name} is '{value}': left out")
        })
    };
    let operational = number(5, "srv_op_state", 3)?;
    let admin = number(6, "srv_admin_state", ADMIN_BITS)?;
    let health = match operational {
        0 => SavedHealth::Down,
        3 => SavedHealth::Stopping,
        _ => SavedHealth::Up,
    };
    let port = number(18, "srv_port", 65_535)?;
    let check_port = number(21, "srv_check_port", 65_535)?;
    let agent_port = number(24, "srv_agent_port", 65_535)?;
    // Of what is configured, what is not enabled rests.
    let rests = |state: u32| state & 0x06 == 0x02;
    Ok(Line {
        backend: (number(0, "be_id", u32::MAX)?, fields[1]),
        server: (number(2, "srv_id", u32::MAX)?, fields[3]),
        saved: SavedServer {
            health,
            is_maint: admin & FORCED_MAINT != 0,
            was_disabled: admin & DISABLED != 0,
            is_drain: admin & FORCED_DRAIN != 0,
            weight: (
                number(7, "srv_uweight", 256)? as u16,
                number(8, "srv_iweight", 256)? as u16,
            ),
            last_change: Duration::from_secs(
                number(9, "srv_time_since_last_change", u32::MAX)?.into(),
            ),
            port: Some(port as u16).filter(|&port| port > 0),
            last_check: OUTCOMES
                .get(number(10, "srv_check_status", u32::MAX)? as usize)
                .and_then(|code| {
                    CheckStatus::ALL
                        .into_iter()
                        .find(|status| status.code() == *code)
                }),
            rests: (
                rests(number(13, "srv_check_state", u32::MAX)?),
                rests(number(14, "srv_agent_state", u32::MAX)?),
            ),
            check_place: OwnPlace {
                ip: fields[22].parse().ok(),
                port: Some(check_port as u16).filter(|&port| port > 0),
            },
            agent_place: (fields[23].parse().ok(), agent_port as u16),
            fqdn: (admin & FQDN_SET != 0).then(|| fields[17].to_owned()),
        },
    })
}

/// Whether the line is of this backend: by name, for ids are counted from the file.
fn is_of(backend: &Backend, line: &Line<'_>) -> bool {
    let (id, name) = line.backend;
    backend.name == name || (name == "-" && backend.id == id)
}

/// The server that the line is of: by name, or, renamed, by id.
fn place(backend: &Backend, line: &Line<'_>) -> Option<usize> {
    let (id, name) = line.server;
    let mut servers = backend.servers.iter();
    let named = servers.position(|server| server.name == name);
    named.or_else(|| {
        let mut servers = backend.servers.iter();
        servers.position(|server| name == "-" && server.id == id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "3 be 1 s1 127.0.0.1 0 9 5 10 39 6 3 4 6 0 0 0 - 23011 - 0 0 - - 0";

    #[test]
    fn a_line_says_what_is_taken_over() {
        let line = parse(LINE).unwrap();
        assert_eq!((line.backend, line.server), ((3, "be"), (1, "s1")));
        assert_eq!(
            line.saved,
            SavedServer {
                health: SavedHealth::Down,
                is_maint: true,
                was_disabled: false,
                is_drain: true,
                weight: (5, 10),
                last_change: Duration::from_secs(39),
                port: Some(23011),
                last_check: Some(CheckStatus::L4Ok),
                rests: (false, false),
                check_place: OwnPlace::default(),
                agent_place: (None, 0),
                fqdn: None,
            }
        );
    }

    #[test]
    fn a_line_says_where_checks_go_and_what_a_command_named() {
        let line =
            "3 be 1 s1 127.0.0.1 2 64 1 1 39 17 2 4 2 18 0 0 b.test 80 - 0 81 ::1 192.0.2.1 82";
        let saved = parse(line).unwrap().saved;
        assert_eq!(saved.last_check, Some(CheckStatus::L7Status));
        assert_eq!(saved.rests, (true, true));
        let check_place = OwnPlace {
            ip: "::1".parse().ok(),
            port: Some(81),
        };
        assert_eq!(saved.check_place, check_place);
        assert_eq!(saved.agent_place, ("192.0.2.1".parse().ok(), 82));
        assert_eq!(saved.fqdn.as_deref(), Some("b.test"));
    }

    #[test]
    fn what_is_damaged_is_told_and_left_out() {
        let wrong = |line: &str| parse(line).err().unwrap();
        assert!(wrong("3 be 1 s1").starts_with("4 fields"));
        assert_eq!(
            wrong(&LINE.replace(" 0 9 5", " 7 9 5")),
            "server be/s1: srv_op_state is '7': left out"
        );
        assert!(wrong(&LINE.replace(" 5 10 ", " 5 1000 ")).contains("srv_iweight"));
    }

    #[test]
    fn a_file_of_something_else_is_no_state() {
        let path = Path::new("state");
        assert!(checked(path, Ok(b"1\n# be_id\n".to_vec())).is_ok());
        assert!(checked(path, Ok(b"2\n".to_vec())).is_err());
        assert!(checked(path, Ok(vec![0xff, 0, b'\n'])).is_err());
        assert!(checked(path, Err(io::ErrorKind::NotFound.into())).is_err());
    }
}
