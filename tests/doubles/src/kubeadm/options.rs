//! The command line.

use super::Failure;

/// Flags that take no value.
const SWITCHES: &[&str] = &[
    "upload-certs",
    "skip-token-print",
    "skip-certificate-key-print",
    "dry-run",
    "control-plane",
    "print-join-command",
    "force",
    "f",
    "yes",
    "y",
    "cleanup-tmp-dir",
    "etcd-upgrade",
    "certificate-renewal",
    "discovery-token-unsafe-skip-ca-verification",
    "show-managed-fields",
    "allow-experimental-upgrades",
    "allow-release-candidate-upgrades",
    "print-config",
    "help",
    "h",
];

/// Flags with one.
const VALUES: &[&str] = &[
    "config",
    "token",
    "token-ttl",
    "ttl",
    "description",
    "usages",
    "groups",
    "certificate-key",
    "discovery-token-ca-cert-hash",
    "discovery-token",
    "tls-bootstrap-token",
    "apiserver-advertise-address",
    "apiserver-bind-port",
    "apiserver-cert-extra-sans",
    "cert-dir",
    "control-plane-endpoint",
    "cri-socket",
    "feature-gates",
    "ignore-preflight-errors",
    "image-repository",
    "kubernetes-version",
    "node-name",
    "patches",
    "pod-network-cidr",
    "service-cidr",
    "service-dns-domain",
    "skip-phases",
    "output",
    "o",
    "v",
    "kubeconfig",
    "rootfs",
    "discovery-file",
    "image-pull-policy",
];

pub struct Options {
    pub words: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            words: Vec::new(),
            flags: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(flag) = argument
                .strip_prefix("--")
                .or_else(|| argument.strip_prefix('-').filter(|flag| !flag.is_empty()))
            else {
                options.words.push(argument.clone());
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let value = if SWITCHES.contains(&name) {
                value.unwrap_or_else(|| "true".to_owned())
            } else if VALUES.contains(&name) {
                match value.or_else(|| rest.next().cloned()) {
                    Some(value) => value,
                    None => return Err(format!("flag needs an argument: --{name}")),
                }
            } else if argument.starts_with("--") {
                return Err(format!("unknown flag: --{name}"));
            } else {
                return Err(format!("unknown shorthand flag: '{name}' in {argument}"));
            };
            options.flags.push((name.to_owned(), value));
        }
        Ok(options)
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(flag, _)| flag == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn is(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// Every value of a flag that may be repeated or hold a list.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.flags
            .iter()
            .filter(|(flag, _)| flag == name)
            .flat_map(|(_, value)| value.split(','))
            .map(str::to_owned)
            .collect()
    }
}
