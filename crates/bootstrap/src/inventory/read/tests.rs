use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::inventory::{Cni, Role, Source, Ssh, Transport, Vrrp};

/// The setup that the project started from.
pub(crate) const SEED: &str = "\
[cluster]
domain = 'kube.com'
kubernetes = '1.36.2'
vip = '10.0.1.10'

[[node]]
name = 'lb'
role = 'lb'
address = '10.0.1.10'

[[node]]
name = 'master1'
role = 'control-plane'
address = '10.0.1.11'

[[node]]
name = 'master2'
role = 'control-plane'
address = '10.0.1.12'

[[node]]
name = 'worker1'
role = 'worker'
address = '10.0.1.13'
";

/// Files that are there: those whose name has `missing` in it are not.
pub(super) fn read_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    let source = Text {
        name: "cluster.toml".to_owned(),
        text: text.as_bytes().to_vec(),
    };
    let around = Surroundings {
        folder: Path::new("/site"),
        home: Some(Path::new("/home/op")),
        is_file: &|path| !path.to_string_lossy().contains("missing"),
        mode: &|path| Some(if path.ends_with("open") { 0o644 } else { 0o600 }),
        content: &|path| path.ends_with("empty.yaml").then(Vec::new),
    };
    read(&source, &around)
}

fn inventory(text: &str) -> Inventory {
    read_text(text).expect("the text is sound").inventory
}

pub(super) fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// SEED with one piece of text replaced, and all that is wrong then.
pub(super) fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(SEED.contains(from), "{from}");
    refused(&SEED.replacen(from, to, 1), expected);
}

/// SEED with a section after it.
pub(super) fn check_more(section: &str, expected: &[&str]) {
    refused(&format!("{SEED}{section}\n"), expected);
}

fn refused(text: &str, expected: &[&str]) {
    assert_eq!(errors(text), expected, "in\n{text}");
}

/// What is wrong with a text, a line each.
pub(super) fn errors(text: &str) -> Vec<String> {
    let problems = match read_text(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let problems: Vec<_> = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    lines(&problems)
}

#[test]
fn the_shortest_file_has_every_default() {
    let loaded = read_text(SEED).unwrap();
    // Preflight speaks of two etcd voters, once.
    assert_eq!(lines(&loaded.warnings), Vec::<String>::new());
    let inventory = loaded.inventory;
    assert_eq!(inventory.name, "kubernetes");
    assert_eq!(inventory.endpoint.to_string(), "10.0.1.10:6443");
    assert_eq!(inventory.kubernetes.to_string(), "v1.36.2");
    assert_eq!(inventory.pod_cidrs, ["10.244.0.0/16".parse().unwrap()]);
    assert_eq!(inventory.service_cidrs, ["10.96.0.0/12".parse().unwrap()]);
    assert_eq!(inventory.dns_domain, "cluster.local");
    assert!(matches!(
        &inventory.cni,
        Cni::Flannel {
            manifest: Source::Url { sha256: None, .. }
        }
    ));
    assert!(inventory.runtime.managed);
    assert_eq!(inventory.balancer.admin, "127.0.0.1:8404");
    assert_eq!(inventory.vrrp, None);
    assert_eq!(inventory.first_master().name, "master1");
    assert_eq!(inventory.full_name(&inventory.nodes[0]), "lb.kube.com");
    assert_eq!(inventory.of(Role::Worker).count(), 1);
    assert_eq!(
        inventory.nodes[0].transport,
        Transport::Ssh(Ssh {
            host: "10.0.1.10".to_owned(),
            user: None,
            port: None,
            key: None,
            bastion: None,
            config: None,
            sudo: true,
            connect_timeout: Duration::from_secs(10),
        })
    );
}

#[test]
fn every_key_is_heard() {
    let inventory = inventory(
        "[cluster]\n\
         name = 'prod'\n\
         kubernetes = 'v1.31.0'\n\
         vip = '10.0.1.9:8443'\n\
         pod-cidr = ['10.1.0.0/16', 'fd00:1::/56']\n\
         service-cidr = ['10.2.0.0/16', 'fd00:2::/112']\n\
         dns-domain = 'prod.internal'\n\
         [ssh]\n\
         user = 'op'\nport = 2222\nkey = '~/.ssh/id'\nbastion = 'op@jump:22'\n\
         config = 'ssh_config'\nsudo = true\nconnect-timeout = '3s'\n\
         [cni]\nplugin = 'calico'\nmanifest = 'calico.yaml'\n\
         [runtime]\nmanaged = false\nsocket = 'unix:///run/crio/crio.sock'\n\
         [balancer]\nbinary = 'evenkeel'\nadmin = '127.0.0.1:9000'\n\
         [vrrp]\nrouter-id = 7\ninterface = 'eth1'\npackages = ['k.deb', 'l.deb']\n\
         [kubeadm]\nignore-preflight-errors = ['NumCPU']\npull-timeout = '40m'\n\
         [kubeadm.cluster.apiServer]\nextraArgs = [{ name = 'v', value = '4' }]\n\
         [kubeadm.init.nodeRegistration]\nimagePullSerial = false\n\
         [kubeadm.join]\nskipPhases = ['preflight']\n\
         [kubeadm.kubelet]\nfailSwapOn = false\nmaxPods = 200\n\
         [kubeadm.kube-proxy]\nmode = 'nftables'\n\
         [artefacts]\noffline = true\npackages = ['a.deb']\nimages = 'all.tar'\nmanifests = '/m.yaml'\n\
         [[node]]\nname = 'lb1'\nrole = 'lb'\naddress = '10.0.1.10'\nssh = 'bastion-lb1'\n\
         [[node]]\nname = 'lb2'\nrole = 'lb'\naddress = '10.0.1.20'\nssh = { user = 'root', sudo = false }\n\
         [[node]]\nname = 'm'\nrole = 'control-plane'\naddress = '10.0.1.11'\nlocal = { sudo = false }\n\
         [[node]]\nname = 'w'\nrole = 'worker'\naddress = '10.0.1.12'\nlocal = false\n",
    );
    assert_eq!(inventory.name, "prod");
    assert_eq!(inventory.endpoint.port, 8443);
    assert_eq!(inventory.pod_cidrs.len() + inventory.service_cidrs.len(), 4);
    assert_eq!(inventory.dns_domain, "prod.internal");
    let manifest = Source::File("/site/calico.yaml".into());
    assert_eq!(inventory.cni, Cni::Calico { manifest });
    assert!(!inventory.runtime.managed);
    assert_eq!(inventory.runtime.socket, "unix:///run/crio/crio.sock");
    assert_eq!(
        inventory.balancer.binary.as_deref(),
        Some(Path::new("/site/evenkeel"))
    );
    assert_eq!(inventory.balancer.admin, "127.0.0.1:9000");
    let interface = Some("eth1".to_owned());
    assert_eq!(
        inventory.vrrp,
        Some(Vrrp {
            router_id: 7,
            interface,
            packages: vec!["/site/k.deb".into(), "/site/l.deb".into()],
        })
    );
    let kubeadm = &inventory.kubeadm;
    assert_eq!(kubeadm.ignore_preflight_errors, ["NumCPU"]);
    assert_eq!(kubeadm.pull_timeout, Duration::from_secs(40 * 60));
    assert_eq!(
        json!([
            kubeadm.init,
            kubeadm.cluster,
            kubeadm.join,
            kubeadm.kubelet,
            kubeadm.kube_proxy
        ]),
        json!([
            { "nodeRegistration": { "imagePullSerial": false } },
            { "apiServer": { "extraArgs": [{ "name": "v", "value": "4" }] } },
            { "skipPhases": ["preflight"] },
            { "failSwapOn": false, "maxPods": 200 },
            { "mode": "nftables" },
        ])
    );
    assert!(inventory.artefacts.offline);
    assert_eq!(inventory.artefacts.packages, [Path::new("/site/a.deb")]);
    assert_eq!(
        inventory.artefacts.images[0].archive,
        Path::new("/site/all.tar")
    );
    assert_eq!(inventory.artefacts.manifests, [Path::new("/m.yaml")]);
    let ssh = |index: usize| match &inventory.nodes[index].transport {
        Transport::Ssh(ssh) => ssh.clone(),
        local => panic!("{local:?}"),
    };
    let first = Ssh {
        host: "bastion-lb1".to_owned(),
        user: Some("op".to_owned()),
        port: Some(2222),
        key: Some("/home/op/.ssh/id".into()),
        bastion: Some("op@jump:22".to_owned()),
        config: Some("/site/ssh_config".into()),
        sudo: true,
        connect_timeout: Duration::from_secs(3),
    };
    assert_eq!(ssh(0), first);
    let second = Ssh {
        host: "10.0.1.20".to_owned(),
        user: Some("root".to_owned()),
        sudo: false,
        ..first
    };
    assert_eq!(ssh(1), second);
    assert_eq!(
        inventory.nodes[2].transport,
        Transport::Local { sudo: false }
    );
    assert!(matches!(inventory.nodes[3].transport, Transport::Ssh(_)));
}

#[test]
fn ipv6_brings_defaults_of_its_own() {
    let inventory = inventory(
        "[cluster]\nkubernetes = '1.36.2'\nvip = '[fd01::10]:6443'\n\
         [[node]]\nname = 'a'\nrole = 'lb'\naddress = 'fd01::1'\n\
         [[node]]\nname = 'b'\nrole = 'lb'\naddress = 'fd01::2'\n\
         [[node]]\nname = 'm'\nrole = 'control-plane'\naddress = 'fd01::3'\n",
    );
    assert_eq!(inventory.endpoint.to_string(), "[fd01::10]:6443");
    assert_eq!(inventory.pod_cidrs[0].to_string(), "fd00:10:244::/56");
    assert_eq!(inventory.service_cidrs[0].to_string(), "fd00:10:96::/112");
    assert_eq!(inventory.vrrp.unwrap().router_id, 0x10);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    refused(
        "[cluster]\n\
         name = 'Prod'\n\
         kubernetes = '1.36'\n\
         vpi = '10.0.1.10'\n\
         [[node]]\n\
         name = 'master1.kube.com'\n\
         role = 'master'\n\
         adress = '10.0.1.11'\n",
        &[
            "cluster.toml:2:8: 'name' must be of small letters, digits and '-', with a letter or \
             digit at both ends, such as \"prod\", not \"Prod\"",
            "cluster.toml:3:14: 'kubernetes' is wrong: '1.36' is no release of Kubernetes; write it \
             in full, such as 1.36.2",
            "cluster.toml:4:1: unknown key 'vpi' in [cluster]; did you mean 'vip'?",
            "cluster.toml:6:8: 'name' must be a name without a domain: \"master1\", and 'domain = \
             \"kube.com\"' in [cluster]",
            "cluster.toml:7:8: 'role' must be one of \"lb\", \"control-plane\", \"worker\", not \
             \"master\"; did you mean 'control-plane'?",
            "cluster.toml:8:1: unknown key 'adress' in a node; did you mean 'address'?",
        ],
    );
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    refused(
        "",
        &[
            "cluster.toml:1:1: there is no [cluster]; it needs 'kubernetes' and 'vip' at least",
            "cluster.toml:1:1: there is no [[node]]; each host is one, with 'name', 'role' and \
             'address'",
        ],
    );
    refused(
        "[cluster",
        &["cluster.toml:1:9: unclosed table, expected `]`"],
    );
}

#[test]
fn values_of_the_cluster() {
    let release = "'1.36.2'";
    check(
        release,
        "'1.30.4'",
        &[
            "cluster.toml:3:14: 'kubernetes' must be a release from 1.31 to 1.37, which is what \
           kubeadm's configuration is written for here, not v1.30.4",
        ],
    );
    check(
        release,
        "1.36",
        &[
            "cluster.toml:3:14: 'kubernetes' must be a string, with the patch release: \"1.36.0\" or later, not 1.36",
        ],
    );
    check(
        release,
        "'1.36.2-rc.1'",
        &[
            "cluster.toml:3:14: 'kubernetes' must be a release, \"1.36.2\", not \"1.36.2-rc.1\": packages of another build are not installed here",
        ],
    );
    check(
        release,
        "1.36.2",
        &["cluster.toml:3:14: 1.36.2 has to stand in quotes: kubernetes = \"1.36.2\""],
    );
    check(
        "address = '10.0.1.11'",
        "address  =  10.0.1.11 # here",
        &["cluster.toml:14:13: 10.0.1.11 has to stand in quotes: address = \"10.0.1.11\""],
    );
    check(
        "'kube.com'",
        "'Kube.COM'",
        &["cluster.toml:2:10: 'domain' must be in small letters: \"kube.com\""],
    );
    check(
        "'master1'",
        "'Master1.kube.com'",
        &[
            "cluster.toml:12:8: 'name' must be a name without a domain: \"master1\", and 'domain = \"kube.com\"' in [cluster]",
        ],
    );
    let vip = "vip = '10.0.1.10'";
    for (bad, message) in [
        (
            "'lb.kube.com:6443'",
            "must be an IP address, with a port or without, as in \"10.0.1.10:6443\", not \"lb.kube.com:6443\"",
        ),
        ("'10.0.1.10:0'", "must have a port from 1 to 65535"),
        (
            "'0.0.0.0:6443'",
            "must be an address that other hosts reach; 0.0.0.0 is no address of a host",
        ),
        (
            "'127.0.0.1'",
            "must be an address that other hosts reach; 127.0.0.1 is the loopback of each host",
        ),
        (
            "'224.0.0.18'",
            "must be an address that other hosts reach; 224.0.0.18 is a multicast address",
        ),
        (
            "'169.254.1.1'",
            "must be an address that other hosts reach; 169.254.1.1 is link-local, which differs from boot to boot",
        ),
    ] {
        check(
            vip,
            &format!("vip = {bad}"),
            &[&format!("cluster.toml:4:7: 'vip' {message}")],
        );
    }
    let domain = "domain = 'kube.com'";
    check(
        domain,
        "domain = '.kube.com'",
        &["cluster.toml:2:10: 'domain' must be without a dot at its end: \"kube.com\""],
    );
    check(
        domain,
        "domain = 'kube_com'",
        &[
            "cluster.toml:2:10: 'domain' must be of small letters, digits and '-', with a letter or digit at both ends, such as \"kube-com\", not \"kube_com\"",
        ],
    );
}

#[test]
fn addresses_of_nodes() {
    let from = "address = '10.0.1.13'";
    for (bad, message) in [
        (
            "'10.0.1.13/24'",
            "'address' must be without a prefix length: \"10.0.1.13\"",
        ),
        (
            "'worker1'",
            "'address' must be an IP address, as in \"10.0.1.11\"; a name to connect to goes into 'ssh', not \"worker1\"",
        ),
        (
            "'::ffff:10.0.1.13'",
            "'address' must be an address that other hosts reach; ::ffff:10.0.1.13 is an IPv4 address written as IPv6",
        ),
        (
            "'fd01::13'",
            "fd01::13 is IPv6, and 'pod-cidr' in [cluster] has no IPv6 network",
        ),
        (
            "'10.0.1.12'",
            "10.0.1.12 is the address of another node already, in line 19",
        ),
        (
            "'10.244.7.1'",
            "10.244.7.1 lies in the pod network 10.244.0.0/16; set 'pod-cidr' in [cluster] to one that no host is in",
        ),
        (
            "'10.97.0.1'",
            "10.97.0.1 lies in the service network 10.96.0.0/12; set 'service-cidr' in [cluster] to one that no host is in",
        ),
        (
            "'10.0.1.10'",
            "10.0.1.10 is the address of another node already, in line 9",
        ),
    ] {
        let also = "cluster.toml:24:11: the VIP 10.0.1.10 is the address of a worker; the VIP is the balancer's";
        let message = format!("cluster.toml:24:11: {message}");
        match bad {
            "'10.0.1.10'" => check(from, &format!("address = {bad}"), &[&message, also]),
            _ => check(from, &format!("address = {bad}"), &[&message]),
        }
    }
}

#[test]
fn the_vip_is_nobody_elses() {
    check(
        "vip = '10.0.1.10'",
        "vip = '10.0.1.11:6443'",
        &[
            "cluster.toml:14:11: the VIP 10.0.1.11 is the address of a control plane, whose API server \
           has that port itself; the VIP is the balancer's",
        ],
    );
    check(
        "vip = '10.0.1.10'",
        "vip = '10.96.0.10'",
        &[
            "cluster.toml:4:7: the VIP 10.96.0.10 lies in the service network 10.96.0.0/12, so pods could not reach it",
        ],
    );
    check_more(
        "[[node]]\nname = 'lb2'\nrole = 'lb'\naddress = '10.0.1.20'",
        &[
            "cluster.toml:9:11: the VIP 10.0.1.10 is the address of one balancer, which cannot move to \
           another; give the VIP an address of its own",
        ],
    );
}

#[test]
fn networks_are_whole_large_enough_and_apart() {
    let with = |text: &str, expected: &[&str]| {
        check("domain = 'kube.com'", text, expected);
    };
    with(
        "pod-cidr = '10.244.1.0/16'",
        &[
            "cluster.toml:2:12: 'pod-cidr' must be \"10.244.0.0/16\": 10.244.1.0/16 has bits set beyond its prefix",
        ],
    );
    with(
        "pod-cidr = '10.244.0.0'",
        &[
            "cluster.toml:2:12: 'pod-cidr' must be a network, as in \"10.244.0.0/16\", not \"10.244.0.0\"",
        ],
    );
    with(
        "pod-cidr = '10.100.0.0/16'",
        &[
            "cluster.toml:2:12: the pod network 10.100.0.0/16 and the service network 10.96.0.0/12 overlap",
        ],
    );
    with(
        "pod-cidr = '10.244.0.0/23'",
        &[
            "cluster.toml:2:12: the pod network 10.244.0.0/23 has room for 2 nodes, a /24 each, and there are 3",
        ],
    );
    with(
        "pod-cidr = '10.244.0.0/26'",
        &[
            "cluster.toml:2:12: the pod network 10.244.0.0/26 must have a prefix length from /8 to /24",
        ],
    );
    with(
        "service-cidr = '10.240.0.0/12'",
        &[
            "cluster.toml:2:16: the pod network 10.244.0.0/16 and the service network 10.240.0.0/12 overlap",
        ],
    );
    with(
        "pod-cidr = ['10.1.0.0/16', '10.2.0.0/16']",
        &[
            "cluster.toml:2:28: a second pod network of the same family as 10.1.0.0/16; there may be one IPv4 and one IPv6 network",
        ],
    );
    with(
        "pod-cidr = ['10.1.0.0/16', 'fd00::/56']",
        &[
            "cluster.toml:2:28: there is an IPv6 pod network and no IPv6 service network; a family needs both",
        ],
    );
}

#[test]
fn names_and_roles() {
    check(
        "name = 'worker1'",
        "name = 'master2'",
        &["cluster.toml:22:8: 'master2' is the name of another node already, in line 17"],
    );
    check(
        "name = 'worker1'",
        "name = 'localhost'",
        &["cluster.toml:22:8: 'name' must be a name that other hosts know it by"],
    );
    check(
        "name = 'worker1'",
        "name = '-a'",
        &[
            "cluster.toml:22:8: 'name' must be of small letters, digits and '-', with a letter or digit at both ends, such as \"a\", not \"-a\"",
        ],
    );
    check(
        "role = 'lb'",
        "role = 'worker'",
        &[
            "cluster.toml:6:1: no node has the role \"lb\"; evenkeel, which serves the VIP, needs a host of its own",
            "cluster.toml:9:11: the VIP 10.0.1.10 is the address of a worker; the VIP is the balancer's",
        ],
    );
    refused(
        "[cluster]\nkubernetes = '1.36.2'\nvip = '10.0.1.10'\n[[node]]\nname = 'lb'\nrole = 'lb'\naddress = '10.0.1.10'\n",
        &["cluster.toml:4:1: no node has the role \"control-plane\"; 'kubeadm init' needs one"],
    );
    refused(
        "[cluster]\nkubernetes = '1.36.2'\nvip = '10.0.1.10'\n[node]\nname = 'lb'\n",
        &["cluster.toml:4:1: each host is a [[node]] of its own, with two brackets"],
    );
}

#[test]
fn reaching_hosts() {
    check_more(
        "[ssh]\nhost = 'a'",
        &[
            "cluster.toml:26:1: 'host' in [ssh] would be the same host for every node; put it into a node: 'ssh = \"HOST\"'",
        ],
    );
    check_more(
        "[ssh]\nkey = 'missing'",
        &[
            "cluster.toml:26:7: 'key' names no file: there is no '/site/missing', which is relative to the folder of this file",
        ],
    );
    check_more(
        "[ssh]\nkey = '~/missing'",
        &["cluster.toml:26:7: 'key' names no file: there is no '/home/op/missing'"],
    );
    check_more(
        "[ssh]\nuser = '-oProxyCommand=x'",
        &[
            "cluster.toml:26:8: 'user' must be one word that does not begin with '-', not \"-oProxyCommand=x\"",
        ],
    );
    check_more(
        "[ssh]\nconnect-timeout = '1500ms'",
        &[
            "cluster.toml:26:19: 'connect-timeout' must be whole seconds, as in \"10s\", not \"1500ms\"",
        ],
    );
    check_more(
        "ssh = 'x'\nlocal = true",
        &[
            "cluster.toml:25:7: 'ssh' and 'local' exclude each other: no ssh leads to the host that this runs on",
        ],
    );
    check_more(
        "local = 'yes'",
        &["cluster.toml:25:9: 'local' must be true, false or a table, not \"yes\""],
    );
}

#[test]
fn parts() {
    check_more(
        "[cni]\nplugin = 'flanel'",
        &[
            "cluster.toml:26:10: 'plugin' must be one of \"flannel\", \"calico\", \"manifest\", \"none\", not \"flanel\"; did you mean 'flannel'?",
        ],
    );
    check_more(
        "[cni]\nplugin = 'manifest'",
        &["cluster.toml:25:1: plugin \"manifest\" needs 'manifest': a file or an https URL"],
    );
    check_more(
        "[cni]\nmanifest = 'http://a/b'",
        &["cluster.toml:26:12: 'manifest' must be a file or an https URL, not \"http://a/b\""],
    );
    check_more(
        "[cni]\nmanifest = 'a.yaml'\nsha256 = 'abc'",
        &[
            "cluster.toml:27:10: 'sha256' must be the 64 hexadecimal digits that sha256sum prints, not \"abc\"",
        ],
    );
    let sum = "0".repeat(64);
    check_more(
        &format!("[cni]\nmanifest = 'a.yaml'\nsha256 = '{sum}'"),
        &[
            "cluster.toml:27:10: 'sha256' is for a manifest from a URL, which 'manifest' has to name",
        ],
    );
    check_more(
        "[cni]\nplugin = 'none'\nmanifest = 'a.yaml'",
        &[
            "cluster.toml:25:1: 'manifest' has no use where 'plugin' is \"none\"; write \"manifest\"",
        ],
    );
    check_more(
        "[runtime]\nsocket = '/run/x.sock'",
        &["cluster.toml:26:10: 'socket' must be \"unix:///run/x.sock\""],
    );
    check_more(
        "[runtime]\nsocket = 'unix:///run/crio/crio.sock'",
        &[
            "cluster.toml:26:10: 'managed' brings containerd, whose socket this is not; write 'managed = false' for another runtime",
        ],
    );
    check_more(
        "[runtime]\nmanaged = false\npackage = 'x'",
        &[
            "cluster.toml:27:11: 'package' has no use where 'managed' is false: nothing is installed",
        ],
    );
    check_more(
        "[balancer]\npackage = 'a.deb'\nbinary = 'b'",
        &["cluster.toml:27:10: 'binary' and 'package' exclude each other; keep one of them"],
    );
    check_more(
        "[balancer]\npackage = 'a.tgz'",
        &["cluster.toml:26:11: 'package' must be a .deb or .rpm, not '/site/a.tgz'"],
    );
    check_more(
        "[balancer]\nadmin = '8404'",
        &[
            "cluster.toml:26:9: 'admin' must be an IP address and a port, as in \"127.0.0.1:8404\", not \"8404\"",
        ],
    );
    check_more(
        "[vrrp]\nrouter-id = 0",
        &[
            "cluster.toml:25:1: [vrrp] is for balancers that share the VIP, and there is one at most; add a second [[node]] with role \"lb\", or remove [vrrp]",
            "cluster.toml:26:13: 'router-id' must be a whole number from 1 to 255, not 0",
        ],
    );
    check_more(
        "[artefacts]\nimages = ['a.tar', 'a.tar']",
        &["cluster.toml:26:20: 'images' names this a second time"],
    );
    check_more(
        "[artefacts]\nmanifests = 'missing.yaml'",
        &[
            "cluster.toml:26:13: 'manifests' names no file: there is no '/site/missing.yaml', which is relative to the folder of this file",
        ],
    );
}

#[test]
fn a_file_that_is_not_there_leads_to_init() {
    let problems = load(Path::new("/nonexistent/cluster.toml")).unwrap_err();
    assert_eq!(
        lines(&problems),
        ["/nonexistent/cluster.toml: no such file; 'evenkeel-bootstrap init' writes one"]
    );
}
