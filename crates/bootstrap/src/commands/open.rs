//! From the command line to a session: the inventory's mistakes, the password, the hosts.

use std::collections::BTreeSet;
use std::path::Path;

use evenkeel_config::Problem;

use super::Stop;
use crate::cli::Connect;
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

/// A session with every host that answers.
pub(super) async fn session(
    file: &Path,
    connect: &Connect,
    command: &str,
) -> Result<Session, Stop> {
    let inventory = inventory(file)?;
    let without = without(&inventory, connect)?;
    let options = Options {
        sudo_password: password(connect)?,
        accept_new_host_keys: connect.accept_new_host_keys,
    };
    Session::open(inventory, &options, without, command)
        .await
        .map_err(|cause| Stop::Failed(format!("cannot write a record of this run: {cause}")))
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
    let text = std::fs::read_to_string(file)
        .map_err(|cause| Stop::Mistake(format!("cannot read {}: {cause}", file.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Secret::new(line.to_owned()))),
        _ => Err(Stop::Mistake(format!(
            "{}: its first line is empty; it has to be the password",
            file.display()
        ))),
    }
}

#[expect(clippy::print_stderr, reason = "messages beside what a command prints")]
pub(super) fn tell(text: &str) {
    eprintln!("{text}");
}
