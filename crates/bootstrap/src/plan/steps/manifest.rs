//! Objects for the cluster, applied with kubectl on a control plane. What was applied is remembered in the
//! cluster, so that a change of the file or of the pod network shows in the next plan.

use super::shell::{FOLDER, kubectl_at};
use crate::facts::{Facts, Manifest};
use crate::inventory::Node;
use crate::plan::{Action, Fact, Step, hash, seconds};

/// Where the cluster remembers them.
const MEMORY: &str = "evenkeel-bootstrap";

/// The network plugin's manifest, if there is one.
#[must_use]
pub fn cni(facts: &Facts, live: &Node) -> Option<Step> {
    let manifest = facts
        .manifests
        .iter()
        .find(|manifest| manifest.name == "cni")?;
    Some(apply(live, manifest, "the network plugin"))
}

/// All others, in their order.
#[must_use]
pub fn others(facts: &Facts, live: &Node) -> Vec<Step> {
    let others = facts
        .manifests
        .iter()
        .filter(|manifest| manifest.name != "cni");
    others
        .map(|manifest| apply(live, manifest, &manifest.source))
        .collect()
}

fn apply(live: &Node, manifest: &Manifest, what: &str) -> Step {
    let name = &manifest.name;
    let path = format!("{FOLDER}/{name}.yaml");
    let sha256 = hash(&manifest.text);
    let kubectl = format!("{} -n kube-system", kubectl_at(live.address));
    Step {
        id: format!("{}/apply-{name}", live.name),
        host: live.name.clone(),
        title: format!("apply {what} from {}", manifest.source),
        brings: vec![Fact::Applied {
            name: name.clone(),
            sha256: sha256.clone(),
        }],
        actions: vec![
            Action::Write {
                path: path.clone(),
                content: manifest.text.as_str().into(),
                mode: 0o600,
                before: None,
                temporary: true,
            },
            // Kinds that the manifest itself brings are not known at once. On the server's side: a large
            // manifest does not fit into the annotation that kubectl would leave otherwise.
            Action::Await {
                what: format!("the API to take {what}"),
                script: format!(
                    "{} apply --server-side --force-conflicts --field-manager=evenkeel-bootstrap -f {path}\n",
                    kubectl_at(live.address)
                )
                .into(),
                times: 1,
                every: seconds(3),
                limit: seconds(120),
            },
            Action::Run {
                script: format!(
                    "{kubectl} get configmap {MEMORY} >/dev/null 2>&1 || {kubectl} create configmap {MEMORY}\n\
                     {kubectl} patch configmap {MEMORY} --type merge -p '{{\"data\":{{\"{name}\":\"{sha256}\"}}}}'\n"
                )
                .into(),
                limit: seconds(60),
            },
        ],
        advice: format!(
            "what the API refused stands above; `kubectl apply --server-side --dry-run=server -f` shows it for {}",
            manifest.source
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{inventory, joined};

    #[test]
    fn a_manifest_that_changed_is_applied_again_and_only_then() {
        let inventory = inventory();
        let mut facts = joined(&inventory, &["master1"]);
        let live = inventory.first_master();
        assert_eq!(cni(&facts, live), None);
        facts.manifests.push(Manifest {
            name: "cni".to_owned(),
            source: "kube-flannel.yml".to_owned(),
            text: "kind: List\n".to_owned(),
        });
        let step = cni(&facts, live).unwrap();
        assert!(!step.brings[0].holds(&facts, "master1"));
        let cluster = facts.cluster.as_mut().unwrap();
        cluster
            .applied
            .insert("cni".to_owned(), hash("kind: List\n"));
        assert!(step.brings[0].holds(&facts, "master1"));
        facts.manifests[0].text.push('#');
        assert!(!cni(&facts, live).unwrap().brings[0].holds(&facts, "master1"));
        assert!(others(&facts, live).is_empty());
    }
}
