//! The cluster that is to be, in which nothing is unset.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

/// A whole `cluster.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// Name of the cluster: that of its context in a kubeconfig and of its state on this machine.
    pub name: String,
    /// Domain of the hosts, such as `kube.com`; empty if host names stand alone.
    pub domain: String,
    /// The Kubernetes release that all nodes run.
    pub kubernetes: Version,
    /// Where clients reach the API: the VIP of the balancer.
    pub endpoint: Endpoint,
    /// Networks of pods; one, or one of each family.
    pub pod_cidrs: Vec<IpNet>,
    /// Networks of services; one, or one of each family.
    pub service_cidrs: Vec<IpNet>,
    /// Domain inside the cluster, `cluster.local`.
    pub dns_domain: String,
    /// The network plugin.
    pub cni: Cni,
    /// The container runtime of all nodes but the balancers.
    pub runtime: Runtime,
    /// The balancer's package and configuration.
    pub balancer: Balancer,
    /// How two balancers share the VIP; `None` with a single one.
    pub vrrp: Option<Vrrp>,
    /// What is merged into the documents for kubeadm.
    pub kubeadm: KubeadmPatches,
    /// What is carried to sites without a network.
    pub artefacts: Artefacts,
    /// All hosts, in the order of the file: balancers, control planes and workers. At least one
    /// control plane; names and addresses are unique.
    pub nodes: Vec<Node>,
}

impl Inventory {
    /// The hosts of one role, in the order of the file.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The control plane that `kubeadm init` makes.
    #[must_use]
    pub fn first_master(&self) -> &Node {
        self.of(Role::ControlPlane)
            .next()
            .expect("an inventory without a control plane is refused when it is read")
    }

    /// What an even number of control planes means; `None` if it is odd.
    #[must_use]
    pub fn even_voters(&self) -> Option<String> {
        let masters = self.of(Role::ControlPlane).count();
        match masters {
            2 => Some(
                "two control planes are two etcd voters, and both are needed: the API stops when either \
                 is lost"
                    .to_owned(),
            ),
            _ => masters.is_multiple_of(2).then(|| {
                format!(
                    "{masters} control planes are {masters} etcd voters, which survive the loss of no more \
                     than {} do: {}",
                    masters - 1,
                    (masters - 1) / 2
                )
            }),
        }
    }

    /// The host of a name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The name of a host with the domain, as `/etc/hosts` lists it.
    #[must_use]
    pub fn full_name(&self, node: &Node) -> String {
        if self.domain.is_empty() {
            node.name.clone()
        } else {
            format!("{}.{}", node.name, self.domain)
        }
    }
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Short name: that of `hostnamectl`, of the Kubernetes node and of the balancer's server.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Address inside the cluster's network: node-ip, advertise address, the server's address.
    pub address: IpAddr,
    /// How commands reach it.
    pub transport: Transport,
}

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Runs evenkeel, outside the cluster.
    Balancer,
    /// Runs etcd and an API server.
    ControlPlane,
    /// Runs pods.
    Worker,
}

impl Role {
    /// Every role with its word in `cluster.toml`.
    pub const ALL: [(Self, &str); 3] = [
        (Self::Balancer, "lb"),
        (Self::ControlPlane, "control-plane"),
        (Self::Worker, "worker"),
    ];

    /// The word for it in `cluster.toml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Balancer => "lb",
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        }
    }
}

/// How commands reach a host.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// Through the system's OpenSSH.
    Ssh(Ssh),
    /// It is the host that this program runs on.
    Local {
        /// Whether commands are run through sudo.
        sudo: bool,
    },
}

/// Settings of OpenSSH for one host. What is not given is left to `ssh_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ssh {
    /// Where to connect: the node's address, another address, or a name of `ssh_config`.
    pub host: String,
    /// The user; `None` leaves it to `ssh_config`.
    pub user: Option<String>,
    /// The port; `None` leaves it to `ssh_config`.
    pub port: Option<u16>,
    /// A private key (`-i`).
    pub key: Option<PathBuf>,
    /// A host to go through (`-J`), `user@host:port`.
    pub bastion: Option<String>,
    /// Another `ssh_config` (`-F`).
    pub config: Option<PathBuf>,
    /// Whether commands are run through sudo.
    pub sudo: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// A release of Kubernetes, `1.36.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Always 1 as of today.
    pub major: u16,
    /// The minor release, that skew is counted in.
    pub minor: u16,
    /// The patch release.
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Takes `1.36.2` and `v1.36.2`; what follows a `-` or `+` is passed over.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split(['-', '+']).next().unwrap_or(plain);
        let mut parts = plain.split('.').map(str::parse::<u16>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(format!(
                "'{text}' is no release of Kubernetes; write it in full, such as 1.36.2"
            )),
        }
    }
}

/// Where clients reach the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The address that the balancers bind.
    pub vip: IpAddr,
    /// The port, 6443 as a rule.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    /// As kubeadm's `controlPlaneEndpoint`: `10.0.1.10:6443`, `[fd00::10]:6443`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.vip, self.port).fmt(formatter)
    }
}

/// The network plugin.
#[derive(Clone, Debug, PartialEq)]
pub enum Cni {
    /// flannel, its manifest from a file here or from its releases.
    Flannel {
        /// Where its manifest is.
        manifest: Source,
    },
    /// calico, likewise.
    Calico {
        /// Where its manifest is.
        manifest: Source,
    },
    /// Any manifest, applied as it is.
    Manifest(Source),
    /// None: the operator brings one later, and nodes stay NotReady until then.
    None,
}

/// A file here, or an address to download from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file on this machine.
    File(PathBuf),
    /// An address, fetched here, and what its SHA-256 shall be.
    Url {
        /// https, as a rule.
        url: String,
        /// 64 hexadecimal digits; `None` trusts the address.
        sha256: Option<String>,
    },
}

/// The container runtime.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Socket that kubelet speaks to, `unix:///var/run/containerd/containerd.sock`.
    pub socket: String,
    /// Whether containerd is installed and configured here, or only asked for.
    pub managed: bool,
    /// The package that brings it, `containerd`.
    pub package: String,
}

/// The balancer on hosts of [`Role::Balancer`].
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// A .deb or .rpm here; `None` installs the package `evenkeel` from the host's own repositories.
    pub package: Option<PathBuf>,
    /// A static binary here, installed with its unit; takes the place of a package.
    pub binary: Option<PathBuf>,
    /// Where /metrics and health are served, `127.0.0.1:8404`.
    pub admin: String,
}

/// How two balancers share the VIP (RFC 9568).
#[derive(Clone, Debug, PartialEq)]
pub struct Vrrp {
    /// 1 to 255, unique in the network.
    pub router_id: u8,
    /// Interface that carries the VIP; `None` takes that of the node's address.
    pub interface: Option<String>,
    /// Package files here that bring keepalived and all that it depends on; without any it comes from the
    /// host's own repositories.
    pub packages: Vec<PathBuf>,
}

/// Extra settings, merged into the documents that are made for kubeadm (objects key by key, lists of
/// `name`/`value` by name, other lists replaced).
#[derive(Clone, Debug, PartialEq)]
pub struct KubeadmPatches {
    /// Into `InitConfiguration`.
    pub init: serde_json::Map<String, serde_json::Value>,
    /// Into `ClusterConfiguration`.
    pub cluster: serde_json::Map<String, serde_json::Value>,
    /// Into `JoinConfiguration`.
    pub join: serde_json::Map<String, serde_json::Value>,
    /// A `KubeletConfiguration` beside them.
    pub kubelet: serde_json::Map<String, serde_json::Value>,
    /// A `KubeProxyConfiguration` beside them.
    pub kube_proxy: serde_json::Map<String, serde_json::Value>,
    /// Preflight errors of kubeadm that are passed over, such as `SystemVerification`.
    pub ignore_preflight_errors: Vec<String>,
    /// For what kubeadm does besides waiting, pulling images most of all.
    pub pull_timeout: Duration,
}

impl Default for KubeadmPatches {
    /// Nothing more; images over a slow line.
    fn default() -> Self {
        Self {
            init: serde_json::Map::new(),
            cluster: serde_json::Map::new(),
            join: serde_json::Map::new(),
            kubelet: serde_json::Map::new(),
            kube_proxy: serde_json::Map::new(),
            ignore_preflight_errors: Vec::new(),
            pull_timeout: Duration::from_secs(15 * 60),
        }
    }
}

/// What is copied to the hosts of a site without a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artefacts {
    /// Package files (.deb, .rpm), installed in place of the repositories' packages.
    pub packages: Vec<PathBuf>,
    /// Image archives, imported into containerd on every node.
    pub images: Vec<Image>,
    /// Manifests that are applied after the network plugin.
    pub manifests: Vec<PathBuf>,
    /// Whether packages may be fetched from the hosts' repositories at all.
    pub offline: bool,
}

/// An archive of container images.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// A tar file here, as `docker save` or `ctr image export` writes it.
    pub archive: PathBuf,
}
