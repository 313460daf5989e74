//! From the command line to a session: the inventory's mistakes, the password, the hosts.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use evenkeel_config::Problem;

use super::Stop;
use crate::apply::Log;
use crate::cli::Connect;
pub(super) use crate::console::tell;
use crate::inventory::{self, Inventory};
use crate::secret::Secret;
use crate::session::Session;
use crate::transport::Options;

/// The inventory, its warnings printed.
pub(super) fn inventory(file: &Path) -> Result<Inventory, Stop> {
    let loaded = inventory::load(file).map_err(|problems| Stop::Mistake(complaint(&problems)))?;
    for warning in &loaded.warnings {
        tell(&warning.to_string());
    }
    Ok(loaded.inventory)
}

/// All that is wrong with a file, a line each.
pub(super) fn complaint(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A session with every host that answers, for a command that changes something: without a record of what was
/// done, nothing is.
pub(super) async fn session(
    file: &Path,
    connect: &Connect,
    command: &str,
) -> Result<Session, Stop> {
    let inventory = inventory(file)?;
    let log = Log::open(&inventory.name, command)
        .map_err(|error| Stop::Failed(super::apply::with_causes(&error)))?;
    connected(inventory, connect, log).await
}

/// A session for a command that changes nothing on the hosts. Its record is a help, and kept for a while.
pub(super) async fn look(file: &Path, connect: &Connect, command: &str) -> Result<Session, Stop> {
    let inventory = inventory(file)?;
    let log = Log::open(&inventory.name, command).unwrap_or_else(|error| {
        tell(&format!(
            "warning: {}; going on without",
            super::apply::with_causes(&error)
        ));
        Log::nowhere()
    });
    log.prune(command);
    connected(inventory, connect, log).await
}

async fn connected(inventory: Inventory, connect: &Connect, log: Log) -> Result<Session, Stop> {
    let without = without(&inventory, connect)?;
    let options = Options {
        sudo_password: password(connect)?,
        accept_new_host_keys: connect.accept_new_host_keys,
    };
    Ok(Session::open(inventory, &options, without, log).await)
}

/// Hosts that the operator goes on without, each of the file.
fn without(inventory: &Inventory, connect: &Connect) -> Result<BTreeSet<String>, Stop> {
    let unknown: Vec<_> = connect
        .without
        .iter()
        .filter(|name| inventory.node(name).is_none())
        .map(|name| format!("--without {name}: there is no node {name} in the file"))
        .collect();
    match unknown.is_empty() {
        true => Ok(connect.without.iter().cloned().collect()),
        false => Err(Stop::Mistake(unknown.join("\n"))),
    }
}

fn password(connect: &Connect) -> Result<Option<Secret>, Stop> {
    if connect.ask_sudo_password {
        let password = rpassword::prompt_password("Password for sudo on the hosts: ")
            .map_err(|cause| Stop::Mistake(format!("cannot ask for the password: {cause}")))?;
        return Ok(Some(Secret::new(password)));
    }
    let Some(file) = &connect.sudo_password_file else {
        return Ok(None);
    };
    let refused = |cause| Stop::Mistake(format!("cannot read {}: {cause}", file.display()));
    let is_open =
        |about: std::fs::Metadata| about.is_file() && about.permissions().mode() & 0o077 != 0;
    if std::fs::metadata(file).map(is_open).map_err(refused)? {
        return Err(Stop::Mistake(format!(
            "{}: others may read this password; chmod 600 {}",
            file.display(),
            file.display()
        )));
    }
    let text = std::fs::read_to_string(file).map_err(refused)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Secret::new(line.to_owned()))),
        _ => Err(Stop::Mistake(format!(
            "{}: its first line is empty; it has to be the password",
            file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let file = std::env::temp_dir().join(format!("evenkeel-password-{}", std::process::id()));
        let read = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            password(&Connect {
                sudo_password_file: Some(file.clone()),
                ..Connect::default()
            })
        };
        fs::write(&file, "s3cret\nmore\n").unwrap();
        assert_eq!(read(0o600).unwrap().unwrap().reveal(), "s3cret");
        for mode in [0o604, 0o640] {
            let Err(Stop::Mistake(message)) = read(mode) else {
                panic!("mode {mode:o} was taken")
            };
            assert!(
                message.contains("others may read this password; chmod 600"),
                "{message}"
            );
        }
        fs::write(&file, "\n").unwrap();
        assert!(matches!(read(0o600), Err(Stop::Mistake(_))));
        fs::remove_file(file).unwrap();
    }
}
