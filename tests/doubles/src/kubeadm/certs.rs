//! Certificates: made, uploaded, downloaded, renewed.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::config::{check_key, defaulted};
use super::options::Options;
use super::{Failure, token, warn};
use crate::http::Client;
use crate::kubeconfig;
use crate::pki::{self, Authority, Leaf};
use crate::{faults, pods};

pub const PKI: &str = "/etc/kubernetes/pki";

/// The kubeconfig files that each master has.
pub const OF_EVERY_MASTER: [&str; 3] = ["admin.conf", "controller-manager.conf", "scheduler.conf"];

/// What is uploaded for masters that join, by its name in the secret.
const SHARED: [&str; 8] = [
    "ca.crt",
    "ca.key",
    "etcd/ca.crt",
    "etcd/ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
];

pub fn certificate_key() -> String {
    let mut key = [0; 32];
    key.fill_with(|| fastrand::u8(..));
    pki::hex(&key)
}

/// A failure of the disk, in the words of Go.
pub fn disk(phase: &str, path: &str, error: &io::Error) -> Failure {
    let why = match error.raw_os_error() {
        Some(28) => "no space left on device".to_owned(),
        Some(30) => "read-only file system".to_owned(),
        _ => error.to_string(),
    };
    format!(
        "error execution phase {phase}: failed to write or validate certificate: open {path}: {why}"
    )
}

fn save(phase: &str, path: &str, content: &str, mode: u32) -> Result<(), Failure> {
    pki::write(path, content, mode).map_err(|error| disk(phase, path, &error))
}

/// The master that certificates are made for.
pub struct Master<'a> {
    pub name: &'a str,
    pub address: IpAddr,
    pub cluster: &'a Value,
}

impl Master<'_> {
    fn algorithm(&self) -> &str {
        self.cluster["encryptionAlgorithm"]
            .as_str()
            .unwrap_or("RSA-2048")
    }

    /// Authorities and the key of service accounts, which only the first master makes.
    fn authority(&self, name: &str, common_name: &str) -> Result<(), Failure> {
        let base = format!("{PKI}/{name}");
        if Path::new(&format!("{base}.crt")).exists() {
            println!("[certs] Using existing {name} certificate authority");
            return Ok(());
        }
        println!("[certs] Generating \"{name}\" certificate and key");
        let made = Authority::new(common_name, self.algorithm());
        save("certs/ca", &format!("{base}.crt"), &made.certificate, 0o644)?;
        save("certs/ca", &format!("{base}.key"), &made.key, 0o600)
    }

    fn leaf(&self, name: &str, authority: &str, leaf: &Leaf) -> Result<(), Failure> {
        println!("[certs] Generating \"{name}\" certificate and key");
        let phase = format!("certs/{}", name.replace('/', "-"));
        let signer = Authority::load(&format!("{PKI}/{authority}"))
            .map_err(|error| disk(&phase, authority, &error))?;
        let (certificate, key) = signer.issue(leaf, self.algorithm());
        save(&phase, &format!("{PKI}/{name}.crt"), &certificate, 0o644)?;
        save(&phase, &format!("{PKI}/{name}.key"), &key, 0o600)?;
        if leaf.server {
            let names = leaf.names.join(" ");
            let addresses: Vec<String> = leaf.addresses.iter().map(IpAddr::to_string).collect();
            println!(
                "[certs] {name} serving cert is signed for DNS names [{names}] and IPs [{}]",
                addresses.join(" ")
            );
        }
        Ok(())
    }

    fn server(&self) -> Result<(), Failure> {
        let networking = &self.cluster["networking"];
        let domain = networking["dnsDomain"].as_str().unwrap_or("cluster.local");
        let mut names: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        names.push(format!("kubernetes.default.svc.{domain}"));
        let mut addresses = vec![
            first_address(
                networking["serviceSubnet"]
                    .as_str()
                    .unwrap_or("10.96.0.0/12"),
            ),
            self.address,
        ];
        let endpoint = self.cluster["controlPlaneEndpoint"]
            .as_str()
            .unwrap_or_default();
        let endpoint = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
        let sans = self.cluster["apiServer"]["certSANs"].as_array();
        let sans = sans.into_iter().flatten().filter_map(Value::as_str);
        let mut more: Vec<String> = std::iter::once(endpoint)
            .chain(sans)
            .filter(|name| !name.is_empty())
            .map(|name| name.trim_matches(['[', ']']).to_owned())
            .collect();
        more.push(self.name.to_owned());
        for name in more {
            match name.parse::<IpAddr>() {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(_) if names.contains(&name) => {}
                Err(_) => names.push(name),
            }
        }
        self.leaf(
            "apiserver",
            "ca",
            &Leaf {
                common_name: "kube-apiserver".to_owned(),
                names,
                addresses,
                server: true,
                ..Leaf::default()
            },
        )
    }

    fn client(
        &self,
        name: &str,
        authority: &str,
        common_name: &str,
        organisation: &str,
    ) -> Result<(), Failure> {
        let organisations = Some(organisation)
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        self.leaf(
            name,
            authority,
            &Leaf {
                common_name: common_name.to_owned(),
                organisations: organisations.into_iter().collect(),
                client: true,
                ..Leaf::default()
            },
        )
    }

    fn etcd(&self, name: &str) -> Result<(), Failure> {
        self.leaf(
            name,
            "etcd/ca",
            &Leaf {
                common_name: self.name.to_owned(),
                names: vec!["localhost".to_owned(), self.name.to_owned()],
                addresses: vec![self.address, [127, 0, 0, 1].into(), "::1".parse().unwrap()],
                server: true,
                client: true,
                ..Leaf::default()
            },
        )
    }

    /// Everything, on the first master.
    pub fn make_all(&self) -> Result<(), Failure> {
        println!("[certs] Using certificateDir folder \"{PKI}\"");
        self.authority("ca", "kubernetes")?;
        self.server()?;
        self.client(
            "apiserver-kubelet-client",
            "ca",
            "kube-apiserver-kubelet-client",
            "kubeadm:cluster-admins",
        )?;
        self.authority("front-proxy-ca", "front-proxy-ca")?;
        self.client(
            "front-proxy-client",
            "front-proxy-ca",
            "front-proxy-client",
            "",
        )?;
        self.authority("etcd/ca", "etcd-ca")?;
        self.etcd("etcd/server")?;
        self.etcd("etcd/peer")?;
        self.client(
            "etcd/healthcheck-client",
            "etcd/ca",
            "kube-etcd-healthcheck-client",
            "",
        )?;
        self.client(
            "apiserver-etcd-client",
            "etcd/ca",
            "kube-apiserver-etcd-client",
            "",
        )?;
        println!("[certs] Generating \"sa\" key and public key");
        let key = pki::new_key(self.algorithm());
        save("certs/sa", &format!("{PKI}/sa.key"), &key, 0o600)?;
        let public = rcgen::KeyPair::from_pem(&key).unwrap().public_key_pem();
        save("certs/sa", &format!("{PKI}/sa.pub"), &public, 0o600)
    }

    /// What another master makes for itself.
    pub fn make_own(&self) -> Result<(), Failure> {
        println!("[certs] Using certificateDir folder \"{PKI}\"");
        self.server()?;
        self.client(
            "apiserver-kubelet-client",
            "ca",
            "kube-apiserver-kubelet-client",
            "kubeadm:cluster-admins",
        )?;
        self.client(
            "front-proxy-client",
            "front-proxy-ca",
            "front-proxy-client",
            "",
        )?;
        self.etcd("etcd/peer")?;
        self.etcd("etcd/server")?;
        self.client(
            "etcd/healthcheck-client",
            "etcd/ca",
            "kube-etcd-healthcheck-client",
            "",
        )?;
        self.client(
            "apiserver-etcd-client",
            "etcd/ca",
            "kube-apiserver-etcd-client",
            "",
        )?;
        println!("[certs] Valid certificates and keys now exist in \"{PKI}\"");
        println!("[certs] Using the existing \"sa\" key");
        Ok(())
    }

    /// The kubeconfig files that are named; the first master has more of them than others.
    pub fn kubeconfigs(&self, server: &str, local: &str, which: &[&str]) -> Result<(), Failure> {
        let first = which.contains(&"kubelet.conf");
        if !first {
            println!("[kubeconfig] Generating kubeconfig files");
        }
        println!("[kubeconfig] Using kubeconfig folder \"/etc/kubernetes\"");
        let node = format!("system:node:{}", self.name);
        let files = [
            ("admin.conf", "kubernetes-admin", "kubeadm:cluster-admins"),
            (
                "super-admin.conf",
                "kubernetes-super-admin",
                "system:masters",
            ),
            ("kubelet.conf", node.as_str(), "system:nodes"),
            (
                "controller-manager.conf",
                "system:kube-controller-manager",
                "",
            ),
            ("scheduler.conf", "system:kube-scheduler", ""),
        ];
        let authority = Authority::load(&format!("{PKI}/ca"))
            .map_err(|error| disk("kubeconfig", "ca", &error))?;
        for (file, user, organisation) in files {
            if !which.contains(&file) {
                continue;
            }
            println!("[kubeconfig] Writing \"{file}\" kubeconfig file");
            let leaf = Leaf {
                common_name: user.to_owned(),
                organisations: Some(organisation)
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                client: true,
                ..Leaf::default()
            };
            let (certificate, key) = authority.issue(&leaf, self.algorithm());
            let mut credentials = kubeconfig::certificate(&certificate, &key);
            if file == "kubelet.conf" {
                let current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
                save("kubeconfig", current, &format!("{certificate}{key}"), 0o600)?;
                credentials = json!({"client-certificate": current, "client-key": current});
            }
            let config = kubeconfig::kubeconfig(
                // A master's own kubelet talks to its own API server, past the balancer.
                &format!(
                    "https://{}",
                    if file == "kubelet.conf" {
                        local
                    } else {
                        server
                    }
                ),
                &authority.certificate,
                user,
                &credentials,
            );
            let path = format!("/etc/kubernetes/{file}");
            kubeconfig::save(&path, &config).map_err(|error| {
                disk("kubeconfig", &path, &error).replace(
                    "failed to write or validate certificate",
                    "failed to save kubeconfig",
                )
            })?;
        }
        Ok(())
    }
}

/// The first address of a network: that of the API's own service.
fn first_address(network: &str) -> IpAddr {
    let network = network.split(',').next().unwrap_or_default();
    let address = network.split('/').next().unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => IpAddr::V4((u32::from(address) + 1).into()),
        Ok(IpAddr::V6(address)) => IpAddr::V6((u128::from(address) + 1).into()),
        Err(_) => [10, 96, 0, 1].into(),
    }
}

/// Puts what masters share into the cluster, encrypted.
pub fn upload(client: &Client, key: &str) -> Result<(), Failure> {
    println!(
        "[upload-certs] Storing the certificates in Secret \"kubeadm-certs\" in the \"kube-system\" Namespace"
    );
    let bytes = check_key(key)?;
    let phase =
        |why: String| format!("error execution phase upload-certs: error uploading certs: {why}");
    let mut data = json!({});
    for name in SHARED {
        let plain = fs::read(format!("{PKI}/{name}")).map_err(|error| phase(error.to_string()))?;
        let sealed = pki::encrypt(&bytes, &plain);
        data[name.replace('/', "-")] = json!(STANDARD.encode(sealed));
    }
    let expiration = faults::now() + 2.hours();
    let (id, secret) = token::random();
    let owner = token::secret(&token::Token {
        id: id.clone(),
        secret,
        description: "Proxy for managing TTL for the kubeadm-certs secret".to_owned(),
        expiration: Some(expiration),
        usages: Vec::new(),
        groups: Vec::new(),
    });
    let folder = "/api/v1/namespaces/kube-system/secrets";
    client.put_or_post(folder, &owner).map_err(phase)?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "kubeadm-certs", "namespace": "kube-system",
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Secret", "name": format!("bootstrap-token-{id}"),
                "uid": "", "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "data": data,
    });
    client.put_or_post(folder, &secret).map_err(phase)?;
    println!("[upload-certs] Using certificate key:");
    Ok(())
}

/// Gets it out again.
pub fn download(client: &Client, key: &str) -> Result<(), Failure> {
    println!(
        "[download-certs] Downloading the certificates in Secret \"kubeadm-certs\" in the \"kube-system\" Namespace"
    );
    let phase = |why: &str| {
        format!(
            "error execution phase control-plane-prepare/download-certs: error downloading certs: {why}"
        )
    };
    let found = client
        .get("/api/v1/namespaces/kube-system/secrets/kubeadm-certs")
        .map_err(|why| phase(&format!("error downloading the secret: {why}")))?;
    if found.status == 404 {
        return Err(phase(
            "error downloading the secret: Secret \"kubeadm-certs\" was not found in the \"kube-system\" Namespace. This \
             Secret might have expired. Please, run `kubeadm init phase upload-certs --upload-certs` on a control plane to \
             generate a new one",
        ));
    }
    let secret = found.object().map_err(|why| phase(&why))?;
    let key = check_key(key)?;
    let mut files = Vec::new();
    for name in SHARED {
        let sealed = secret["data"][name.replace('/', "-")]
            .as_str()
            .unwrap_or_default();
        let sealed = STANDARD.decode(sealed).unwrap_or_default();
        let Some(plain) = pki::decrypt(&key, &sealed) else {
            return Err(phase(
                "error decoding secret data with provided key: cipher: message authentication failed",
            ));
        };
        files.push((name, String::from_utf8(plain).unwrap_or_default()));
    }
    println!("[download-certs] Saving the certificates to the folder: \"{PKI}\"");
    for (name, content) in files {
        let mode = if name.ends_with(".crt") { 0o644 } else { 0o600 };
        save(
            "control-plane-prepare/download-certs",
            &format!("{PKI}/{name}"),
            &content,
            mode,
        )?;
    }
    Ok(())
}

/// `kubeadm init phase upload-certs --upload-certs`.
pub fn upload_again(options: &Options) -> Result<(), Failure> {
    let mut key = options.value("certificate-key").map(str::to_owned);
    if let Some(path) = options.value("config") {
        let documents = super::config::Documents::read(path, super::config::Reading::Lenient)?;
        let found = documents.of("InitConfiguration")["certificateKey"]
            .as_str()
            .map(str::to_owned);
        key = found.or(key);
    } else {
        let release = pods::release();
        warn(
            "version.go:108",
            "could not fetch a Kubernetes version from the internet: unable to get URL \"https://dl.k8s.io/release/stable-1.txt\": Get \"https://dl.k8s.io/release/stable-1.txt\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        );
        warn(
            "version.go:109",
            &format!("falling back to the local client version: {release}"),
        );
    }
    if let Some(key) = &key {
        check_key(key)?;
    }
    if !options.is("upload-certs") {
        println!("[upload-certs] Skipping phase. Please see --upload-certs");
        return Ok(());
    }
    let client = kubeconfig::client("/etc/kubernetes/admin.conf").ok_or(
        "error execution phase upload-certs: failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory",
    )?;
    let key = key.unwrap_or_else(certificate_key);
    upload(&client, &key)?;
    if !options.is("skip-certificate-key-print") {
        println!("{key}");
    }
    Ok(())
}

/// The certificates of a master, as `check-expiration` lists them.
const LISTED: [(&str, &str); 11] = [
    ("admin.conf", "ca"),
    ("apiserver", "ca"),
    ("apiserver-etcd-client", "etcd-ca"),
    ("apiserver-kubelet-client", "ca"),
    ("controller-manager.conf", "ca"),
    ("etcd-healthcheck-client", "etcd-ca"),
    ("etcd-peer", "etcd-ca"),
    ("etcd-server", "etcd-ca"),
    ("front-proxy-client", "front-proxy-ca"),
    ("scheduler.conf", "ca"),
    ("super-admin.conf", "ca"),
];

pub fn check_expiration() -> Result<(), Failure> {
    announce("check-expiration");
    println!();
    let rows: Vec<(String, Option<Timestamp>, &str)> = LISTED
        .iter()
        .map(|(name, authority)| {
            let pem = if name.ends_with(".conf") {
                let client = kubeconfig::client(&format!("/etc/kubernetes/{name}"));
                client.and_then(|client| Some(client.identity?.0))
            } else {
                let file = match name.strip_prefix("etcd-") {
                    Some(of_etcd) => format!("etcd/{of_etcd}"),
                    None => (*name).to_owned(),
                };
                fs::read_to_string(format!("{PKI}/{file}.crt")).ok()
            };
            match pem.and_then(|pem| pki::ends(&pem)) {
                Some(ends) => ((*name).to_owned(), Some(ends), *authority),
                None => (format!("!MISSING! {name}"), None, *authority),
            }
        })
        .collect();
    let width = rows
        .iter()
        .map(|(name, ..)| name.len())
        .max()
        .unwrap_or(0)
        .max(24)
        + 2;
    println!(
        "{:<width$} EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   EXTERNALLY MANAGED",
        "CERTIFICATE",
    );
    for (name, ends, authority) in rows {
        match ends {
            Some(ends) => println!(
                "{name:<width$} {:<24} {:<15} {authority:<23} no      ",
                day(ends),
                token::short(ends.as_second() - faults::now().as_second()),
            ),
            None => println!("{name:<width$} {:<24} {:<15} {:<23}         ", "", "", ""),
        }
    }
    println!(
        "\nCERTIFICATE AUTHORITY   EXPIRES                  RESIDUAL TIME   EXTERNALLY MANAGED"
    );
    for (name, file) in [
        ("ca", "ca"),
        ("etcd-ca", "etcd/ca"),
        ("front-proxy-ca", "front-proxy-ca"),
    ] {
        let pem = fs::read_to_string(format!("{PKI}/{file}.crt")).unwrap_or_default();
        let Some(ends) = pki::ends(&pem) else {
            continue;
        };
        println!(
            "{name:<23} {:<24} {:<15} no      ",
            day(ends),
            token::short(ends.as_second() - faults::now().as_second())
        );
    }
    Ok(())
}

fn day(time: Timestamp) -> String {
    time.strftime("%b %d, %Y %H:%M UTC").to_string()
}

fn announce(phase: &str) {
    println!(
        "[{phase}] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"..."
    );
    println!(
        "[{phase}] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it."
    );
}

pub fn renew(which: &str) -> Result<(), Failure> {
    announce("renew");
    let client = kubeconfig::client("/etc/kubernetes/admin.conf")
        .ok_or("failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory")?;
    let (cluster, name, address) = super::cluster::this_master(&client)?;
    let cluster = defaulted(&cluster);
    let master = Master {
        name: &name,
        address,
        cluster: &cluster,
    };
    println!();
    match which {
        "all" => {
            let server = cluster["controlPlaneEndpoint"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let has_super_admin = Path::new("/etc/kubernetes/super-admin.conf").exists();
            let mut files = OF_EVERY_MASTER.to_vec();
            if has_super_admin {
                files.push("super-admin.conf");
            }
            silently(|| {
                master
                    .make_own()
                    .and_then(|()| master.kubeconfigs(&server, &server, &files))
            })?;
            for what in [
                "certificate embedded in the kubeconfig file for the admin to use and for kubeadm itself",
                "certificate for serving the Kubernetes API",
                "certificate the apiserver uses to access etcd",
                "certificate for the API server to connect to kubelet",
                "certificate embedded in the kubeconfig file for the controller manager to use",
                "certificate for liveness probes to healthcheck etcd",
                "certificate for etcd nodes to communicate with each other",
                "certificate for serving etcd",
                "certificate for the front proxy client",
                "certificate embedded in the kubeconfig file for the scheduler manager to use",
            ] {
                println!("{what} renewed");
            }
            let last = "certificate embedded in the kubeconfig file for the super-admin";
            if has_super_admin {
                println!("{last} renewed");
            } else {
                println!("MISSING! {last}");
            }
            println!();
            println!(
                "Done renewing certificates. You must restart the kube-apiserver, kube-controller-manager, kube-scheduler and etcd, so that they can use the new certificates."
            );
        }
        "apiserver" => {
            silently(|| master.server())?;
            println!("certificate for serving the Kubernetes API renewed");
        }
        other => {
            return Err(format!(
                "unknown command \"{other}\" for \"kubeadm certs renew\""
            ));
        }
    }
    Ok(())
}

/// Work whose lines the real command does not print.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    let saved = rustix::io::dup(rustix::stdio::stdout());
    if let Ok(null) = fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
    let result = work();
    if let Ok(saved) = saved {
        let _ = rustix::stdio::dup2_stdout(&saved);
    }
    result
}
