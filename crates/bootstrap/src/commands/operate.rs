//! What is done to a cluster that is there: each command makes a plan, shows it, asks, and runs it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;

use super::Stop;
use super::apply::{print, run};
use super::consent::{agreed, lock, refused};
use super::files::{edited, read, replace};
use super::open::{look, session, tell};
use crate::apply::Lock;
use crate::cli::Connect;
use crate::files::Readers;
use crate::inventory::{Inventory, Node};
use crate::operations::remove::Entry;
use crate::operations::{Care, backup, kubeconfig, nodes, remove, reset, upgrade};
use crate::plan::steps::join::live_master;
use crate::plan::{Plan, hash};
use crate::session::{Interrupt, Session};

/// For a file of a few kilobytes.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// What is fetched at once: its base64 has to fit into what a command may say.
const CHUNK_BYTES: usize = 2 << 20;

fn node<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a Node, Stop> {
    inventory
        .node(name)
        .ok_or_else(|| Stop::Mistake(format!("there is no node {name} in the file")))
}

/// Shows a plan, asks, and runs it.
pub(super) async fn carry_out(
    session: &Session,
    lock: &Lock,
    facts: &crate::facts::Facts,
    plan: &Plan,
    yes: bool,
    interrupt: &Interrupt,
) -> Result<(), Stop> {
    print(&plan.to_string())?;
    if !plan.is_empty() && !yes && !agreed(plan, interrupt).await? {
        return Err(refused(interrupt));
    }
    run(session, lock, facts, plan, interrupt).await
}

/// Takes away the cluster, one node's part in it, or what is on one machine alone.
pub(super) async fn reset(
    file: &Path,
    connect: &Connect,
    name: Option<&str>,
    force: bool,
    care: Care,
    yes: bool,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "reset").await?;
    let interrupt = Interrupt::listen();
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let inventory = &session.inventory;
    let plan = match name {
        None => reset::all(inventory, &facts),
        Some(name) if force => {
            reset::machine(inventory, &facts, node(inventory, name)?).map_err(Stop::Failed)?
        }
        Some(name) => {
            let node = node(inventory, name)?;
            remove::plan(inventory, &facts, node, Entry::Stays, care).map_err(Stop::Failed)?
        }
    };
    carry_out(&session, &lock, &facts, &plan, yes, &interrupt).await?;
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

/// Has a node leave the cluster, the balancer and the file.
pub(super) async fn remove(
    file: &Path,
    connect: &Connect,
    name: &str,
    care: Care,
    yes: bool,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "remove").await?;
    let interrupt = Interrupt::listen();
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let leaving = node(&session.inventory, name)?;
    // Before anything is done: what cannot be taken out of the file would join again.
    edited(file, |text| nodes::remove(text, name))?;
    let plan = remove::plan(&session.inventory, &facts, leaving, Entry::Goes, care)
        .map_err(Stop::Failed)?;
    carry_out(&session, &lock, &facts, &plan, yes, &interrupt).await?;
    // Once more of the file as it is now: draining takes its time, and somebody may have edited it.
    let text = edited(file, |text| nodes::remove(text, name)).map_err(|stop| {
        Stop::Failed(format!(
            "{name} has left the cluster and has to be taken out of the file by hand: {stop}"
        ))
    })?;
    replace(file, text.as_bytes(), Readers::All)?;
    drop(lock);
    tell(&format!("{name} is no longer in {}", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Brings the cluster to the version in the file.
pub(super) async fn upgrade(
    file: &Path,
    connect: &Connect,
    care: Care,
    yes: bool,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "upgrade").await?;
    let interrupt = Interrupt::listen();
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let plan = upgrade::plan(&session.inventory, &facts, care)
        .map_err(|problems| Stop::Failed(problems.join("\n")))?;
    carry_out(&session, &lock, &facts, &plan, yes, &interrupt).await?;
    drop(lock);
    super::verify::at_end(&session).await
}

/// Makes an archive of etcd and the keys, and fetches it.
pub(super) async fn backup(
    file: &Path,
    connect: &Connect,
    output: Option<PathBuf>,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "backup").await?;
    let interrupt = Interrupt::listen();
    let lock = lock(&session).await?;
    let facts = session.facts().await;
    let plan = backup::plan(&session.inventory, &facts).map_err(Stop::Failed)?;
    carry_out(&session, &lock, &facts, &plan, true, &interrupt).await?;
    let live = live_master(&session.inventory, &facts);
    let bytes = fetch(&session, &live.name, &backup::archive()).await;
    // Whatever came of it: it holds the cluster's keys.
    let removed = say(
        &session,
        &live.name,
        &format!("rm -f {}", backup::archive()),
    )
    .await;
    drop(lock);
    if removed.is_err() {
        tell(&format!(
            "{}: {} holds the cluster's keys and could not be removed; the next backup does",
            live.name,
            backup::archive()
        ));
    }
    let bytes = bytes?;
    let output = output.unwrap_or_else(|| {
        let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
        format!("{}-{time}.tar.gz", session.inventory.name).into()
    });
    replace(&output, &bytes, Readers::Owner)?;
    tell(&format!("{} ({} bytes)", output.display(), bytes.len()));
    Ok(ExitCode::SUCCESS)
}

/// Merges the administrator's kubeconfig into the operator's.
pub(super) async fn kubeconfig(
    file: &Path,
    connect: &Connect,
    output: Option<PathBuf>,
    current: kubeconfig::Current,
) -> Result<ExitCode, Stop> {
    let session = look(file, connect, "kubeconfig").await?;
    merge_kubeconfig(&session, output, current).await?;
    Ok(ExitCode::SUCCESS)
}

/// Merges it with the hosts of a session.
pub(super) async fn merge_kubeconfig(
    session: &Session,
    output: Option<PathBuf>,
    current: kubeconfig::Current,
) -> Result<(), Stop> {
    let cluster = crate::facts::ask_cluster(&session.inventory, &session.machines).await;
    let first = &session.inventory.first_master().name;
    let host = cluster.map_or_else(|| first.clone(), |cluster| cluster.told_by);
    let admin = say(session, &host, "cat /etc/kubernetes/admin.conf").await?;
    let path = match output {
        Some(path) => path,
        None => own_kubeconfig()?,
    };
    let own = if path.exists() {
        Some(read(&path)?)
    } else {
        None
    };
    let text = kubeconfig::merge(own.as_deref(), &admin, &session.inventory.name, current)
        .map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
    if let Some(own) = own.filter(|own| *own != text) {
        let mut kept = path.clone().into_os_string();
        kept.push(format!(".{}", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S")));
        replace(Path::new(&kept), own.as_bytes(), Readers::Owner)?;
        tell(&format!(
            "what was there is kept in {}",
            Path::new(&kept).display()
        ));
    }
    replace(&path, text.as_bytes(), Readers::Owner)?;
    tell(&format!(
        "{}: kubectl --context {} speaks to {}",
        path.display(),
        session.inventory.name,
        session.inventory.endpoint
    ));
    Ok(())
}

/// The first file of `KUBECONFIG`, or kubectl's own.
fn own_kubeconfig() -> Result<PathBuf, Stop> {
    let listed = std::env::var_os("KUBECONFIG")
        .and_then(|list| std::env::split_paths(&list).find(|path| !path.as_os_str().is_empty()));
    listed
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
        .ok_or_else(|| {
            Stop::Mistake("neither KUBECONFIG nor HOME is set; pass --output".to_owned())
        })
}

/// What a script says, if it succeeds.
async fn say(session: &Session, host: &str, script: &str) -> Result<String, Stop> {
    let machine = session.machines.get(host).ok_or_else(|| {
        let why = session
            .silent
            .get(host)
            .map_or("it is not connected", String::as_str);
        Stop::Failed(format!("{host}: {why}"))
    })?;
    match machine.run(script, READ_LIMIT).await {
        Ok(outcome) if outcome.status == 0 => Ok(outcome.stdout),
        Ok(outcome) => Err(Stop::Failed(format!("{host}: {}", outcome.words()))),
        Err(failure) => Err(Stop::Failed(format!("{host}: {failure}"))),
    }
}

/// A file of a host, whole: in pieces, held to its SHA-256.
async fn fetch(session: &Session, host: &str, path: &str) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    loop {
        let piece = say(
            session,
            host,
            &format!(
                "dd if={path} bs={CHUNK_BYTES} skip={} count=1 status=none | base64 -w 0",
                bytes.len() / CHUNK_BYTES
            ),
        )
        .await?;
        let piece = base64::engine::general_purpose::STANDARD
            .decode(piece.trim())
            .map_err(|cause| Stop::Failed(format!("{host}: {path}: {cause}")))?;
        bytes.extend_from_slice(&piece);
        if piece.len() < CHUNK_BYTES {
            break;
        }
    }
    let sum = say(session, host, &format!("sha256sum {path}")).await?;
    if sum.split_whitespace().next() == Some(hash(&bytes).as_str()) {
        Ok(bytes)
    } else {
        Err(Stop::Failed(format!(
            "{host}: {path} changed while it was fetched"
        )))
    }
}
