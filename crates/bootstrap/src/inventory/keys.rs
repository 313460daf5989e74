//! Every key of `cluster.toml`, with its values, default and meaning: what a table may hold, and the
//! reference that is printed from it (docs/bootstrap-toml.md).

use evenkeel_config::tables::{Section, key, reference};

static SECTIONS: [&Section; 11] = [
    &ROOT, &CLUSTER, &NODE, &SSH, &LOCAL, &CNI, &RUNTIME, &BALANCER, &VRRP, &KUBEADM, &ARTEFACTS,
];

pub(super) static ROOT: Section = Section {
    path: "",
    about: "",
    keys: &[
        key(
            "cluster",
            "table",
            "required",
            "The cluster as a whole: `[cluster]`.",
        ),
        key(
            "node",
            "tables",
            "required",
            "Its hosts, each a `[[node]]`: one balancer and one control plane at least. Control planes join, and are upgraded, in the order of the file; the first one is where `kubeadm init` runs.",
        ),
        key("ssh", "table", "none", "How hosts are reached: `[ssh]`."),
        key("cni", "table", "none", "The network plugin: `[cni]`."),
        key(
            "runtime",
            "table",
            "none",
            "The container runtime: `[runtime]`.",
        ),
        key(
            "balancer",
            "table",
            "none",
            "How evenkeel comes to the balancers: `[balancer]`.",
        ),
        key(
            "vrrp",
            "table",
            "none",
            "How two balancers share the VIP: `[vrrp]`.",
        ),
        key(
            "kubeadm",
            "table",
            "none",
            "What else kubeadm shall be told: `[kubeadm]`.",
        ),
        key(
            "artefacts",
            "table",
            "none",
            "What is carried to sites without a network: `[artefacts]`.",
        ),
    ],
};

pub(super) static CLUSTER: Section = Section {
    path: "cluster",
    about: "",
    keys: &[
        key(
            "name",
            "host name label",
            "`kubernetes`",
            "Of the cluster: its name in a kubeconfig, and that of the folder where runs are logged.",
        ),
        key(
            "domain",
            "domain",
            "none: names stand alone",
            "Of the hosts, such as `kube.com`: /etc/hosts lists them with it and without.",
        ),
        key(
            "kubernetes",
            "release, 1.31 to 1.37",
            "required",
            "What all nodes run, in full and in quotes: `1.36.2`. No pre-releases.",
        ),
        key(
            "vip",
            "IP address, with a port or without",
            "required",
            "Where clients reach the API, `10.0.1.10:6443`: the address that the balancers bind. The port is 6443 where it is not said.",
        ),
        key(
            "pod-cidr",
            "network, or one of each family",
            "`10.244.0.0/16`; `fd00:10:244::/56` where the VIP is IPv6",
            "Where pods get their addresses from, a /24 (IPv6: a /64) for each node.",
        ),
        key(
            "service-cidr",
            "network, or one of each family",
            "`10.96.0.0/12`; `fd00:10:96::/112` where the VIP is IPv6",
            "Where services get their addresses from; a /12 (IPv6: a /108) at most.",
        ),
        key(
            "dns-domain",
            "domain",
            "`cluster.local`",
            "Of services, inside the cluster.",
        ),
    ],
};

pub(super) static NODE: Section = Section {
    path: "a node",
    about: "One host, `[[node]]`.",
    keys: &[
        key(
            "name",
            "host name label",
            "required",
            "What the host is called: by hostnamectl, in Kubernetes, in the balancer and in messages.",
        ),
        key(
            "role",
            "`lb`, `control-plane`, `worker`",
            "required",
            "`lb` runs evenkeel and stands outside the cluster.",
        ),
        key(
            "address",
            "IP address",
            "required",
            "Inside the cluster's network: where the other hosts reach it.",
        ),
        key(
            "ssh",
            "host, or table",
            "`address`",
            "Where ssh reaches it if not at `address`: an address, or a `Host` of ssh_config. As a table, the keys of `[ssh]` for this host alone.",
        ),
        key(
            "local",
            "`true`, `false`, or table",
            "`false`",
            "Whether it is the host that evenkeel-bootstrap runs on, so that commands need no ssh; one node at most.",
        ),
    ],
};

pub(super) static SSH: Section = Section {
    path: "ssh",
    about: "For all hosts; `ssh` of a node says it for that one. The system's `ssh` is what connects, \
            so whatever is not said here comes from ssh_config, the agent and known_hosts.",
    keys: &[
        key(
            "host",
            "host",
            "the node's `address`",
            "Where to connect to. In a node alone.",
        ),
        key("user", "name", "ssh_config's", "Who logs in."),
        key(
            "port",
            "port, 1-65535",
            "ssh_config's",
            "Where sshd listens.",
        ),
        key(
            "key",
            "file",
            "ssh_config's and the agent's",
            "The private key, which only its owner may read.",
        ),
        key(
            "bastion",
            "`user@host:port`, or `none`",
            "ssh_config's",
            "A host to go through; several with commas between.",
        ),
        key(
            "config",
            "file",
            "ssh's own",
            "Another ssh_config, in place of the user's and the system's.",
        ),
        key(
            "sudo",
            "`true`, `false`",
            "`true`, unless `user` is `root`",
            "Whether commands are run through sudo.",
        ),
        key(
            "connect-timeout",
            "time",
            "`10s`",
            "How long it may take to connect, whole seconds.",
        ),
    ],
};

pub(super) static LOCAL: Section = Section {
    path: "a local table",
    about: "As in `local = { sudo = false }`.",
    keys: &[key(
        "sudo",
        "`true`, `false`",
        "that of `[ssh]`",
        "Whether commands are run through sudo.",
    )],
};

pub(super) static CNI: Section = Section {
    path: "cni",
    about: "",
    keys: &[
        key(
            "plugin",
            "`flannel`, `calico`, `manifest`, `none`",
            "`flannel`",
            "`flannel` and `calico` are rendered with the pod network of `[cluster]`; `manifest` is applied as it is; with `none`, nodes stay NotReady until a plugin is brought.",
        ),
        key(
            "manifest",
            "file or https URL",
            "the plugin's release",
            "Where its manifest is. A URL is fetched by the machine that evenkeel-bootstrap runs on, not by the hosts.",
        ),
        key(
            "sha256",
            "64 hexadecimal digits",
            "none: the URL is trusted",
            "What the manifest from a URL must be.",
        ),
    ],
};

pub(super) static RUNTIME: Section = Section {
    path: "runtime",
    about: "Of control planes and workers.",
    keys: &[
        key(
            "managed",
            "`true`, `false`",
            "`true`",
            "Whether containerd is installed and configured; `false` takes the runtime that is there.",
        ),
        key(
            "package",
            "package name",
            "`containerd`",
            "What brings containerd; `containerd.io` in Docker's repositories.",
        ),
        key(
            "socket",
            "`unix:///...`",
            "`unix:///var/run/containerd/containerd.sock`",
            "Where kubelet reaches the runtime.",
        ),
    ],
};

pub(super) static BALANCER: Section = Section {
    path: "balancer",
    about: "",
    keys: &[
        key(
            "package",
            "file (.deb, .rpm)",
            "the host's repositories",
            "The package of evenkeel to copy and install.",
        ),
        key(
            "binary",
            "file",
            "none",
            "A static binary of evenkeel, installed with its unit in place of a package.",
        ),
        key(
            "admin",
            "IP address and port",
            "`127.0.0.1:8404`",
            "Where a balancer serves its health and metrics.",
        ),
    ],
};

pub(super) static VRRP: Section = Section {
    path: "vrrp",
    about: "With two balancers or more, Keepalived gives the VIP to one that is healthy; adverts are \
            sent from address to address, not by multicast.",
    keys: &[
        key(
            "router-id",
            "number, 1-255",
            "the last byte of the VIP (51 where that is 0)",
            "The virtual router id, which no other group in the network may use.",
        ),
        key(
            "interface",
            "name",
            "that of the node's address",
            "Which interface carries the VIP.",
        ),
        key(
            "packages",
            "list of files (.deb, .rpm)",
            "the host's repositories",
            "The packages of Keepalived and of all that it depends on, to copy and install.",
        ),
    ],
};

pub(super) static KUBEADM: Section = Section {
    path: "kubeadm",
    about: "Tables are merged into the documents that are made for kubeadm (v1beta4): tables key by \
            key, lists of `name` and `value` by name, other values replaced. As in \
            `[kubeadm.cluster.apiServer]` with `extraArgs = [{ name = \"audit-log-maxage\", value = \"30\" }]`. \
            Fields and their types are held to v1beta4's (and to those of KubeletConfiguration and \
            KubeProxyConfiguration) at every level. What other keys say, and what a run relies on, is refused \
            here; `patches.directory` is a folder on the hosts.",
    keys: &[
        key("init", "table", "none", "Into `InitConfiguration`."),
        key("cluster", "table", "none", "Into `ClusterConfiguration`."),
        key("join", "table", "none", "Into `JoinConfiguration`."),
        key(
            "kubelet",
            "table",
            "none",
            "A `KubeletConfiguration` beside them.",
        ),
        key(
            "kube-proxy",
            "table",
            "none",
            "A `KubeProxyConfiguration` beside them.",
        ),
        key(
            "ignore-preflight-errors",
            "list of checks",
            "none",
            "Checks of kubeadm that are passed over, such as `SystemVerification`.",
        ),
        key(
            "pull-timeout",
            "time",
            "`15m`",
            "What `kubeadm init` and `kubeadm join` may take beyond the sum of their own `timeouts`: for \
             pulling images most of all. After that they are ended.",
        ),
    ],
};

pub(super) static ARTEFACTS: Section = Section {
    path: "artefacts",
    about: "Files are copied from the machine that evenkeel-bootstrap runs on.",
    keys: &[
        key(
            "packages",
            "list of files (.deb, .rpm)",
            "none",
            "Installed in place of the repositories' packages.",
        ),
        key(
            "images",
            "list of files (.tar)",
            "none",
            "Container images, imported on every control plane and worker, again when a file changed, and by `upgrade` before anything else; as `ctr image export` writes them.",
        ),
        key(
            "manifests",
            "list of files",
            "none",
            "Applied after the network plugin, in this order.",
        ),
        key(
            "offline",
            "`true`, `false`",
            "`false`",
            "Whether hosts have no repositories: what neither is installed nor stands in `packages` is then a mistake that preflight tells.",
        ),
    ],
};

/// docs/bootstrap-toml.md.
#[must_use]
pub fn cluster_toml_markdown() -> String {
    reference(INTRODUCTION, &SECTIONS)
}

const INTRODUCTION: &str = r#"<!-- Printed by evenkeel-bootstrap from its table of keys; a test keeps it in step. -->

# cluster.toml

What `evenkeel-bootstrap` is to bring up. `evenkeel-bootstrap init` writes one to start from, from
a list of hosts, by asking, or from a haproxy.cfg. A whole file:

```toml
[cluster]
domain = "kube.com"
kubernetes = "1.36.2"
vip = "10.0.1.10:6443"

[ssh]
user = "admin"

[[node]]
name = "lb"
role = "lb"
address = "10.0.1.10"

[[node]]
name = "master1"
role = "control-plane"
address = "10.0.1.11"

[[node]]
name = "worker1"
role = "worker"
address = "10.0.1.13"
```

A key that is not listed here is an error, and so is a value of the wrong kind, an address that is
used twice, networks that overlap or a file that is not there; all of them are reported at once,
each with file, line and column. Files are named relative to the folder of cluster.toml, `~/` is
the home of whoever runs evenkeel-bootstrap. A time is a string of a number and a unit, `"10s"`.
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Surroundings, read};

    #[test]
    fn every_key_says_its_value_default_and_meaning_once() {
        for section in SECTIONS {
            let mut names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), section.keys.len(), "[{}]", section.path);
            for key in section.keys {
                for cell in [key.value, key.default, key.about] {
                    assert!(!cell.is_empty() && !cell.contains(['|', '\n']), "{key:?}");
                }
            }
        }
    }

    #[test]
    fn the_reference_is_printed_from_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bootstrap-toml.md");
        let page = cluster_toml_markdown();
        if std::env::var_os("EVENKEEL_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            on_disk == page,
            "docs/bootstrap-toml.md differs; write it anew with EVENKEEL_BLESS=1"
        );
    }

    /// Saying a default aloud changes nothing, and the whole file of the reference loads.
    #[test]
    fn documented_defaults_are_the_defaults() {
        let around = Surroundings {
            folder: std::path::Path::new("/"),
            home: None,
            is_file: &|_| false,
            mode: &|_| None,
            content: &|_| None,
        };
        let load = |text: &str| {
            let source = evenkeel_config::Source {
                name: "cluster.toml".to_owned(),
                text: text.as_bytes().to_vec(),
            };
            read(&source, &around).unwrap().inventory
        };
        let (_, rest) = INTRODUCTION.split_once("```toml\n").unwrap();
        let (file, _) = rest.split_once("```").unwrap();
        let quiet = load(file);
        let mut said = 0;
        for section in SECTIONS {
            for key in section.keys {
                let Some((_, default)) = key.default.split_once('`') else {
                    continue;
                };
                let (default, _) = default.split_once('`').unwrap();
                let value = match toml::de::DeValue::parse(default) {
                    Ok(_) => default.to_owned(),
                    Err(_) => format!("'{default}'"),
                };
                let text = match section.path {
                    "cluster" | "ssh" => {
                        let heading = format!("[{}]", section.path);
                        file.replacen(&heading, &format!("{heading}\n{} = {value}", key.name), 1)
                    }
                    "a node" if key.name == "local" => format!("{file}local = {value}\n"),
                    "a node" | "a local table" => continue,
                    path => format!("{file}[{path}]\n{} = {value}\n", key.name),
                };
                if key.name == "host" {
                    continue;
                }
                assert_eq!(
                    load(&text),
                    quiet,
                    "[{}] {} = {value}",
                    section.path,
                    key.name
                );
                said += 1;
            }
        }
        assert!(said >= 12, "only {said} defaults are values");
    }
}
