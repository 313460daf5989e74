//! Who asks, and what they may: masters' administrators everything, kubelets what concerns nodes,
//! bootstrap tokens what joining takes, strangers the cluster's address.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Api;
use super::resources::Target;
use super::serve::{Answer, Ask};
use crate::{faults, pki};

/// A user.
pub struct Identity {
    pub user: String,
    pub groups: Vec<String>,
}

impl Identity {
    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|of| of == group)
    }
}

pub fn identify(
    api: &Api,
    certificate: Option<&[u8]>,
    authorization: &str,
) -> Result<Identity, Answer> {
    if let Some(der) = certificate {
        let (user, mut groups) = pki::subject(der);
        groups.push("system:authenticated".to_owned());
        return Ok(Identity { user, groups });
    }
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        let unauthorized = || Answer::failure(401, "Unauthorized", "Unauthorized");
        let (id, secret) = token.split_once('.').ok_or_else(unauthorized)?;
        let state = api.store.read()?;
        let key = format!("/secrets/kube-system/bootstrap-token-{id}");
        let found = state.objects.get(&key).ok_or_else(unauthorized)?;
        let field = |name: &str| field(found, name);
        let is_expired = field("expiration")
            .parse::<jiff::Timestamp>()
            .is_ok_and(|when| when <= faults::now());
        if field("token-secret") != secret
            || is_expired
            || field("usage-bootstrap-authentication") != "true"
        {
            return Err(unauthorized());
        }
        let mut groups = vec![
            "system:bootstrappers".to_owned(),
            "system:authenticated".to_owned(),
        ];
        let extra = field("auth-extra-groups");
        groups.extend(extra.split(',').map(str::to_owned));
        return Ok(Identity {
            user: format!("system:bootstrap:{id}"),
            groups,
        });
    }
    Ok(Identity {
        user: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
    })
}

/// A field of a secret, decoded.
pub fn field(secret: &Value, name: &str) -> String {
    let encoded = secret["data"][name].as_str().unwrap_or_default();
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

pub fn allow_discovery(identity: &Identity, path: &str) -> Result<(), Answer> {
    if identity.is_in("system:authenticated") {
        return Ok(());
    }
    let message = format!(
        "forbidden: User \"{}\" cannot get path \"{path}\"",
        identity.user
    );
    Err(Answer::failure(403, "Forbidden", &message))
}

pub fn allow(ask: &Ask, target: &Target) -> Result<(), Answer> {
    let identity = &ask.identity;
    let verb = match (ask.method.as_str(), &target.name) {
        ("GET", None) if ask.query("watch").is_some() => "watch",
        ("GET", None) => "list",
        ("GET", Some(_)) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    let name = target.name();
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let plural = target.kind.plural;
    let is_public = namespace == "kube-public" && name == "cluster-info" && verb == "get";
    let allowed = is_public
        || identity.is_in("system:masters")
        || identity.is_in("kubeadm:cluster-admins")
        || (identity.is_in("system:nodes")
            && matches!(
                plural,
                "nodes" | "pods" | "leases" | "events" | "certificatesigningrequests" | "services"
            ))
        || (identity.is_in("system:nodes") && verb == "get")
        || (identity.is_in("system:bootstrappers")
            && match plural {
                "certificatesigningrequests" => matches!(verb, "create" | "get" | "list" | "watch"),
                "configmaps" => {
                    verb == "get"
                        && ["kubeadm-config", "kubelet-config", "kube-proxy"].contains(&name)
                }
                "secrets" => verb == "get" && name == "kubeadm-certs",
                "nodes" => verb == "get",
                _ => false,
            });
    if allowed {
        return Ok(());
    }
    let group = target.kind.group;
    let place = match (namespace, name) {
        ("", _) => " at the cluster scope".to_owned(),
        (namespace, _) => format!(" in the namespace \"{namespace}\""),
    };
    let quoted = if name.is_empty() {
        String::new()
    } else {
        format!(" \"{name}\"")
    };
    let message = format!(
        "{}{quoted} is forbidden: User \"{}\" cannot {verb} resource \"{plural}\" in API group \"{group}\"{place}",
        target.kind.qualified(),
        identity.user
    );
    Err(Answer::failure(403, "Forbidden", &message))
}
