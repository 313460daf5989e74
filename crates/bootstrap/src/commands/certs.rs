//! `certs`: when the certificates of the control planes end, and their renewal.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::Stop;
use super::apply::print;
use super::consent::lock;
use super::open::{session, tell};
use super::operate::carry_out;
use crate::cli::Connect;
use crate::facts::Facts;
use crate::inventory::{Inventory, Role};
use crate::operations::certs;
use crate::session::Interrupt;

/// Prints when they end; with `renewal`, the time that sessions have to end, renews them.
pub(super) async fn certs(
    file: &Path,
    connect: &Connect,
    renewal: Option<Duration>,
    yes: bool,
) -> Result<ExitCode, Stop> {
    let interrupt = Interrupt::listen();
    let session = session(file, connect, "certs").await?;
    let Some(sessions) = renewal else {
        let (text, all) = table(&session.inventory, &session.facts().await);
        print(&text)?;
        return Ok(if all {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    };
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let plan = certs::plan(&session.inventory, &facts, sessions)
        .map_err(|problems| Stop::Failed(problems.join("\n")))?;
    carry_out(&session, &lock, &facts, &plan, yes, &interrupt).await?;
    drop(lock);
    tell(
        "the administrator's certificate is new, too: `evenkeel-bootstrap kubeconfig` brings it into yours",
    );
    super::verify::at_end(&session).await
}

/// A line for each certificate, and whether every control plane told its own.
fn table(inventory: &Inventory, facts: &Facts) -> (String, bool) {
    let mut text = String::new();
    let mut all = true;
    for node in inventory.of(Role::ControlPlane) {
        let why = match facts.hosts.get(&node.name) {
            Some(Ok(found)) if !found.certificates.is_empty() => {
                for each in &found.certificates {
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        text,
                        "{:<15} {:<26} {} ({})",
                        node.name,
                        each.name,
                        each.day(),
                        match each.days_left {
                            i64::MIN..=-1 => "ended".to_owned(),
                            1 => "1 day".to_owned(),
                            days => format!("{days} days"),
                        }
                    );
                }
                continue;
            }
            Some(Ok(_)) => "there are none of kubeadm's",
            Some(Err(why)) => why,
            None => "it was not asked",
        };
        all = false;
        let _ = writeln!(text, "{:<15} {why}", node.name);
    }
    (text, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Certificate;
    use crate::plan::steps::example::{host, inventory, joined};

    #[test]
    fn each_certificate_has_a_line_and_who_is_silent_is_told() {
        let inventory = inventory();
        let mut facts = joined(&inventory, &["master1", "master2"]);
        let certificate = |name: &str, days_left| Certificate {
            name: name.to_owned(),
            ends: "2027-11-22T12:00:00Z".parse().unwrap(),
            days_left,
        };
        host(&mut facts, "master1").certificates =
            vec![certificate("apiserver", 364), certificate("etcd-peer", -3)];
        facts
            .hosts
            .insert("master2".to_owned(), Err("no route".to_owned()));
        assert_eq!(
            table(&inventory, &facts),
            (
                "master1         apiserver                  2027-11-22 (364 days)\n\
                 master1         etcd-peer                  2027-11-22 (ended)\n\
                 master2         no route\n"
                    .to_owned(),
                false
            )
        );
    }
}
