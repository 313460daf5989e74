//! What `init` knows of a cluster, and the commented file that it makes of it.

use std::net::IpAddr;

use evenkeel_config::tables::show_text;

use crate::inventory::{Endpoint, Role};

/// The port of the API where nothing says another.
pub(super) const API_PORT: u16 = 6443;
/// The newest release that this was tried with.
const RELEASE: &str = "1.36.2";

/// A cluster as far as it was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketch {
    pub(super) domain: String,
    pub(super) kubernetes: String,
    pub(super) vip: Option<Endpoint>,
    /// The port of the VIP, where its address is not known.
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) nodes: Vec<Host>,
    /// Why the file that it comes from does not tell the VIP; with the place.
    pub(super) untold: Option<String>,
    /// What the operator should know.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) address: IpAddr,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            domain: String::new(),
            kubernetes: RELEASE.to_owned(),
            vip: None,
            port: API_PORT,
            user: None,
            nodes: Vec::new(),
            untold: None,
            notes: Vec::new(),
        }
    }
}

impl Sketch {
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// A name for one more host of a role that was not named.
    pub(super) fn next_name(&self, role: Role) -> String {
        let stem = match role {
            Role::Balancer => "lb",
            Role::ControlPlane => "master",
            Role::Worker => "worker",
        };
        let is_free = |name: &String| self.nodes.iter().all(|node| node.name != *name);
        let numbered = (1..).map(|number| format!("{stem}{number}"));
        let lone = (role == Role::Balancer).then(|| stem.to_owned());
        lone.into_iter()
            .chain(numbered)
            .find(is_free)
            .expect("there are more numbers than hosts")
    }

    /// Fills in what follows from what was said, and says what does not follow.
    pub(super) fn complete(&mut self) -> Vec<String> {
        let mut mistakes = Vec::new();
        self.nodes.sort_by_key(|node| node.role);
        let balancers: Vec<IpAddr> = self.of(Role::Balancer).map(|node| node.address).collect();
        match (&self.vip, balancers.as_slice()) {
            (None, [only]) => {
                self.vip = Some(Endpoint {
                    vip: *only,
                    port: self.port,
                });
            }
            (None, []) => mistakes.push(match &self.untold {
                Some(why) => format!(
                    "{why}; pass it, --vip 10.0.1.10, and each balancer whose own address it is not, --lb \
                     lb1=10.0.1.8"
                ),
                None => "no balancer: name one, as in lb=10.0.1.10, or --lb 10.0.1.10".to_owned(),
            }),
            (None, _) => mistakes.push(
                "several balancers share a VIP of its own, which no host has for itself: say it with --vip \
                 10.0.1.10"
                    .to_owned(),
            ),
            (Some(endpoint), []) => {
                let name = self.next_name(Role::Balancer);
                self.notes.push(format!(
                    "no balancer was named; it is taken to be the host that has {}",
                    endpoint.vip
                ));
                self.nodes.insert(
                    0,
                    Host {
                        name,
                        role: Role::Balancer,
                        address: endpoint.vip,
                    },
                );
            }
            (Some(_), _) => {}
        }
        if self.of(Role::ControlPlane).next().is_none() {
            mistakes.push(
                "no control plane: name one, as in master1=10.0.1.11, or --control-plane 10.0.1.11"
                    .to_owned(),
            );
        }
        mistakes
    }

    /// The same with something in each place that is still empty, none of which is in anybody's way: what is
    /// wrong with it is wrong with what was said.
    pub(super) fn filled(&self) -> Self {
        let mut whole = self.clone();
        let known = self.nodes.iter().map(|node| node.address);
        let is_v6 = known
            .chain(self.vip.as_ref().map(|vip| vip.vip))
            .next()
            .is_some_and(|address| address.is_ipv6());
        // Of documentation alone, RFC 5737 and 3849.
        let address = |last: u8| -> IpAddr {
            match is_v6 {
                true => {
                    std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xffff, last.into()).into()
                }
                false => [192, 0, 2, last].into(),
            }
        };
        for (role, last) in [(Role::Balancer, 251), (Role::ControlPlane, 252)] {
            if whole.of(role).next().is_none() {
                whole.nodes.push(Host {
                    name: format!("unsaid-{last}"),
                    role,
                    address: address(last),
                });
            }
        }
        if whole.vip.is_none() {
            whole.vip = Some(Endpoint {
                vip: address(253),
                port: self.port,
            });
        }
        whole
    }

    /// The file. Everything that may be said stands in it, as a comment where it is not.
    pub(super) fn text(&self) -> String {
        let endpoint = self
            .vip
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        let mut text = HEAD
            .replace("@KUBERNETES@", &show_text(&self.kubernetes))
            .replace("@VIP@", &show_text(&endpoint))
            .replace(
                "@DOMAIN@",
                &said(
                    "domain",
                    (!self.domain.is_empty()).then_some(&self.domain),
                    "kube.com",
                ),
            )
            .replace("@USER@", &said("user", self.user.as_ref(), "admin"))
            .replace(
                "@VRRP@",
                match self.of(Role::Balancer).count() {
                    0 | 1 => VRRP_UNUSED,
                    _ => VRRP_USED,
                },
            );
        for (role, heading) in [
            (
                Role::Balancer,
                "# Balancers: they run evenkeel and stand outside the cluster.",
            ),
            (
                Role::ControlPlane,
                "# Control planes, in the order in which they join. The first one runs 'kubeadm init'.",
            ),
            (Role::Worker, "# Workers."),
        ] {
            text.push_str(&format!("\n{heading}\n"));
            for node in self.of(role) {
                text.push_str(&format!(
                    "\n[[node]]\nname = {}\nrole = {}\naddress = {}\n",
                    show_text(&node.name),
                    show_text(node.role.word()),
                    show_text(&node.address.to_string()),
                ));
            }
        }
        text.push_str(TAIL);
        text
    }
}

fn said(key: &str, value: Option<&String>, example: &str) -> String {
    match value {
        Some(value) => format!("{key} = {}", show_text(value)),
        None => format!("# {key} = {}", show_text(example)),
    }
}

const HEAD: &str = r#"# A Kubernetes cluster behind evenkeel. Look it over, then:
#   evenkeel-bootstrap preflight    what stands in the way
#   evenkeel-bootstrap plan         what would be done
#   evenkeel-bootstrap apply        do it
# What stands behind '#' and a space is what holds where nothing is said, or an example.
# All keys: docs/bootstrap-toml.md

[cluster]
# name = "kubernetes"
@DOMAIN@
kubernetes = @KUBERNETES@
# Where clients reach the API.
vip = @VIP@
# Networks of pods and services; no host may be in them.
# pod-cidr = "10.244.0.0/16"
# service-cidr = "10.96.0.0/12"

# How hosts are reached; whatever is not said comes from your ssh_config and agent.
[ssh]
@USER@
# port = 22
# key = "~/.ssh/id_ed25519"
# bastion = "admin@bastion.kube.com"
# sudo = true

[cni]
# flannel, calico, manifest (with 'manifest = "FILE or URL"'), or none
# plugin = "flannel"

[balancer]
# A package of evenkeel to copy and install; without it, the hosts' repositories have it.
# package = "evenkeel_amd64.deb"
# admin = "127.0.0.1:8404"
@VRRP@
# More for kubeadm, merged into its documents:
# [kubeadm.cluster.apiServer]
# extraArgs = [{ name = "audit-log-maxage", value = "30" }]
"#;

const VRRP_UNUSED: &str = "";

const VRRP_USED: &str = r#"
# Keepalived gives the VIP to a balancer that is healthy.
[vrrp]
# router-id = 10
# interface = "eth0"
# packages = ["keepalived_amd64.deb"]
"#;

const TAIL: &str = r#"
# A host that is reached otherwise than by its address says how:
# ssh = { host = "203.0.113.7", port = 2222, user = "root" }
"#;
