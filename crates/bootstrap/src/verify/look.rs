//! One look at all hosts at the same time, as values.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::dns;
use crate::facts::{self, ClusterFacts};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::balancer::metrics;
use crate::plan::steps::shell::{KUBECTL, kubectl_at};
use crate::transport::Machine;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Each host's lines, a word and what it says, or why there are none.
    pub(super) hosts: BTreeMap<String, Result<Lines, String>>,
    /// What the first control plane that is ready says.
    pub(super) cluster: Option<ClusterFacts>,
    /// What it says of pods and requests.
    pub(super) live: Lines,
    /// What `kubectl get nodes` prints there.
    pub(super) table: String,
}

/// Words with what they say, in order.
pub(super) type Lines = Vec<(String, String)>;

/// For one host.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn look(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
    silent: &BTreeMap<String, String>,
) -> Seen {
    let hosts = join_all(inventory.nodes.iter().map(async |node| {
        let said = match machines.get(&node.name) {
            Some(machine) => ask(machine, &script(inventory, node)).await,
            None => Err(silent
                .get(&node.name)
                .cloned()
                .unwrap_or_else(|| "it is not connected".to_owned())),
        };
        (node.name.clone(), said.map(|text| lines(&text)))
    }));
    let (hosts, cluster) = join(hosts, facts::ask_cluster(inventory, machines)).await;
    let mut seen = Seen {
        hosts: hosts.into_iter().collect(),
        ..Seen::default()
    };
    let told_by = cluster.as_ref().and_then(|cluster| {
        Some((
            inventory.node(&cluster.told_by)?,
            machines.get(&cluster.told_by)?,
        ))
    });
    if let Some((node, machine)) = told_by {
        let kubectl = kubectl_at(node.address);
        let script = LIVE.replace("@KUBECTL@", &kubectl);
        seen.live = ask(machine, &script)
            .await
            .map(|text| lines(&text))
            .unwrap_or_default();
        seen.table = ask(machine, &format!("{kubectl} get nodes"))
            .await
            .unwrap_or_default();
    }
    seen.cluster = cluster;
    seen
}

async fn ask(machine: &Machine, script: &str) -> Result<String, String> {
    match machine.run(script, LIMIT).await {
        Ok(outcome) if outcome.status == 0 => Ok(outcome.stdout),
        Ok(outcome) => Err(outcome.words()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn lines(text: &str) -> Lines {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(word, value)| (word.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Asked of the control plane that told of the cluster, with a word for each question that was answered: an
/// empty list is an answer, a failure is none. Only what belongs to the cluster itself: whether
/// its users' pods are well is not for us to say.
const LIVE: &str = r#"set +e
k() { @KUBECTL@ "$@" </dev/null; }
all=yes
for space in kube-system kube-flannel calico-system; do
  k -n "$space" get daemonsets -o 'jsonpath={range .items[*]}set{"\t"}{.metadata.name} {.status.numberReady} {.status.desiredNumberScheduled}{"\n"}{end}' || all=
done
[ -z "$all" ] || printf 'asked\tsets\n'
k get csr -o 'jsonpath={range .items[*]}request{"\t"}{.metadata.name} {.spec.signerName} {.status.conditions[*].type}{"\n"}{end}' && printf 'asked\trequests\n'
exit 0
"#;

fn script(inventory: &Inventory, node: &Node) -> String {
    const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let through_vip = match node.role {
        Role::Balancer => return balancer(inventory),
        Role::ControlPlane => {
            let vip = format!("--server https://{}", inventory.endpoint);
            format!(
                "said own {} get --raw /readyz\nsaid vip {KUBECTL} {vip} get --raw /readyz\n\
                 timeout 30 kubeadm certs check-expiration 2>/dev/null </dev/null |\n\
                 sed '/^CERTIFICATE AUTHORITY/,$d' | sed -n '/ UTC /s/^/leaf\t/p'\n",
                kubectl_at(node.address)
            )
        }
        Role::Worker => format!(
            "said vip kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s get node {} -o name\n",
            node.name
        ),
    };
    let dns = inventory
        .service_cidrs
        .first()
        .map_or_else(String::new, |network| {
            let name = format!("kubernetes.default.svc.{}", inventory.dns_domain);
            format!(
                "printf 'dns\\t%s\\n' \"$({})\"\n",
                dns::script(dns::server(network), &name)
            )
        });
    format!(
        "set +e\n\
         said() {{ word=$1; shift; if out=$(\"$@\" 2>&1 </dev/null); then out=ok; fi; printf '%s\\t%s\\n' \"$word\" \"$(printf '%s' \"$out\" | tr '\\n\\t' '  ' | cut -c 1-300)\"; }}\n\
         {through_vip}{dns}\
         if [ ! -s {CERTIFICATE} ]; then printf 'certificate\\tthere is no {CERTIFICATE}\\n'\n\
         elif command -v openssl >/dev/null && ! openssl x509 -noout -checkend 604800 -in {CERTIFICATE} >/dev/null; then printf 'certificate\\t{CERTIFICATE} ends within a week\\n'\n\
         else printf 'certificate\\tok\\n'; fi\n"
    )
}

/// Whether it has the VIP, and the states of servers, of the balancer's own metrics.
fn balancer(inventory: &Inventory) -> String {
    format!(
        "if ip -o addr show to {vip} up | grep -q .; then printf 'has-vip\\tyes\\n'; fi\n\
         {metrics} |\n\
         sed -n 's/^haproxy_server_status{{proxy=\"masters\",server=\"\\([^\"]*\\)\",state=\"\\([^\"]*\\)\"}} 1\\r*$/server\\t\\1 \\2/p'\n",
        vip = inventory.endpoint.vip,
        metrics = metrics(inventory),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;
    use crate::plan::steps::example::inventory;

    #[test]
    fn states_of_servers_are_read_from_metrics() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut inventory = inventory();
        inventory.endpoint.vip = [127, 0, 0, 1].into();
        inventory.balancer.admin = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let body = "HTTP/1.0 200 OK\r\n\r\n\
                haproxy_server_status{proxy=\"masters\",server=\"master1\",state=\"UP\"} 1\n\
                haproxy_server_status{proxy=\"masters\",server=\"master1\",state=\"DOWN\"} 0\n\
                haproxy_server_status{proxy=\"masters\",server=\"master2\",state=\"MAINT\"} 1\n";
            stream.write_all(body.as_bytes()).unwrap();
        });
        let output = Command::new("sh")
            .args(["-euc", &balancer(&inventory)])
            .output()
            .unwrap();
        let said = lines(&String::from_utf8(output.stdout).unwrap());
        let expected = [
            ("has-vip", "yes"),
            ("server", "master1 UP"),
            ("server", "master2 MAINT"),
        ]
        .map(|(word, text)| (word.to_owned(), text.to_owned()));
        assert_eq!(said, expected);
    }

    #[test]
    fn a_node_says_each_thing_on_a_line_of_its_own_whatever_fails() {
        let inventory = inventory();
        let script = script(&inventory, inventory.first_master());
        // No kubectl, no cluster.
        let output = Command::new("/bin/sh")
            .env("PATH", "/usr/bin:/bin")
            .args(["-euc", &script])
            .output()
            .unwrap();
        let said = lines(&String::from_utf8(output.stdout).unwrap());
        let words: Vec<_> = said.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["own", "vip", "dns", "certificate"], "{said:?}");
        assert!(
            said[0].1 != "ok" && said[3].1.starts_with("there is no"),
            "{said:?}"
        );
    }
}
