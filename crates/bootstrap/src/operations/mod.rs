//! What is done to a cluster that is there: nodes taken out, all of it taken away, another release, a copy
//! of what must not be lost. Each is a plan of the same steps as the first one, shown and run the same way.

pub mod backup;
pub mod certs;
pub mod kubeconfig;
pub mod nodes;
pub mod remove;
pub mod reset;
pub mod upgrade;

use std::time::Duration;

use crate::facts::{DRAINED, Facts};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::shell::{RESET_LIMIT, kubectl_at, reset as reset_script};
use crate::plan::{Action, Fact, Order, Stage, Step, seconds};

/// For pods to leave a node by themselves.
const DRAIN_SECONDS: u64 = 300;
/// After which it is asked whether the node still lives.
const LOOK_SECONDS: u64 = 20;

fn in_turn(title: &str, steps: Vec<Step>) -> Stage {
    Stage {
        title: title.to_owned(),
        order: Order::InTurn,
        steps,
    }
}

/// A step that is one script.
fn script(
    host: &Node,
    what: &str,
    title: String,
    script: String,
    limit: u64,
    advice: &str,
) -> Step {
    Step {
        id: format!("{}/{what}", host.name),
        host: host.name.clone(),
        title,
        brings: Vec::new(),
        actions: vec![Action::Run {
            script: script.into(),
            limit: seconds(limit),
        }],
        advice: advice.to_owned(),
    }
}

/// How much is asked to end by itself before it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// What happens to pods.
    pub pods: Pods,
    /// How long sessions through the balancer may last on a control plane that is about to go away.
    pub sessions: Duration,
}

/// Whether pods are asked to leave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    /// They are, and have to.
    Leave,
    /// They end with the node.
    End,
}

/// Has the pods of a node leave it, asked on `live`. What the operator had cordoned before is not marked, so
/// that it stays so. The cluster needs 40 s to see that a kubelet is silent; pods of one that died in that
/// time would be waited for in vain.
fn drain(live: &Node, node: &Node) -> Step {
    let kubectl = kubectl_at(live.address);
    script(
        live,
        &format!("drain-{}", node.name),
        format!("drain {}", node.name),
        format!(
            "if [ \"$({kubectl} get node {name} -o 'jsonpath={{.spec.unschedulable}}')\" != true ]; then\n\
             \x20 {kubectl} label node {name} --overwrite {DRAINED}=\n\
             fi\n\
             {kubectl} cordon {name}\n\
             began=$(date +%s)\n\
             until {kubectl} drain {name} --ignore-daemonsets --delete-emptydir-data --timeout={LOOK_SECONDS}s; do\n\
             \x20 ready=$({kubectl} get node {name} -o 'jsonpath={{.status.conditions[?(@.type==\"Ready\")].status}}' || :)\n\
             \x20 if [ \"$ready\" = Unknown ]; then echo 'its kubelet is silent: pods cannot leave it'; break; fi\n\
             \x20 [ $(($(date +%s) - began)) -lt {DRAIN_SECONDS} ] || exit 1\n\
             done\n",
            name = node.name
        ),
        DRAIN_SECONDS + 2 * LOOK_SECONDS,
        "a PodDisruptionBudget may hold a pod where it is: `kubectl get pdb -A`; pods without a controller \
         have to be deleted by hand; --no-drain goes on without",
    )
}

/// Lets pods onto a node again, if it was an operation of ours that kept them away.
fn uncordon(live: &Node, node: &Node) -> Step {
    let kubectl = kubectl_at(live.address);
    script(
        live,
        &format!("uncordon-{}", node.name),
        format!("let pods onto {} again", node.name),
        format!(
            "if {kubectl} get nodes -l {DRAINED} -o name | grep -qx node/{name}; then\n\
             \x20 {kubectl} uncordon {name}\n\
             \x20 {kubectl} label node {name} {DRAINED}-\n\
             fi\n",
            name = node.name
        ),
        60,
        "",
    )
}

/// Takes away all that kubeadm made on a host.
fn reset_host(inventory: &Inventory, node: &Node) -> Step {
    Step {
        id: format!("{}/reset", node.name),
        host: node.name.clone(),
        title: format!("take away all that kubeadm made on {}", node.name),
        brings: vec![Fact::Clean],
        actions: vec![Action::Run {
            script: reset_script(inventory).into(),
            limit: RESET_LIMIT,
        }],
        advice: "kubeadm's own words are above; a mount or container that cannot be taken away goes with a restart of the machine".to_owned(),
    }
}

/// What no reset takes away, since it may be somebody else's, too.
const LEFT: &str = "what belongs to plugins other than flannel (their rules, links, files in /etc/cni/net.d) and tables of \
IPVS stay on a machine that is reset: a restart of it ends all but the files";

/// A control plane whose API server is ready, other than `node`.
fn other_live<'a>(inventory: &'a Inventory, facts: &Facts, node: &Node) -> Option<&'a Node> {
    let cluster = facts.cluster.as_ref()?;
    let others = inventory
        .of(Role::ControlPlane)
        .filter(|other| other.name != node.name);
    others
        .filter(|other| cluster.answering.contains(&other.name))
        .find(|other| facts.host(&other.name).is_some())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Output};

    use super::*;
    use crate::plan::steps::example::inventory;

    /// The script of a drain whose pods never leave, on a clock that goes a minute with each look.
    fn drained(name: &str, ready: &str) -> Output {
        let inventory = inventory();
        let step = drain(inventory.first_master(), inventory.node("worker1").unwrap());
        let Some(Action::Run { script, .. }) = step.actions.first() else {
            panic!("{step:?}")
        };
        let folder =
            std::env::temp_dir().join(format!("evenkeel-drain-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = |program: &str, text: &str| {
            let path = folder.join(program);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        program(
            "kubectl",
            &format!(
                "case \" $* \" in *' drain '*) exit 1 ;; *jsonpath*conditions*) printf {ready} ;; esac"
            ),
        );
        program(
            "date",
            &format!(
                "echo x >>{0}/minutes; echo $(($(wc -l <{0}/minutes) * 60))",
                folder.display()
            ),
        );
        let path = format!("{}:/usr/bin:/bin", folder.display());
        let output = Command::new("/bin/sh")
            .env("PATH", path)
            .args(["-euc", &script.to_string()])
            .output()
            .unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        output
    }

    #[test]
    fn pods_of_a_machine_that_died_just_now_are_not_waited_for() {
        let output = drained("dead", "Unknown");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("its kubelet is silent"));
    }

    #[test]
    fn pods_of_a_machine_that_lives_have_to_leave() {
        let output = drained("alive", "True");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}
