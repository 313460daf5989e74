//! `token`: a command for a host to join by hand.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::Stop;
use super::apply::print;
use super::consent::lock;
use super::open::session;
use crate::apply::{Known, Progress, Run, UPLOADS_AT_ONCE};
use crate::cli::Connect;
use crate::plan::steps::{ca_hash, join};
use crate::plan::{Order, Plan, Stage, Text};

/// Makes a new token known and prints the command that uses it.
pub(super) async fn token(
    file: &Path,
    connect: &Connect,
    control_plane: bool,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "token").await?;
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let inventory = &session.inventory;
    if facts.cluster.is_none() {
        return Err(Stop::Failed(
            "no API server answers: there is nothing to join".to_owned(),
        ));
    }
    let live = join::live_master(inventory, &facts);
    let plan = Plan {
        stages: vec![Stage {
            title: "token".to_owned(),
            order: Order::InTurn,
            steps: vec![join::announce(inventory, live, live)],
        }],
        notes: Vec::new(),
    };
    let progress = Progress::new(1);
    let run = Run {
        machines: &session.machines,
        log: &session.log,
        progress: &progress,
        hash_ca: &|pem| ca_hash::of_pem(pem).map_err(|error| error.to_string()),
        stop: &|| false,
        held: &|| lock.is_held(),
        ca_host: &live.name,
        uploads: Semaphore::new(UPLOADS_AT_ONCE),
        known: Mutex::new(Known::default()),
    };
    run.all(&plan)
        .await
        .map_err(|failed| Stop::Failed(failed.to_string()))?;
    let as_master = if control_plane {
        " --control-plane --certificate-key <certificate-key>"
    } else {
        ""
    };
    let command = Text::with_gaps(&format!(
        "kubeadm join {} --token <token> --discovery-token-ca-cert-hash <ca-hash>{as_master}\n",
        inventory.endpoint
    ));
    let command = run
        .fill(&command)
        .await
        .map_err(|reason| Stop::Failed(reason.to_string()))?;
    print(command.reveal())?;
    Ok(ExitCode::SUCCESS)
}
