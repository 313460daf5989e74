//! A network plugin's manifest, changed where it names the pod network and nowhere else. What is not found
//! exactly once is not guessed at.

use ipnet::IpNet;
use thiserror::Error;

use crate::inventory::Cni;

/// Why a manifest cannot be made to say the pod networks.
#[derive(Debug, Error, PartialEq)]
pub enum RenderError {
    /// What has to be changed is not there, or is there more than once.
    #[error(
        "{what} stands there {times} times, and has to stand there once so that it can be set to {to}; use the plugin's own manifest of a release, or set it yourself and write plugin = \"manifest\" in [cni]"
    )]
    Times {
        /// What was looked for.
        what: String,
        /// How often it was found.
        times: usize,
        /// What it would have been set to.
        to: String,
    },
    /// Two families need more than a network.
    #[error(
        "calico.yaml has no IPv6; for two families use the operator's Installation with an ipPool of each, or change it yourself and write plugin = \"manifest\" in [cni]"
    )]
    CalicoFamilies,
}

/// The manifest with the pod networks.
pub(super) fn render(cni: &Cni, networks: &[IpNet], text: String) -> Result<String, RenderError> {
    match cni {
        Cni::Flannel { .. } => flannel(networks, &text),
        Cni::Calico { .. } => calico(networks, &text),
        Cni::Manifest(_) | Cni::None => Ok(text),
    }
}

/// `net-conf.json` of flannel's `ConfigMap`.
fn flannel(networks: &[IpNet], text: &str) -> Result<String, RenderError> {
    let v4 = networks.iter().find(|network| network.addr().is_ipv4());
    let v6 = networks.iter().find(|network| network.addr().is_ipv6());
    // Where IPv6 is asked for and not spoken of yet, it is said beside the network of IPv4.
    let mut beside = String::new();
    let mut text = text.to_owned();
    if let Some(v6) = v6 {
        if text.contains("\"IPv6Network\"") {
            text = set_json(&text, "IPv6Network", &v6.to_string())?;
        } else {
            beside = format!("\"EnableIPv6\": true,\n      \"IPv6Network\": \"{v6}\"");
        }
    }
    match v4 {
        Some(v4) => {
            let (from, to) = json_value(&text, "Network", &v4.to_string())?;
            let comma = if beside.is_empty() { "" } else { ",\n      " };
            Ok(format!(
                "{}\"{v4}\"{comma}{beside}{}",
                &text[..from],
                &text[to..]
            ))
        }
        None => {
            let (from, to) = json_value(&text, "Network", "nothing")?;
            let key = text[..from].rfind("\"Network\"").unwrap_or(from);
            let comma = if beside.is_empty() { "" } else { ",\n      " };
            Ok(format!(
                "{}\"EnableIPv4\": false{comma}{beside}{}",
                &text[..key],
                &text[to..]
            ))
        }
    }
}

fn set_json(text: &str, key: &str, value: &str) -> Result<String, RenderError> {
    let (from, to) = json_value(text, key, value)?;
    Ok(format!("{}\"{value}\"{}", &text[..from], &text[to..]))
}

/// Where the text of a JSON key stands, with its quotes.
fn json_value(text: &str, key: &str, wanted: &str) -> Result<(usize, usize), RenderError> {
    let quoted = format!("\"{key}\"");
    let found: Vec<_> = text
        .match_indices(&quoted)
        .filter_map(|(at, _)| {
            let rest = &text[at + quoted.len()..];
            let value = rest.trim_start().strip_prefix(':')?.trim_start();
            let inner = value.strip_prefix('"')?;
            let from = text.len() - value.len();
            Some((from, from + 2 + inner.find('"')?))
        })
        .collect();
    match found[..] {
        [place] => Ok(place),
        _ => Err(RenderError::Times {
            what: format!("\"{key}\": \"...\" of net-conf.json"),
            times: found.len(),
            to: wanted.to_owned(),
        }),
    }
}

/// Either the operator's Installation with its ipPools, or calico.yaml, whose pool is a commented variable.
fn calico(networks: &[IpNet], text: &str) -> Result<String, RenderError> {
    if text.contains("CALICO_IPV4POOL_CIDR") {
        match networks {
            [network] if network.addr().is_ipv4() => calico_variable(network, text),
            _ => Err(RenderError::CalicoFamilies),
        }
    } else {
        calico_pools(networks, text)
    }
}

fn calico_variable(network: &IpNet, text: &str) -> Result<String, RenderError> {
    const NAME: &str = "- name: CALICO_IPV4POOL_CIDR";
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let places: Vec<_> = (0..lines.len().saturating_sub(1))
        .filter(|at| bare(&lines[*at]) == NAME && bare(&lines[at + 1]).starts_with("value:"))
        .collect();
    let [at] = places[..] else {
        return Err(RenderError::Times {
            what: "the variable CALICO_IPV4POOL_CIDR with its value".to_owned(),
            times: places.len(),
            to: network.to_string(),
        });
    };
    let indent = lines[at].len() - lines[at].trim_start().len();
    let indent = " ".repeat(indent);
    lines[at] = format!("{indent}{NAME}");
    lines[at + 1] = format!("{indent}  value: \"{network}\"");
    Ok(lines.join("\n") + "\n")
}

/// A line without its indentation and without being a comment.
fn bare(line: &str) -> &str {
    let line = line.trim_start();
    line.strip_prefix('#')
        .map_or(line, str::trim_start)
        .trim_end()
}

fn calico_pools(networks: &[IpNet], text: &str) -> Result<String, RenderError> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for network in networks {
        let is_v4 = network.addr().is_ipv4();
        let places: Vec<_> = (0..lines.len())
            .filter(|at| pool(&lines[*at]).is_some_and(|pool| pool.addr().is_ipv4() == is_v4))
            .collect();
        let [at] = places[..] else {
            return Err(RenderError::Times {
                what: format!("the cidr of an ipPool of IPv{}", if is_v4 { 4 } else { 6 }),
                times: places.len(),
                to: network.to_string(),
            });
        };
        let key = lines[at].find("cidr:").unwrap_or_default();
        lines[at] = format!("{}cidr: {network}", &lines[at][..key]);
    }
    Ok(lines.join("\n") + "\n")
}

/// The network of a line `cidr: NETWORK`, which may be the first of a list's item.
fn pool(line: &str) -> Option<IpNet> {
    let line = line.trim();
    let value = line
        .strip_prefix("- ")
        .unwrap_or(line)
        .trim_start()
        .strip_prefix("cidr:")?;
    value.trim().trim_matches(['"', '\'']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLANNEL: &str = "kind: ConfigMap\ndata:\n  net-conf.json: |\n    {\n      \"Network\": \"10.244.0.0/16\",\n      \"EnableNFTables\": false,\n      \"Backend\": {\n        \"Type\": \"vxlan\"\n      }\n    }\n";

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn flannel_gets_the_pod_network_and_nothing_else_is_changed() {
        let text = flannel(&networks(&["10.9.0.0/16"]), FLANNEL).unwrap();
        assert_eq!(text, FLANNEL.replace("10.244.0.0", "10.9.0.0"));
        assert_eq!(
            flannel(&networks(&["10.244.0.0/16"]), FLANNEL).unwrap(),
            FLANNEL
        );
    }

    #[test]
    fn flannel_of_two_families_and_of_ipv6_alone() {
        let conf = |text: &str| -> serde_json::Value {
            serde_json::from_str(text.split("net-conf.json: |").nth(1).unwrap()).unwrap()
        };
        let both = flannel(&networks(&["10.9.0.0/16", "fd00::/56"]), FLANNEL).unwrap();
        assert_eq!(conf(&both)["Network"], "10.9.0.0/16");
        assert_eq!(conf(&both)["IPv6Network"], "fd00::/56");
        assert_eq!(conf(&both)["EnableIPv6"], true);
        let again = flannel(&networks(&["10.9.0.0/16", "fd01::/56"]), &both).unwrap();
        assert_eq!(conf(&again)["IPv6Network"], "fd01::/56");
        let v6 = flannel(&networks(&["fd00::/56"]), FLANNEL).unwrap();
        assert_eq!(conf(&v6)["EnableIPv4"], false);
        assert_eq!(conf(&v6)["IPv6Network"], "fd00::/56");
        assert!(conf(&v6)["Network"].is_null());
    }

    #[test]
    fn what_is_not_there_once_is_refused() {
        let one = networks(&["10.9.0.0/16"]);
        let times = |text: &str| match flannel(&one, text) {
            Err(RenderError::Times { times, .. }) => times,
            other => panic!("{other:?}"),
        };
        assert_eq!(times("kind: ConfigMap\n"), 0);
        assert_eq!(times(&FLANNEL.repeat(2)), 2);
        assert!(matches!(
            calico(&one, "kind: Installation\n"),
            Err(RenderError::Times { times: 0, .. })
        ));
    }

    #[test]
    fn calico_gets_its_variable_or_its_pools() {
        let yaml = "            # no effect. This should fall within `--cluster-cidr`.\n            # - name: CALICO_IPV4POOL_CIDR\n            #   value: \"192.168.0.0/16\"\n            - name: X\n";
        let expected = "            # no effect. This should fall within `--cluster-cidr`.\n            - name: CALICO_IPV4POOL_CIDR\n              value: \"10.9.0.0/16\"\n            - name: X\n";
        let one = networks(&["10.9.0.0/16"]);
        let text = calico(&one, yaml).unwrap();
        assert_eq!(text, expected);
        assert_eq!(
            calico(&one, &text).unwrap(),
            expected,
            "it may be rendered again"
        );
        let both = networks(&["10.9.0.0/16", "fd00::/56"]);
        assert_eq!(calico(&both, yaml), Err(RenderError::CalicoFamilies));

        let pools = "kind: Installation\nspec:\n  calicoNetwork:\n    ipPools:\n    - name: default-ipv4-ippool\n      cidr: 192.168.0.0/16\n    - cidr: \"fd80::/48\"\n      blockSize: 122\n";
        assert_eq!(
            calico(&both, pools).unwrap(),
            pools
                .replace("192.168.0.0/16", "10.9.0.0/16")
                .replace("\"fd80::/48\"", "fd00::/56")
        );
    }
}
