//! How a new token and a new certificate key are made known to the cluster. They are made in memory by
//! whoever runs the plan and reach the host in a file that is removed again.

use std::time::Duration;

use super::kubeadm_config;
use super::shell::{FOLDER, await_api};
use crate::inventory::{Inventory, Node};
use crate::plan::Action;

/// For an API that may just have been restarted.
const API_LIMIT: Duration = Duration::from_secs(120);
/// Two calls of kubeadm, of a minute each at most by its own limits.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(180);

/// Makes `<token>` and `<certificate-key>` known through a control plane that has joined. kubeadm would
/// print both: what it says is thrown away unless it fails.
#[must_use]
pub fn announce(inventory: &Inventory, node: &Node) -> Vec<Action> {
    let path = format!("{FOLDER}/credentials.yaml");
    vec![
        await_api(&inventory.endpoint, API_LIMIT),
        Action::Write {
            path: path.clone(),
            content: kubeadm_config::credentials(inventory, node),
            mode: 0o600,
            before: None,
            temporary: true,
        },
        Action::Run {
            script: format!(
                "kubeadm token create --config {path} >/dev/null\n\
                 kubeadm init phase upload-certs --upload-certs --skip-certificate-key-print --config {path} >/dev/null\n"
            )
            .into(),
            limit: ANNOUNCE_LIMIT,
        },
    ]
}
