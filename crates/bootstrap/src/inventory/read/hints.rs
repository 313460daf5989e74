//! What operators write who know other tools, and what it is called here.

use evenkeel_config::Problem;
use evenkeel_config::tables::{did_you_mean, show_text};
use toml::de::DeValue;

/// Names that other tools have for something, small and without hyphens and underscores; what it is here; and
/// the way to say it. The title of the table where that holds, or none for all.
struct Foreign {
    names: &'static [&'static str],
    table: &'static str,
    /// The key of that table which is meant; empty if it is none.
    key: &'static str,
    say: &'static str,
}

const CLUSTER: &str = "[cluster]";
const NODE: &str = "a node";
const SSH: &str = "[ssh]";
const NODES: &str = "each host is a [[node]] with 'name', 'role' and 'address'";

static FOREIGN: [Foreign; 24] = [
    of(
        &[
            "version",
            "kubernetesversion",
            "k8s",
            "k8sversion",
            "release",
        ],
        CLUSTER,
        "kubernetes",
    ),
    of(
        &[
            "endpoint",
            "controlplaneendpoint",
            "apiendpoint",
            "apiserver",
            "externaladdress",
            "loadbalancer",
            "virtualip",
            "virtualipaddress",
            "vipaddress",
            "host",
        ],
        CLUSTER,
        "vip",
    ),
    of(&["clustername"], CLUSTER, "name"),
    of(
        &[
            "podsubnet",
            "podnetwork",
            "podnetworkcidr",
            "podcidrs",
            "clustercidr",
            "kubepodscidr",
        ],
        CLUSTER,
        "pod-cidr",
    ),
    of(
        &[
            "servicesubnet",
            "servicenetwork",
            "servicecidrs",
            "kubeservicecidr",
        ],
        CLUSTER,
        "service-cidr",
    ),
    of(
        &[
            "clusterdomain",
            "servicedomainname",
            "servicednsdomain",
            "dnsname",
        ],
        CLUSTER,
        "dns-domain",
    ),
    Foreign {
        names: &["port", "apiport", "vipport"],
        table: CLUSTER,
        key: "",
        say: "the port stands in 'vip', as in \"10.0.1.10:6443\"",
    },
    Foreign {
        names: &["cni", "network", "networkplugin", "networking"],
        table: CLUSTER,
        key: "",
        say: "it has a table of its own: 'plugin' in [cni]",
    },
    Foreign {
        names: &[
            "hosts",
            "nodes",
            "masters",
            "workers",
            "controlplane",
            "controlplanes",
            "servers",
            "machines",
        ],
        table: "",
        key: "",
        say: NODES,
    },
    of(
        &[
            "ip",
            "ipaddress",
            "privateaddress",
            "internaladdress",
            "privateip",
            "internalip",
        ],
        NODE,
        "address",
    ),
    of(&["hostname", "nodename"], NODE, "name"),
    of(&["roles", "type", "kind"], NODE, "role"),
    Foreign {
        names: &[
            "host",
            "publicaddress",
            "publicip",
            "sshaddress",
            "ansiblehost",
        ],
        table: NODE,
        key: "",
        say: "where ssh connects to is 'ssh = \"HOST\"'",
    },
    Foreign {
        names: &["user", "username", "sshusername", "sshuser", "ansibleuser"],
        table: NODE,
        key: "",
        say: "write 'ssh = { user = \"NAME\" }'",
    },
    Foreign {
        names: &["port", "sshport"],
        table: NODE,
        key: "",
        say: "write 'ssh = { port = 22 }'",
    },
    Foreign {
        names: &[
            "key",
            "keypath",
            "privatekey",
            "privatekeypath",
            "sshprivatekeyfile",
            "identityfile",
            "sshkey",
        ],
        table: NODE,
        key: "",
        say: "write 'ssh = { key = \"FILE\" }'",
    },
    Foreign {
        names: &["labels", "taints", "annotations"],
        table: NODE,
        key: "",
        say: "kubectl sets them once the node is there; for all new nodes, [kubeadm.join.nodeRegistration] has \
              'taints' and 'kubeletExtraArgs'",
    },
    of(
        &[
            "keypath",
            "privatekey",
            "privatekeypath",
            "privatekeyfile",
            "identity",
            "identityfile",
            "sshkey",
            "sshprivatekeyfile",
        ],
        SSH,
        "key",
    ),
    of(
        &["username", "sshusername", "sshuser", "login"],
        SSH,
        "user",
    ),
    of(&["sshport"], SSH, "port"),
    of(
        &["bastionhost", "proxyjump", "jump", "jumphost", "proxy"],
        SSH,
        "bastion",
    ),
    of(&["become", "usesudo"], SSH, "sudo"),
    of(&["timeout", "connectiontimeout"], SSH, "connect-timeout"),
    Foreign {
        names: &[
            "password",
            "sshpassword",
            "sudopassword",
            "becomepassword",
            "passphrase",
        ],
        table: "",
        key: "",
        say: "passwords do not stand here: ssh has keys and the agent, and --ask-sudo-password asks for sudo's",
    },
];

const fn of(names: &'static [&'static str], table: &'static str, key: &'static str) -> Foreign {
    Foreign {
        names,
        table,
        key,
        say: "",
    }
}

fn find(name: &str, title: &str) -> Option<&'static Foreign> {
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    FOREIGN.iter().find(|foreign| {
        (foreign.table.is_empty() || foreign.table == title)
            && foreign.names.contains(&plain.as_str())
    })
}

/// Whether `name` in the table of that title is another word for `key`, or nearly it.
pub(super) fn means<'a>(
    name: &str,
    title: &str,
    known: impl Iterator<Item = &'a str>,
    key: &str,
) -> bool {
    match find(name, title) {
        Some(foreign) => foreign.key == key,
        None => did_you_mean(name, known) == format!("; did you mean '{key}'?"),
    }
}

/// Says in the message of an unknown key what is meant. A word of another tool is a better guess than one
/// that merely looks alike.
pub(super) fn foreign_key(message: &mut String) {
    let Some(rest) = message.strip_prefix("unknown key '") else {
        return;
    };
    let Some((name, rest)) = rest.split_once("' in ") else {
        return;
    };
    let title = rest.split(';').next().unwrap_or(rest);
    if let Some(foreign) = find(name, title) {
        let say = match foreign.key {
            "" => format!("; {}", foreign.say),
            key => format!("; here it is '{key}'"),
        };
        *message = format!("unknown key '{name}' in {title}{say}");
    }
}

/// Puts a better message in the place of what a TOML reader says of a text without quotes, such as an
/// address.
pub(super) fn quotes(text: &str, problems: &mut Vec<Problem>) {
    let lines: Vec<&str> = text.lines().collect();
    for problem in problems.iter_mut() {
        let line = usize::try_from(problem.place.line)
            .ok()
            .and_then(|line| lines.get(line.checked_sub(1)?));
        let Some((key, value)) = line.and_then(|line| line.split_once('=')) else {
            continue;
        };
        let bare = value.split('#').next().unwrap_or(value).trim();
        let is_bare = bare.starts_with(|c: char| c.is_ascii_alphanumeric() || "~/.:*".contains(c))
            && !bare.contains(['"', '\'', '[', '{'])
            && DeValue::parse(bare).is_err();
        if is_bare {
            let before = key.chars().count() + 1;
            let blanks = value.chars().take_while(|c| c.is_whitespace()).count();
            problem.place.column = u32::try_from(before + blanks + 1).unwrap_or(u32::MAX);
            problem.message = format!(
                "{bare} has to stand in quotes: {} = {}",
                key.trim(),
                show_text(bare)
            );
        }
    }
    problems.dedup();
}
