//! What a cluster cannot be made again without: a snapshot of etcd, and its keys and certificates, in one
//! archive, made on a control plane and fetched from there.

use super::in_turn;
use crate::facts::Facts;
use crate::inventory::Inventory;
use crate::plan::steps::join::live_master;
use crate::plan::steps::shell::{FOLDER, etcdctl_at};
use crate::plan::{Action, Plan, Step, seconds};

/// For etcd to write a snapshot; of the 8 GiB that it may have at most, at 30 MB/s.
const SNAPSHOT_SECONDS: u64 = 300;

/// Where the archive is on the control plane until it has been fetched; mode 0600.
#[must_use]
pub fn archive() -> String {
    format!("{FOLDER}/backup.tar.gz")
}

/// Makes the archive on a control plane that answers.
///
/// # Errors
///
/// If none does.
pub fn plan(inventory: &Inventory, facts: &Facts) -> Result<Plan, String> {
    if facts.cluster.is_none() {
        return Err("no API server answers: etcd cannot be asked for a snapshot".to_owned());
    }
    let live = live_master(inventory, facts);
    // The only folder that the pod of etcd and its host share.
    let snapshot = "/var/lib/etcd/evenkeel-snapshot.db";
    let script = format!(
        "umask 077\nmkdir -p {FOLDER}\n\
         trap 'rm -f {snapshot} {snapshot}.part' EXIT\n\
         trap 'exit 1' HUP INT TERM\n\
         rm -f {snapshot} {snapshot}.part {archive}\n\
         {etcdctl} --command-timeout={SNAPSHOT_SECONDS}s snapshot save {snapshot}\n\
         tar -C / -czf {archive} etc/kubernetes/pki etc/kubernetes/admin.conf {relative}\n",
        etcdctl = etcdctl_at(live).replace("--request-timeout=10s", "--request-timeout=0"),
        archive = archive(),
        relative = snapshot.trim_start_matches('/'),
    );
    Ok(Plan {
        stages: vec![in_turn(
            "backup",
            vec![Step {
                id: format!("{}/backup", live.name),
                host: live.name.clone(),
                title: format!("archive a snapshot of etcd and the keys of {}", live.name),
                brings: Vec::new(),
                actions: vec![Action::Run {
                    script: script.into(),
                    limit: seconds(2 * SNAPSHOT_SECONDS),
                }],
                advice: "etcd's own words are above; the host needs room for a snapshot and its archive in /var/lib/etcd and /root".to_owned(),
            }],
        )],
        notes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{bare, inventory, joined};

    #[test]
    fn the_archive_has_the_snapshot_and_the_keys_and_leaves_nothing_beside_it() {
        let inventory = inventory();
        let facts = joined(&inventory, &["master2"]);
        let text = plan(&inventory, &facts).unwrap().to_string();
        assert!(text.contains("exec etcd-master2 -- etcdctl"), "{text}");
        assert!(text.contains("etc/kubernetes/pki"), "{text}");
        assert!(
            text.contains("trap 'rm -f /var/lib/etcd/evenkeel-snapshot.db"),
            "{text}"
        );
        assert!(plan(&inventory, &bare(&inventory)).is_err());
    }
}
