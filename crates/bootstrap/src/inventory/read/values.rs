//! Single values of `cluster.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use evenkeel_config::tables::{must_be, text};
use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use super::{API_PORT, Surroundings};
use crate::inventory::{Endpoint, SUPPORTED_MINORS, Version};

/// The elements of a list, or the one value that is none.
pub(super) fn one_or_many<'t>(
    value: &'t Spanned<DeValue<'t>>,
) -> impl Iterator<Item = &'t Spanned<DeValue<'t>>> {
    let many = value.get_ref().as_array();
    let one = many.is_none().then_some(value);
    many.into_iter().flatten().chain(one)
}

/// A label of RFC 1123: what a host and a Kubernetes node may be called.
pub(super) fn label(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let small = text.to_ascii_lowercase();
    if let Some((label, domain)) = small.split_once('.')
        && is_label(label)
        && domain.split('.').all(is_label)
        && text.parse::<IpAddr>().is_err()
    {
        return Err(format!(
            "must be a name without a domain: \"{label}\", and 'domain = \"{domain}\"' in [cluster]"
        ));
    }
    check_label(&text)?;
    Ok(text)
}

/// Labels with dots between.
pub(super) fn domain(value: &DeValue<'_>) -> Result<String, String> {
    /// RFC 1123 with RFC 1035: what DNS can carry.
    const LONGEST: usize = 253;
    let text = text(value)?;
    if let Some(rest) = text.strip_prefix('.').or_else(|| text.strip_suffix('.')) {
        return Err(format!("must be without a dot at its end: \"{rest}\""));
    }
    if text.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} characters"));
    }
    let small = text.to_ascii_lowercase();
    if small != text && small.split('.').all(is_label) {
        return Err(format!("must be in small letters: \"{small}\""));
    }
    text.split('.').try_for_each(check_label)?;
    Ok(text)
}

fn is_label(text: &str) -> bool {
    check_label(text).is_ok()
}

fn check_label(label: &str) -> Result<(), String> {
    /// RFC 1123.
    const LONGEST: usize = 63;
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if label.len() > LONGEST {
        return Err(format!(
            "has '{label}' in it, which is longer than {LONGEST} characters"
        ));
    }
    let ends_well = label.starts_with(is_small) && label.ends_with(is_small);
    if ends_well && label.chars().all(|c| is_small(c) || c == '-') {
        return Ok(());
    }
    let right: String = label
        .to_lowercase()
        .chars()
        .map(|c| if is_small(c) { c } else { '-' })
        .collect();
    let right = match right.trim_matches('-') {
        "" => String::new(),
        right => format!(", such as \"{right}\""),
    };
    Err(format!(
        "must be of small letters, digits and '-', with a letter or digit at both ends{right}, not \
         \"{label}\""
    ))
}

/// A release of Kubernetes within what kubeadm's configuration is made for.
pub(super) fn release(value: &DeValue<'_>) -> Result<Version, String> {
    if let DeValue::Float(number) = value {
        return Err(format!(
            "must be a string, with the patch release: \"{number}.0\" or later, not {number}"
        ));
    }
    let said = text(value)?;
    let version: Version = said
        .parse()
        .map_err(|message| format!("is wrong: {message}"))?;
    if said.contains(['-', '+']) {
        return Err(format!(
            "must be a release, \"{}\", not \"{said}\": packages of another build are not installed here",
            version.to_string().trim_start_matches('v')
        ));
    }
    let (oldest, newest) = (SUPPORTED_MINORS.start(), SUPPORTED_MINORS.end());
    if version.major == 1 && SUPPORTED_MINORS.contains(&version.minor) {
        Ok(version)
    } else {
        Err(format!(
            "must be a release from 1.{oldest} to 1.{newest}, which is what kubeadm's configuration \
             is written for here, not {version}"
        ))
    }
}

/// An address with a port or without.
pub(super) fn endpoint(value: &DeValue<'_>) -> Result<Endpoint, String> {
    let said = text(value)?;
    let (vip, port) = match said.parse::<SocketAddr>() {
        Ok(both) => (both.ip(), both.port()),
        Err(_) => {
            let bare = said
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            let vip = bare.unwrap_or(&said).parse().map_err(|_| {
                must_be(
                    "an IP address, with a port or without, as in \"10.0.1.10:6443\"",
                    value,
                )
            })?;
            (vip, API_PORT)
        }
    };
    if let Some(ambiguous) = port_in_address(&said) {
        return Err(ambiguous);
    }
    if port == 0 {
        return Err("must have a port from 1 to 65535".to_owned());
    }
    usable(vip)?;
    Ok(Endpoint { vip, port })
}

/// An IPv6 address without brackets whose last group looks like the API's port.
fn port_in_address(said: &str) -> Option<String> {
    let address: std::net::Ipv6Addr = said.parse().ok()?;
    let (before, last) = said.rsplit_once(':')?;
    // 443, 6443, 8443 and their kin.
    let is_port = last.len() >= 3 && last.ends_with("443") && last.parse::<u16>().is_ok();
    let is_whole = before.parse::<std::net::Ipv6Addr>().is_ok();
    (is_port && is_whole).then(|| {
        format!(
            "may be an address or one with a port; write \"[{before}]:{last}\", or \"[{address}]\" if \
             {last} is part of it"
        )
    })
}

/// An address that a host may have in the cluster's network.
pub(super) fn address(value: &DeValue<'_>) -> Result<IpAddr, String> {
    let said = text(value)?;
    let address = said.parse().map_err(|_| match said.parse::<IpNet>() {
        Ok(network) => format!("must be without a prefix length: \"{}\"", network.addr()),
        Err(_) => must_be(
            "an IP address, as in \"10.0.1.11\"; a name to connect to goes into 'ssh'",
            value,
        ),
    })?;
    usable(address)?;
    Ok(address)
}

/// Refuses addresses that no other host could reach.
pub(in crate::inventory) fn usable(address: IpAddr) -> Result<(), String> {
    let kind = match address {
        _ if address.is_unspecified() => "no address of a host",
        _ if address.is_loopback() => "the loopback of each host",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V4(v4) if v4.is_link_local() => "link-local, which differs from boot to boot",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local, which needs an interface",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
        _ => return Ok(()),
    };
    Err(format!(
        "must be an address that other hosts reach; {address} is {kind}"
    ))
}

/// A network without bits beyond its prefix.
pub(super) fn network(value: &DeValue<'_>) -> Result<IpNet, String> {
    let example = "a network, as in \"10.244.0.0/16\"";
    let said = text(value).map_err(|_| must_be(example, value))?;
    let network: IpNet = said.parse().map_err(|_| must_be(example, value))?;
    let whole = network.trunc();
    let first = network.addr();
    let is_link_local = match first {
        IpAddr::V4(first) => first.is_link_local(),
        IpAddr::V6(first) => first.is_unicast_link_local(),
    };
    if first.is_loopback() || first.is_multicast() || first.is_unspecified() || is_link_local {
        return Err(format!(
            "must be a network that hosts can route, such as one of 10.0.0.0/8 or fd00::/8, not {network}"
        ));
    }
    if whole == network {
        Ok(network)
    } else {
        Err(format!(
            "must be \"{whole}\": {network} has bits set beyond its prefix"
        ))
    }
}

/// An IP address and a port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<String, String> {
    let parsed: Option<SocketAddr> = value.as_str().and_then(|text| text.parse().ok());
    match parsed {
        Some(address) if address.port() > 0 => Ok(address.to_string()),
        _ => Err(must_be(
            "an IP address and a port, as in \"127.0.0.1:8404\"",
            value,
        )),
    }
}

/// A file that is there, under the name by which it is found from anywhere.
pub(super) fn file(around: &Surroundings<'_>) -> impl Fn(&DeValue<'_>) -> Result<PathBuf, String> {
    move |value| existing(&text(value)?, around)
}

/// See [`file`].
pub(super) fn existing(name: &str, around: &Surroundings<'_>) -> Result<PathBuf, String> {
    let path = match (name.strip_prefix("~/"), around.home) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_), None) => {
            return Err(format!(
                "cannot be found: \"{name}\" needs HOME, which is not set"
            ));
        }
        (None, _) => around.folder.join(name),
    };
    if (around.is_file)(&path) {
        Ok(path)
    } else {
        let hint = match Path::new(name).is_relative() && !name.starts_with("~/") {
            true => ", which is relative to the folder of this file",
            false => "",
        };
        Err(format!(
            "names no file: there is no '{}'{hint}",
            path.display()
        ))
    }
}

/// `unix:///...`.
pub(super) fn unix_socket(value: &DeValue<'_>) -> Result<String, String> {
    let said = text(value)?;
    if said
        .strip_prefix("unix:///")
        .is_some_and(|rest| !rest.is_empty())
    {
        Ok(said)
    } else if said.starts_with('/') {
        Err(format!("must be \"unix://{said}\""))
    } else {
        Err(must_be(
            "a socket, as in \"unix:///run/containerd/containerd.sock\"",
            value,
        ))
    }
}

/// A word that goes into a command as it is.
pub(super) fn word(value: &DeValue<'_>) -> Result<String, String> {
    let said = text(value)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+:~=@".contains(c);
    if said.starts_with('-') || !said.chars().all(is_plain) {
        return Err(must_be(
            "a plain name of letters, digits and -_.+:~=@",
            value,
        ));
    }
    Ok(said)
}

/// 64 hexadecimal digits, small.
pub(super) fn sha256(value: &DeValue<'_>) -> Result<String, String> {
    const DIGITS: usize = 64;
    let said = text(value)?.to_ascii_lowercase();
    let digits = said.strip_prefix("sha256:").unwrap_or(&said);
    if digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_owned())
    } else {
        Err(must_be(
            "the 64 hexadecimal digits that sha256sum prints",
            value,
        ))
    }
}
