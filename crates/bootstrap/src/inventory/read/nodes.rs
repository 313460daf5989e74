//! `[[node]]` and `[ssh]`: the hosts, and how commands reach them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_config::Place;
use evenkeel_config::tables::{Fields, File, Maybe, Spanned, flag, must_be, text, time, whole};
use toml::de::{DeTable, DeValue};

use super::{Owner, Surroundings, files, required, said, section, values};
use crate::inventory::{Node, Role, Ssh, Transport, keys};

/// How long a connection may take where nothing says it: a host that is up answers at once, one that
/// boots is asked again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A host as it was read; what is missing or wrong has been reported.
pub(super) struct NodeDraft {
    pub(super) place: Place,
    pub(super) name: Maybe<String>,
    pub(super) role: Maybe<Role>,
    pub(super) address: Maybe<IpAddr>,
    reach: Reach,
}

enum Reach {
    Ssh(SshDraft),
    Local { sudo: bool },
}

impl NodeDraft {
    /// Whether it is said to be the host that this runs on.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.reach, Reach::Local { .. })
    }

    /// Where its sshd listens, as far as the file says it.
    pub(super) fn ssh_port(&self) -> u16 {
        match &self.reach {
            Reach::Ssh(ssh) => ssh.port.unwrap_or(22),
            Reach::Local { .. } => 22,
        }
    }

    /// `None` where a problem was noted.
    pub(super) fn finish(self) -> Option<Node> {
        let address = self.address?.value;
        let transport = match self.reach {
            Reach::Ssh(ssh) => Transport::Ssh(ssh.finish(address)),
            Reach::Local { sudo } => Transport::Local { sudo },
        };
        Some(Node {
            name: self.name?.value,
            role: self.role?.value,
            address,
            transport,
        })
    }
}

/// `[ssh]`, and what a node adds to it.
#[derive(Clone, Default)]
pub(super) struct SshDraft {
    host: Option<String>,
    user: Option<String>,
    port: Option<u16>,
    key: Option<PathBuf>,
    bastion: Option<String>,
    config: Option<PathBuf>,
    sudo: Option<bool>,
    connect_timeout: Option<Duration>,
}

impl SshDraft {
    /// What this one does not say is as `common` has it.
    fn over(self, common: &Self) -> Self {
        let common = common.clone();
        Self {
            host: self.host.or(common.host),
            user: self.user.or(common.user),
            port: self.port.or(common.port),
            key: self.key.or(common.key),
            bastion: self.bastion.or(common.bastion),
            config: self.config.or(common.config),
            sudo: self.sudo.or(common.sudo),
            connect_timeout: self.connect_timeout.or(common.connect_timeout),
        }
    }

    fn uses_sudo(&self) -> bool {
        self.sudo
            .unwrap_or_else(|| self.user.as_deref() != Some("root"))
    }

    fn finish(self, address: IpAddr) -> Ssh {
        Ssh {
            sudo: self.uses_sudo(),
            host: self.host.unwrap_or_else(|| address.to_string()),
            user: self.user,
            port: self.port,
            key: self.key,
            bastion: self.bastion,
            config: self.config,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        }
    }
}

/// `[ssh]`.
pub(super) fn common_ssh(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
) -> SshDraft {
    let Some((_, table)) = section(file, fields, "ssh") else {
        return SshDraft::default();
    };
    if let Some((key, _)) = table.get_key_value("host") {
        let message = "'host' in [ssh] would be the same host for every node; put it into a node: \
                       'ssh = \"HOST\"'";
        file.error(file.place(key.span().start), message.to_owned());
    }
    ssh(file, table, around)
}

fn ssh(file: &File<'_>, table: &DeTable<'_>, around: &Surroundings<'_>) -> SshDraft {
    file.fields(&keys::SSH, table, |fields| SshDraft {
        host: said(fields.take("host", ssh_word)),
        user: said(fields.take("user", ssh_word)),
        port: said(fields.take("port", whole(1..=65535))),
        key: said(fields.take("key", files::private_key(around))),
        bastion: said(fields.take("bastion", ssh_word)),
        config: said(fields.take("config", values::file(around))),
        sudo: said(fields.take("sudo", flag)),
        connect_timeout: said(fields.take("connect-timeout", whole_seconds)),
    })
}

/// A word for ssh's command line, which must not be taken for an option.
fn ssh_word(value: &DeValue<'_>) -> Result<String, String> {
    let word = text(value)?;
    match word.starts_with('-') || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err(must_be("one word that does not begin with '-'", value)),
        false => Ok(word),
    }
}

/// ssh counts whole seconds.
fn whole_seconds(value: &DeValue<'_>) -> Result<Duration, String> {
    let time = time(value)?;
    match time.subsec_nanos() {
        0 => Ok(time),
        _ => Err(must_be("whole seconds, as in \"10s\"", value)),
    }
}

/// Every `[[node]]`, in the order of the file.
pub(super) fn nodes(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    common: &SshDraft,
    around: &Surroundings<'_>,
) -> Vec<NodeDraft> {
    let Some(value) = fields.value("node") else {
        let message = "there is no [[node]]; each host is one, with 'name', 'role' and 'address'";
        file.error(file.place(0), message.to_owned());
        return Vec::new();
    };
    let Some(list) = value.get_ref().as_array() else {
        let message = "each host is a [[node]] of its own, with two brackets";
        file.error(file.place(value.span().start), message.to_owned());
        return Vec::new();
    };
    let mut nodes = Vec::new();
    for entry in list {
        let place = file.place(entry.span().start);
        match entry.get_ref().as_table() {
            Some(table) => nodes.push(node(file, table, place, common, around)),
            None => {
                let message = must_be("a table with 'name', 'role' and 'address'", entry.get_ref());
                file.error(place, format!("a node {message}"));
            }
        }
    }
    nodes
}

fn node(
    file: &File<'_>,
    table: &DeTable<'_>,
    place: Place,
    common: &SshDraft,
    around: &Surroundings<'_>,
) -> NodeDraft {
    file.fields(&keys::NODE, table, |fields| {
        let what = match table.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) => format!("node '{name}'"),
            None => "this node".to_owned(),
        };
        let owner = Owner {
            what: &what,
            place: &place,
            section: &keys::NODE,
            table,
        };
        let name = required(file, fields, "name", &owner, host_name);
        let role = required(file, fields, "role", &owner, role);
        let address = required(file, fields, "address", &owner, values::address);
        let ssh = ssh_of_node(file, fields, around);
        let local = local(file, fields, common);
        let reach = match (ssh, local) {
            (Some(ssh), Some(_)) => {
                let message = "'ssh' and 'local' exclude each other: no ssh leads to the host that \
                               this runs on";
                file.error(ssh.place, message.to_owned());
                Reach::Ssh(common.clone())
            }
            (None, Some(sudo)) => Reach::Local { sudo },
            (Some(ssh), None) => Reach::Ssh(ssh.value.over(common)),
            (None, None) => Reach::Ssh(common.clone()),
        };
        NodeDraft {
            place,
            name,
            role,
            address,
            reach,
        }
    })
}

fn host_name(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some("localhost") => Err("must be a name that other hosts know it by".to_owned()),
        _ => values::label(value),
    }
}

fn role(value: &DeValue<'_>) -> Result<Role, String> {
    let words = Role::ALL.map(|(_, word)| word);
    let text = value.as_str().unwrap_or_default();
    if let Some((role, _)) = Role::ALL.iter().find(|(_, word)| *word == text) {
        return Ok(*role);
    }
    // What other tools call them.
    let known = match text.to_ascii_lowercase().as_str() {
        "master" | "controlplane" | "control_plane" | "controller" | "server" => "control-plane",
        "balancer" | "loadbalancer" | "load-balancer" | "haproxy" | "proxy" => "lb",
        "node" | "agent" | "minion" | "compute" => "worker",
        _ => return Err(evenkeel_config::tables::one_of(&words, value)),
    };
    let message = must_be(&format!("one of \"{}\"", words.join("\", \"")), value);
    Err(format!("{message}; did you mean '{known}'?"))
}

/// `ssh` of a node: a host, or a table.
fn ssh_of_node(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
) -> Maybe<SshDraft> {
    let value = fields.value("ssh")?;
    let place = file.place(value.span().start);
    let draft = match value.get_ref() {
        DeValue::Table(table) => ssh(file, table, around),
        _ => SshDraft {
            host: Some(fields.take("ssh", ssh_word)?.value),
            ..SshDraft::default()
        },
    };
    Some(Spanned::new(draft, place))
}

/// `local` of a node: whether sudo is used, if it is local at all.
fn local(file: &File<'_>, fields: &mut Fields<'_, '_>, common: &SshDraft) -> Option<bool> {
    let value = fields.value("local")?;
    let sudo = common.uses_sudo();
    match value.get_ref() {
        DeValue::Boolean(is_local) => is_local.then_some(sudo),
        DeValue::Table(table) => file.fields(&keys::LOCAL, table, |fields| {
            Some(said(fields.take("sudo", flag)).unwrap_or(sudo))
        }),
        other => {
            let message = must_be("true, false or a table", other);
            file.error(file.place(value.span().start), format!("'local' {message}"));
            None
        }
    }
}
