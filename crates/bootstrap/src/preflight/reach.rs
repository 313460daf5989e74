//! What facts of one host cannot say: whether hosts reach each other, by real connections from each to each
//! that needs it, and who else sends VRRP adverts. Nothing listens for it and nothing is left behind: a port
//! where nobody listens yet refuses, which says as much about the way there as an answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use crate::facts::Facts;
use crate::inventory::{Cni, Inventory, Node, Role};
use crate::plan::quote;
use crate::plan::steps::balancer::API_PORT;
use crate::transport::Machine;

/// What was tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reach {
    /// Each connection.
    pub tries: Vec<Try>,
    /// VRRP adverts by the host that heard them; a host that could not listen says why.
    pub adverts: BTreeMap<String, Result<Vec<Advert>, String>>,
    /// Folders of patches that kubeadm is to read, by the host that does not have them.
    pub without_patches: BTreeMap<String, String>,
}

/// One connection that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The host it was tried from.
    pub from: String,
    /// The address.
    pub to: IpAddr,
    /// Whose address it is, for messages.
    pub whose: String,
    /// The port.
    pub port: u16,
    /// How it went.
    pub outcome: Outcome,
}

/// How a connection went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Somebody listens.
    Open,
    /// Nobody listens, and the host said so: the way there is free.
    Refused,
    /// No answer: a firewall, or no such host.
    Silent,
    /// Something on the way said no, in its words.
    Rejected(String),
    /// It could not be tried.
    Untried(String),
}

/// A VRRP advert.
#[derive(Clone, Debug, PartialEq)]
pub struct Advert {
    /// Who sent it.
    pub from: IpAddr,
    /// Its virtual router id.
    pub router_id: u8,
}

/// For one connection: two segments have been sent by then, one and three seconds after the first.
const CONNECT_SECONDS: u32 = 4;
/// So many connections of one host at once.
const AT_ONCE: usize = 64;
/// For all of a host's connections, whatever their number.
const LIMIT: Duration = Duration::from_secs(180);
/// For a look whether a folder is there.
const FOLDER_LIMIT: Duration = Duration::from_secs(20);
/// Three adverts and a half at one a second.
const LISTEN_SECONDS: u32 = 4;
/// Ports of etcd.
const ETCD: [u16; 2] = [2379, 2380];
/// kubelet's, which API servers connect to for logs and exec.
const KUBELET: u16 = 10250;
/// BGP, which calico's nodes speak to each other.
const BGP: u16 = 179;

/// Tries every connection that the cluster will need, from all connected hosts at the same time.
pub(super) async fn reach(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
    facts: &Facts,
) -> Reach {
    let tries = join_all(inventory.nodes.iter().map(async |node| {
        let Some(machine) = machines.get(&node.name) else {
            return Vec::new();
        };
        connect(machine, &wanted(inventory, facts, node)).await
    }));
    let adverts = join_all(listeners(inventory, facts).map(async |node| {
        let machine = machines.get(&node.name)?;
        Some((node.name.clone(), listen(machine).await))
    }));
    let patches = join_all(inventory.nodes.iter().map(async |node| {
        let folder = patches_folder(inventory, node)?;
        let machine = machines.get(&node.name)?;
        let script = format!("[ -d {} ]", quote(folder));
        // A host that cannot be asked is another finding.
        let said = machine.run(&script, FOLDER_LIMIT).await.ok()?;
        (said.status != 0).then(|| (node.name.clone(), folder.to_owned()))
    }));
    let (tries, adverts, patches) = tokio::join!(tries, adverts, patches);
    Reach {
        without_patches: patches.into_iter().flatten().collect(),
        tries: tries.into_iter().flatten().collect(),
        adverts: adverts.into_iter().flatten().collect(),
    }
}

/// Where kubeadm is told to read patches on `node`: by its init on the first control plane, else by its join.
fn patches_folder<'i>(inventory: &'i Inventory, node: &Node) -> Option<&'i str> {
    let document = match node.role {
        Role::Balancer => return None,
        _ if node.name == inventory.first_master().name => &inventory.kubeadm.init,
        _ => &inventory.kubeadm.join,
    };
    document.get("patches")?["directory"].as_str()
}

/// What `node` has to reach, once each. Nobody reaches a host that is down, which is another finding.
fn wanted(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<(IpAddr, u16, String)> {
    let mut wanted: Vec<(IpAddr, u16, String)> = Vec::new();
    let mut want = |address: IpAddr, port: u16, whose: &str| {
        let is_known = wanted
            .iter()
            .any(|(known, known_port, _)| (*known, *known_port) == (address, port));
        if address != node.address && !is_known {
            wanted.push((address, port, whose.to_owned()));
        }
    };
    let answers = |node: &&Node| facts.host(&node.name).is_some();
    let masters = || inventory.of(Role::ControlPlane).filter(answers);
    let members = || {
        let nodes = inventory.nodes.iter().filter(answers);
        nodes.filter(|other| other.role != Role::Balancer)
    };
    if node.role != Role::Balancer && inventory.of(Role::Balancer).any(|node| answers(&node)) {
        want(inventory.endpoint.vip, inventory.endpoint.port, "the VIP");
    }
    for master in masters() {
        want(master.address, API_PORT, &master.name);
    }
    if node.role == Role::ControlPlane {
        for master in masters() {
            for port in ETCD {
                want(master.address, port, &master.name);
            }
        }
        for other in members() {
            want(other.address, KUBELET, &other.name);
        }
    }
    if matches!(inventory.cni, Cni::Calico { .. }) && node.role != Role::Balancer {
        for other in members() {
            want(other.address, BGP, &other.name);
        }
    }
    wanted
}

async fn connect(machine: &Machine, wanted: &[(IpAddr, u16, String)]) -> Vec<Try> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let outcomes = match machine.run(&connect_script(wanted), LIMIT).await {
        Ok(outcome) => outcomes(&outcome.stdout),
        Err(failure) => Err(failure.to_string()),
    };
    let outcome = |address: &IpAddr, port: u16| match &outcomes {
        Ok(known) => known
            .get(&(*address, port))
            .cloned()
            .unwrap_or_else(|| Outcome::Untried("the host did not say".to_owned())),
        Err(why) => Outcome::Untried(why.clone()),
    };
    wanted
        .iter()
        .map(|(to, port, whose)| Try {
            from: machine.name.clone(),
            to: *to,
            whose: whose.clone(),
            port: *port,
            outcome: outcome(to, *port),
        })
        .collect()
}

/// Connects to each by bash, or by Python where there is none.
fn connect_script(wanted: &[(IpAddr, u16, String)]) -> String {
    let mut script = format!("SECONDS_EACH={CONNECT_SECONDS}\n{CONNECT}");
    for batch in wanted.chunks(AT_ONCE) {
        for (address, port, _) in batch {
            // Writing to a string cannot fail.
            let _ = writeln!(script, "try {address} {port} &");
        }
        script.push_str("wait\n");
    }
    script
}

const CONNECT: &str = r#"set +eu
export LC_ALL=C
if command -v bash >/dev/null; then
  try() {
    said=$(timeout "$SECONDS_EACH" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1 </dev/null)
    echo "try $1 $2 $? $(echo "$said" | tail -n 1)"
  }
elif command -v python3 >/dev/null; then
  try() {
    said=$(timeout "$SECONDS_EACH" python3 -c 'import socket,sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])))
except OSError as error: sys.exit(error.strerror)' "$1" "$2" 2>&1 </dev/null)
    echo "try $1 $2 $? $said"
  }
else
  try() { echo "try $1 $2 127 neither bash nor python3 is there to connect"; }
fi
"#;

/// Lines `try ADDRESS PORT STATUS WORDS`.
fn outcomes(answer: &str) -> Result<BTreeMap<(IpAddr, u16), Outcome>, String> {
    let line = |line: &str| {
        let mut words = line.strip_prefix("try ")?.splitn(4, ' ');
        let address = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        let status = words.next()?.parse().ok()?;
        Some(((address, port), outcome(status, words.next()?)))
    };
    answer
        .lines()
        .map(|text| line(text).ok_or_else(|| format!("its answer is not understood: {text}")))
        .collect()
}

fn outcome(status: u8, said: &str) -> Outcome {
    // bash: `bash: connect: Connection refused`, and the last line `bash: line 1: /dev/tcp/...: Connection refused`.
    let said = said.rsplit(": ").next().unwrap_or(said).trim();
    match status {
        0 => Outcome::Open,
        // What timeout(1) says.
        124 => Outcome::Silent,
        127 => Outcome::Untried(said.to_owned()),
        _ if said == "Connection refused" => Outcome::Refused,
        _ if said == "Connection timed out" => Outcome::Silent,
        _ => Outcome::Rejected(said.to_owned()),
    }
}

/// Balancers that share the VIP and have no keepalived running yet.
fn listeners<'a>(inventory: &'a Inventory, facts: &'a Facts) -> impl Iterator<Item = &'a Node> {
    let runs = |node: &Node| {
        let unit = facts.host(&node.name)?.units.get("keepalived.service")?;
        Some(unit.active)
    };
    inventory
        .of(Role::Balancer)
        .filter(|_| inventory.vrrp.is_some())
        .filter(move |node| runs(node) != Some(true))
}

async fn listen(machine: &Machine) -> Result<Vec<Advert>, String> {
    let script = format!("LISTEN_SECONDS={LISTEN_SECONDS}\n{LISTEN}");
    let outcome = machine
        .run(&script, LIMIT)
        .await
        .map_err(|failure| failure.to_string())?;
    if outcome.status != 0 {
        return Err(outcome.words());
    }
    adverts(&outcome.stdout)
}

/// tcpdump sees adverts to any group; Python joins that of VRRP for the time.
const LISTEN: &str = r#"set +eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
if command -v tcpdump >/dev/null; then
  timeout "$LISTEN_SECONDS" tcpdump -l -n -i any 'ip proto 112 or ip6 proto 112' 2>/dev/null |
    sed -n 's/^.* \([0-9a-f.:]*\) > [0-9a-f.:]*: .*vrid \([0-9]*\),.*$/advert \1 \2/p' | sort -u
elif command -v python3 >/dev/null; then
  python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.18") + bytes(4))
end = time.monotonic() + int(sys.argv[1])
seen = set()
while True:
    left = end - time.monotonic()
    if left <= 0: break
    s.settimeout(left)
    try: data, (sender, _) = s.recvfrom(2048)
    except socket.timeout: break
    head = (data[0] & 15) * 4
    if len(data) > head + 1: seen.add((sender, data[head + 1]))
for sender, vrid in sorted(seen): print("advert", sender, vrid)' "$LISTEN_SECONDS"
else
  echo 'neither tcpdump nor python3 is there to listen' >&2
  exit 3
fi
"#;

/// Lines `advert ADDRESS ID`.
fn adverts(answer: &str) -> Result<Vec<Advert>, String> {
    let line = |line: &str| {
        let (from, router_id) = line.strip_prefix("advert ")?.split_once(' ')?;
        Some(Advert {
            from: from.parse().ok()?,
            router_id: router_id.parse().ok()?,
        })
    };
    answer
        .lines()
        .map(|text| line(text).ok_or_else(|| format!("its answer is not understood: {text}")))
        .collect()
}

#[cfg(test)]
mod tests;
