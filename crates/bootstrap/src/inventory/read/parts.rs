//! What a cluster is made of besides hosts: network plugin, runtime, balancer, VRRP, artefacts.

use std::net::IpAddr;
use std::path::PathBuf;

use evenkeel_config::tables::{Fields, File, Maybe, Spanned, flag, one_of, text, whole};
use toml::de::DeValue;

use super::nodes::NodeDraft;
use super::{Surroundings, files, said, section, values};
use crate::inventory::{Artefacts, Balancer, Cni, Image, Role, Runtime, Source, Vrrp, keys};

/// Where flannel's releases have their manifest.
const FLANNEL: &str =
    "https://github.com/flannel-io/flannel/releases/download/v0.27.4/kube-flannel.yml";
/// Where calico's releases have theirs.
const CALICO: &str =
    "https://raw.githubusercontent.com/projectcalico/calico/v3.31.3/manifests/calico.yaml";
/// kubeadm's own default.
const CONTAINERD: &str = "unix:///var/run/containerd/containerd.sock";

#[derive(Clone, Copy, PartialEq)]
enum Plugin {
    Flannel,
    Calico,
    Manifest,
    None,
}

const PLUGINS: [(&str, Plugin); 4] = [
    ("flannel", Plugin::Flannel),
    ("calico", Plugin::Calico),
    ("manifest", Plugin::Manifest),
    ("none", Plugin::None),
];

/// `[cni]`; `None` only where a problem was noted.
pub(super) fn cni(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
) -> Option<Cni> {
    let release = |url: &str| Source::Url {
        url: url.to_owned(),
        sha256: None,
    };
    let Some((place, table)) = section(file, fields, "cni") else {
        return Some(Cni::Flannel {
            manifest: release(FLANNEL),
        });
    };
    file.fields(&keys::CNI, table, |fields| {
        let is_said = fields.value("plugin").is_some();
        let plugin = match said(fields.take("plugin", plugin)) {
            Some(plugin) => Some(plugin),
            None => (!is_said).then_some(Plugin::Flannel),
        };
        let is_manifest_said = fields.value("manifest").is_some();
        let manifest = fields.take("manifest", manifest(around));
        let sum = fields.take("sha256", values::sha256);
        let manifest = with_sum(file, manifest, sum);
        let natural = |url| match is_manifest_said {
            true => manifest.clone(),
            false => Some(release(url)),
        };
        match plugin? {
            Plugin::Flannel => natural(FLANNEL).map(|manifest| Cni::Flannel { manifest }),
            Plugin::Calico => natural(CALICO).map(|manifest| Cni::Calico { manifest }),
            Plugin::Manifest => {
                if !is_manifest_said {
                    let message = "plugin \"manifest\" needs 'manifest': a file or an https URL";
                    file.error(place, message.to_owned());
                }
                manifest.map(Cni::Manifest)
            }
            Plugin::None => {
                if is_manifest_said {
                    let message = "'manifest' has no use where 'plugin' is \"none\"; write \
                                   \"manifest\"";
                    file.error(place, message.to_owned());
                }
                Some(Cni::None)
            }
        }
    })
}

fn plugin(value: &DeValue<'_>) -> Result<Plugin, String> {
    let known = PLUGINS
        .iter()
        .find(|(word, _)| value.as_str() == Some(*word));
    known
        .map(|(_, plugin)| *plugin)
        .ok_or_else(|| one_of(&PLUGINS.map(|(word, _)| word), value))
}

fn manifest(around: &Surroundings<'_>) -> impl Fn(&DeValue<'_>) -> Result<Source, String> {
    move |value| {
        let said = text(value)?;
        if said.starts_with("https://") {
            Ok(Source::Url {
                url: said,
                sha256: None,
            })
        } else if said.contains("://") {
            Err(format!("must be a file or an https URL, not \"{said}\""))
        } else {
            files::manifest(&said, around).map(Source::File)
        }
    }
}

fn with_sum(file: &File<'_>, manifest: Maybe<Source>, sum: Maybe<String>) -> Option<Source> {
    match (manifest.map(|said| said.value), sum) {
        (Some(Source::Url { url, .. }), sum) => Some(Source::Url {
            url,
            sha256: said(sum),
        }),
        (other, None) => other,
        (other, Some(sum)) => {
            let message = "'sha256' is for a manifest from a URL, which 'manifest' has to name";
            file.error(sum.place, message.to_owned());
            other
        }
    }
}

/// `[runtime]`.
pub(super) fn runtime(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Runtime {
    let default = Runtime {
        socket: CONTAINERD.to_owned(),
        managed: true,
        package: "containerd".to_owned(),
    };
    let Some((_, table)) = section(file, fields, "runtime") else {
        return default;
    };
    file.fields(&keys::RUNTIME, table, |fields| {
        let managed = said(fields.take("managed", flag)).unwrap_or(default.managed);
        let package = fields.take("package", values::word);
        let socket = fields.take("socket", values::unix_socket);
        if let (false, Some(package)) = (managed, &package) {
            let message = "'package' has no use where 'managed' is false: nothing is installed";
            file.error(package.place.clone(), message.to_owned());
        }
        if let (true, Some(socket)) = (managed, &socket)
            && !socket.value.ends_with("/containerd.sock")
        {
            let message = "'managed' brings containerd, whose socket this is not; write \
                           'managed = false' for another runtime";
            file.error(socket.place.clone(), message.to_owned());
        }
        Runtime {
            socket: said(socket).unwrap_or(default.socket),
            managed,
            package: said(package).unwrap_or(default.package),
        }
    })
}

/// `[balancer]`, and the admin address where it is said.
pub(super) fn balancer(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
) -> (Balancer, Maybe<String>) {
    const ADMIN: &str = "127.0.0.1:8404";
    let Some((_, table)) = section(file, fields, "balancer") else {
        let balancer = Balancer {
            package: None,
            binary: None,
            admin: ADMIN.to_owned(),
        };
        return (balancer, None);
    };
    file.fields(&keys::BALANCER, table, |fields| {
        let package = fields.take("package", package_file(around));
        let binary = fields.take("binary", values::file(around));
        if let (Some(_), Some(binary)) = (&package, &binary) {
            let message = "'binary' and 'package' exclude each other; keep one of them";
            file.error(binary.place.clone(), message.to_owned());
        }
        let admin = fields.take("admin", values::socket_address);
        let balancer = Balancer {
            package: said(package),
            binary: said(binary),
            admin: said(admin.clone()).unwrap_or_else(|| ADMIN.to_owned()),
        };
        (balancer, admin)
    })
}

fn package_file(around: &Surroundings<'_>) -> impl Fn(&DeValue<'_>) -> Result<PathBuf, String> {
    move |value| {
        let path = values::existing(&text(value)?, around)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("deb" | "rpm") => Ok(path),
            _ => Err(format!("must be a .deb or .rpm, not '{}'", path.display())),
        }
    }
}

/// `[vrrp]`, which two balancers need and one cannot use.
pub(super) fn vrrp(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
    vip: Option<IpAddr>,
    nodes: &[NodeDraft],
) -> Option<Vrrp> {
    let is_balancer = |node: &&NodeDraft| {
        let role = node.role.as_ref().map(|role| role.value);
        role == Some(Role::Balancer)
    };
    let is_shared = nodes.iter().filter(is_balancer).count() > 1;
    let mut router_id = None;
    let mut interface = None;
    let mut packages = Vec::new();
    if let Some((place, table)) = section(file, fields, "vrrp") {
        file.fields(&keys::VRRP, table, |fields| {
            router_id = said(fields.take("router-id", whole(1..=255)));
            interface = said(fields.take("interface", interface_name));
            packages = list(file, fields, "packages", package_file(around));
        });
        if !is_shared {
            let message = "[vrrp] is for balancers that share the VIP, and there is one at most; \
                           add a second [[node]] with role \"lb\", or remove [vrrp]";
            file.error(place, message.to_owned());
        }
    }
    is_shared.then(|| Vrrp {
        router_id: router_id
            .or_else(|| vip.map(natural_id))
            .unwrap_or(FALLBACK_ID),
        interface,
        packages,
    })
}

/// The id of keepalived's own sample file.
const FALLBACK_ID: u8 = 51;

/// Two groups in one network have two VIPs, so the VIP's last byte tells them apart.
fn natural_id(vip: IpAddr) -> u8 {
    let last = match vip {
        IpAddr::V4(vip) => vip.octets()[3],
        IpAddr::V6(vip) => vip.octets()[15],
    };
    if last == 0 { FALLBACK_ID } else { last }
}

/// What Linux lets an interface be called.
fn interface_name(value: &DeValue<'_>) -> Result<String, String> {
    /// IFNAMSIZ less the final zero.
    const LONGEST: usize = 15;
    let name = values::word(value)?;
    match name.len() <= LONGEST {
        true => Ok(name),
        false => Err(format!(
            "is longer than the {LONGEST} characters of an interface's name"
        )),
    }
}

/// `[artefacts]`.
pub(super) fn artefacts(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    around: &Surroundings<'_>,
) -> Artefacts {
    let Some((_, table)) = section(file, fields, "artefacts") else {
        return Artefacts::default();
    };
    file.fields(&keys::ARTEFACTS, table, |fields| {
        let images = list(file, fields, "images", values::file(around));
        Artefacts {
            packages: list(file, fields, "packages", package_file(around)),
            images: images
                .into_iter()
                .map(|archive| Image { archive })
                .collect(),
            manifests: list(file, fields, "manifests", |value| {
                files::manifest(&text(value)?, around)
            }),
            offline: said(fields.take("offline", flag)).unwrap_or_default(),
        }
    })
}

/// A list of values, or one; what is named twice is noted.
pub(super) fn list<T: PartialEq>(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    read: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Vec<T> {
    let mut list: Vec<Spanned<T>> = Vec::new();
    for value in fields.value(key).into_iter().flat_map(values::one_or_many) {
        let place = file.place(value.span().start);
        match read(value.get_ref()) {
            Ok(value) if list.iter().any(|known| known.value == value) => {
                file.error(place, format!("'{key}' names this a second time"));
            }
            Ok(value) => list.push(Spanned::new(value, place)),
            Err(message) => file.error(place, format!("'{key}' {message}")),
        }
    }
    list.into_iter().map(|said| said.value).collect()
}
