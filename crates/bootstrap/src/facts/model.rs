//! Facts as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Brought;
use crate::inventory::Version;

/// Everything that was found out.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Each host by its name in the inventory: what it is like, or why it could not be asked.
    pub hosts: BTreeMap<String, Result<HostFacts, String>>,
    /// What the first control plane that answered says of the cluster; `None` if there is none yet.
    pub cluster: Option<ClusterFacts>,
    /// Files of this machine that are brought to hosts.
    pub brought: BTreeMap<PathBuf, Brought>,
    /// What is to be applied to the cluster, read on this machine and rendered for its networks, in order.
    pub manifests: Vec<Manifest>,
    /// By which an archive of images on this machine is known from what was there before under its name: its
    /// size and the time of its last change.
    pub archives: BTreeMap<PathBuf, String>,
    /// Hosts that the operator goes on without. What is in `hosts` for them says why.
    pub without: BTreeSet<String>,
}

impl Facts {
    /// What one host is like, if it answered.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostFacts> {
        self.hosts.get(name).and_then(|host| host.as_ref().ok())
    }

    /// A node as the cluster knows it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&ClusterNode> {
        self.cluster
            .as_ref()?
            .nodes
            .iter()
            .find(|node| node.name == name)
    }
}

/// One host. Text is as the host gave it; empty where it gave none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostFacts {
    /// `hostname` of now, short or full.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// `/sys/class/dmi/id/product_uuid`.
    pub product_uuid: String,
    /// Interfaces; the loopback if it has an address that is not its own.
    pub interfaces: Vec<Interface>,
    /// What kind of container it is, `lxc` or `systemd-nspawn`; empty if it is none, or that is not known.
    pub container: String,
    /// `/etc/os-release`.
    pub os: Os,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Processors that are online.
    pub cpus: u32,
    /// `MemTotal` in bytes.
    pub memory_bytes: u64,
    /// Names of active swap areas.
    pub swaps: Vec<String>,
    /// Kernel modules that are loaded or built in, of those that matter.
    pub modules: BTreeSet<String>,
    /// Those of them that the running kernel has no file for, where that can be told.
    pub absent_modules: BTreeSet<String>,
    /// Kernel settings by name, of those that matter; absent where the kernel has none such.
    pub sysctls: BTreeMap<String, String>,
    /// Whether `/sys/fs/cgroup` is cgroup v2.
    pub cgroup_v2: bool,
    /// What installs packages.
    pub package_manager: Option<PackageManager>,
    /// Installed packages of those that matter.
    pub packages: BTreeMap<String, Package>,
    /// Packages of those that matter that are unpacked and not set up: their programs are there, and yet nothing
    /// that these need.
    pub unconfigured: BTreeSet<String>,
    /// Programs that were found, with the version that each says it has (`containerd`, `kubeadm`, ...).
    pub programs: BTreeMap<String, String>,
    /// systemd units of those that matter.
    pub units: BTreeMap<String, Unit>,
    /// Names of the images in containerd, asked where archives of images are brought.
    pub images: BTreeSet<String>,
    /// Files of those that a plan may write, which exist.
    pub files: BTreeMap<String, FileFacts>,
    /// TCP ports that something listens on.
    pub listeners: Vec<Listener>,
    /// How far the host's clock is ahead of ours, in milliseconds, within the time the question took.
    pub clock_ahead_ms: i64,
    /// Source address that packets to the VIP would have; `None` without a route.
    pub route_to_vip: Option<IpAddr>,
    /// Interface of the default route, which flannel takes where it is not told another; empty without one.
    pub default_interface: String,
    /// Whether an IPv6 default route was learnt from a router's adverts, which a kernel that forwards passes over.
    pub default_by_advert: bool,
    /// The container runtime, as far as it can be seen from outside.
    pub runtime: RuntimeFacts,
    /// Proxy variables that services or shells would see (`HTTPS_PROXY`, `NO_PROXY`, ...).
    pub proxies: BTreeMap<String, String>,
    /// Free bytes by mount, of those that matter.
    pub mounts: Vec<Mount>,
    /// Whether systemd is process 1.
    pub systemd: bool,
    /// `enforcing`, `permissive`, or empty.
    pub selinux: String,
    /// How far kubeadm has come here.
    pub kube: Kube,
    /// Lines of `ss` and `ip` that were not understood: a socket or an address that nothing is known of.
    pub not_understood: Vec<String>,
    /// Certificates of a control plane that end after a year, as `kubeadm certs check-expiration` lists them.
    pub certificates: Vec<Certificate>,
}

/// A certificate that kubeadm made and renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `apiserver`, `admin.conf`.
    pub name: String,
    /// When it ends.
    pub ends: Timestamp,
    /// Whole days from when the host was asked until then; negative once it has ended.
    pub days_left: i64,
}

impl Certificate {
    /// From a line of kubeadm's list: `apiserver   Nov 22, 2027 12:00 UTC   364d   ca   no`.
    #[must_use]
    pub fn of_line(line: &str, now: Timestamp) -> Option<Self> {
        let (name, rest) = line.split_once(' ')?;
        let (date, _) = rest.split_once(" UTC")?;
        let ends = DateTime::strptime("%b %d, %Y %H:%M", date.trim()).ok()?;
        let ends = ends.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let seconds = ends.as_second() - now.as_second();
        Some(Self {
            name: name.to_owned(),
            ends,
            days_left: seconds.div_euclid(24 * 60 * 60),
        })
    }

    /// The day, `2027-11-22`.
    #[must_use]
    pub fn day(&self) -> String {
        self.ends.strftime("%Y-%m-%d").to_string()
    }
}

impl HostFacts {
    /// The text of a file; `None` if it does not exist or was too large to be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Whether a program is there, in whatever version, and its package, if it has one, is set up.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        let mut packages = packages_of(program).into_iter();
        self.programs.contains_key(program)
            && !packages.any(|package| self.unconfigured.contains(package))
    }

    /// What is known of a file's text. One that exists and whose text is unknown is not an empty one.
    #[must_use]
    pub fn content(&self, path: &str) -> Content<'_> {
        match self.files.get(path) {
            None => Content::Missing,
            Some(file) => file.text.as_deref().map_or(Content::Unknown, Content::Text),
        }
    }

    /// Kubernetes' version of a program, such as `kubeadm`.
    #[must_use]
    pub fn kubernetes(&self, program: &str) -> Option<Version> {
        self.programs.get(program)?.parse().ok()
    }

    /// The interface that has an address.
    #[must_use]
    pub fn interface_of(&self, address: IpAddr) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| {
            interface
                .addresses
                .iter()
                .any(|network| network.addr() == address)
        })
    }
}

/// The packages that may bring a program.
pub(crate) fn packages_of(program: &str) -> Vec<&str> {
    match program {
        "containerd" => vec!["containerd", "containerd.io"],
        other => vec![other],
    }
}

/// What containerd's settings come to (`containerd config dump`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeFacts {
    /// Whether the socket of the inventory is there.
    pub socket: bool,
    /// All of it, TOML; empty where containerd is not there or does not say.
    pub settings: String,
    /// The image of pods' own process, `registry.k8s.io/pause:3.10`; empty where it does not say.
    pub sandbox_image: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Lower-case, colons.
    pub mac: String,
    /// Addresses with their prefix length.
    pub addresses: Vec<IpNet>,
    /// Those of them that will go, or may not be used yet: temporary, deprecated, not yet known to be unique.
    pub fleeting: Vec<IpAddr>,
}

/// `/etc/os-release`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Os {
    /// `debian`, `ubuntu`, `rocky`...
    pub id: String,
    /// `12`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub pretty: String,
}

/// What installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// apt and dpkg.
    Apt,
    /// dnf and rpm.
    Dnf,
}

/// An installed package.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Package {
    /// As the package manager says it.
    pub version: String,
    /// Whether upgrades pass it over (`apt-mark hold`, dnf versionlock).
    pub held: bool,
}

/// A systemd unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// Whether it starts with the host.
    pub enabled: bool,
    /// Whether it runs.
    pub active: bool,
}

/// A file that exists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileFacts {
    /// Permission bits, `0o600`.
    pub mode: u32,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its text; `None` if it is secret, not UTF-8 or larger than 1 MiB.
    pub text: Option<String>,
}

/// What is known of a file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// There is no such file.
    Missing,
    /// All of it.
    Text(&'a str),
    /// The file exists, and its text was not brought: it is secret, not UTF-8 or too large.
    Unknown,
}

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// What it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The program, if it could be told.
    pub program: String,
}

/// Room on a file system.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// The path that was asked for, such as `/var/lib`.
    pub path: String,
    /// Bytes that are free there.
    pub free_bytes: u64,
}

/// How far kubeadm has come on a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kube {
    /// `/etc/kubernetes/admin.conf` is there.
    pub admin_conf: bool,
    /// `/etc/kubernetes/kubelet.conf` is there.
    pub kubelet_conf: bool,
    /// `/etc/kubernetes/manifests/kube-apiserver.yaml` is there.
    pub apiserver_manifest: bool,
    /// `/var/lib/etcd/member` is there.
    pub etcd_data: bool,
    /// What was begun by us and has not been completed: `init`, `join`; empty if nothing.
    pub begun: String,
    /// `/etc/kubernetes/pki/ca.crt`, PEM.
    pub ca: Option<String>,
}

impl Kube {
    /// Nothing of kubeadm's work is there.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.admin_conf && !self.kubelet_conf && !self.apiserver_manifest && !self.etcd_data
    }
}

/// What the API says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterFacts {
    /// The control plane that was asked.
    pub told_by: String,
    /// Control planes whose own API server said that it is ready.
    pub answering: BTreeSet<String>,
    /// The nodes.
    pub nodes: Vec<ClusterNode>,
    /// Version of the API server that answered.
    pub server: Option<Version>,
    /// Names of etcd's members, which are those of their nodes.
    pub etcd_members: BTreeSet<String>,
    /// What kubeadm's phases left: names of `ConfigMap`s in kube-system and kube-public, such as
    /// `kubeadm-config`, `cluster-info`.
    pub config_maps: BTreeSet<String>,
    /// Manifests that we applied, by name, with the SHA-256 of their text (the annotation of the
    /// `ConfigMap` `kube-system/evenkeel-bootstrap`).
    pub applied: BTreeMap<String, String>,
}

/// Objects for the cluster, as YAML.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// What it is remembered by: `cni`, `manifest-metrics-server`.
    pub name: String,
    /// Where it came from, for the operator's eyes.
    pub source: String,
    /// All of it.
    pub text: String,
}

/// The label of nodes that were cordoned by an operation of ours, until it lets pods onto them again.
pub const DRAINED: &str = "evenkeel-bootstrap/drained";

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Its condition `Ready`.
    pub ready: bool,
    /// Whether it carries the control plane's label.
    pub control_plane: bool,
    /// Version of its kubelet.
    pub kubelet: Option<Version>,
    /// Its `InternalIP`s.
    pub addresses: Vec<IpAddr>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether that was done by an operation of ours that has not come to its end ([`DRAINED`]).
    pub drained: bool,
    /// Its `podCIDR`s.
    pub pod_cidrs: Vec<IpNet>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_from_the_list_of_kubeadm() {
        let now = "2026-11-22T13:00:00Z".parse().unwrap();
        let read = |line: &str| Certificate::of_line(line, now);
        let found = read("etcd-peer                  Nov 22, 2027 12:00 UTC   364d            etcd-ca                 no      ").unwrap();
        assert_eq!(
            (found.name.as_str(), found.day().as_str(), found.days_left),
            ("etcd-peer", "2027-11-22", 364)
        );
        let ended = read("apiserver   Nov 22, 2026 12:00 UTC   <invalid>   ca   no").unwrap();
        assert_eq!(ended.days_left, -1);
        for line in [
            "CERTIFICATE                EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   EXTERNALLY MANAGED",
            "!MISSING! super-admin.conf                                                                    ",
            "[check-expiration] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it.",
            "",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
