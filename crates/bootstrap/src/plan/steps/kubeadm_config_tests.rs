use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::facts::Interface;
use crate::plan::steps::example;

fn shown(text: &Text) -> String {
    text.to_string()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn the_first_control_plane_gets_this() {
    let inventory = example::inventory();
    assert_eq!(
        shown(&init(&inventory, inventory.first_master(), None)),
        r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- description: made by evenkeel-bootstrap for joining nodes
  groups:
  - system:bootstrappers:kubeadm:default-node-token
  token: "<token>"
  ttl: 24h0m0s
  usages:
  - signing
  - authentication
certificateKey: "<certificate-key>"
localAPIEndpoint:
  advertiseAddress: 10.0.1.11
  bindPort: 6443
nodeRegistration:
  name: master1
  criSocket: unix:///var/run/containerd/containerd.sock
  kubeletExtraArgs:
  - name: node-ip
    value: 10.0.1.11
timeouts:
  controlPlaneComponentHealthCheck: 4m0s
  discovery: 5m0s
  etcdAPICall: 2m0s
  kubeletHealthCheck: 4m0s
  kubernetesAPICall: 1m0s
  tlsBootstrap: 5m0s
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  certSANs:
  - 10.0.1.10
  - lb
  - lb.kube.com
  extraArgs:
  - name: goaway-chance
    value: "0.001"
  - name: shutdown-delay-duration
    value: 15s
clusterName: kube
controlPlaneEndpoint: 10.0.1.10:6443
kubernetesVersion: v1.36.2
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/12
"#
    );
}

#[test]
fn a_join_is_judged_as_it_will_be_but_for_the_hash() {
    let inventory = example::inventory();
    let master2 = inventory.node("master2").expect("it is there");
    let judged = shown(&join_to_judge(&inventory, master2, None));
    let hash = format!("sha256:{}", "0".repeat(64));
    assert_eq!(
        judged.replace(&hash, "\"<ca-hash>\""),
        shown(&join(&inventory, master2, None))
    );
    assert!(judged.contains(&hash), "{judged}");
}

#[test]
fn joining_nodes_get_this() {
    let inventory = example::inventory();
    let master2 = inventory.node("master2").expect("it is there");
    let worker1 = inventory.node("worker1").expect("it is there");
    let common = |name: &str, address: &str, before: &str| {
        format!(
            r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
{before}discovery:
  bootstrapToken:
    apiServerEndpoint: 10.0.1.10:6443
    caCertHashes:
    - "<ca-hash>"
    token: "<token>"
nodeRegistration:
  name: {name}
  criSocket: unix:///var/run/containerd/containerd.sock
  kubeletExtraArgs:
  - name: node-ip
    value: {address}
timeouts:
  controlPlaneComponentHealthCheck: 4m0s
  discovery: 5m0s
  etcdAPICall: 2m0s
  kubeletHealthCheck: 4m0s
  kubernetesAPICall: 1m0s
  tlsBootstrap: 5m0s
"#
        )
    };
    let control_plane = "controlPlane:\n  certificateKey: \"<certificate-key>\"\n  localAPIEndpoint:\n    advertiseAddress: 10.0.1.12\n    bindPort: 6443\n";
    assert_eq!(
        shown(&join(&inventory, master2, None)),
        common("master2", "10.0.1.12", control_plane)
    );
    assert_eq!(
        shown(&join(&inventory, worker1, None)),
        common("worker1", "10.0.1.13", "")
    );
}

#[test]
fn secrets_of_digits_stay_text() {
    let inventory = example::inventory();
    let filled = init(&inventory, inventory.first_master(), None)
        .fill(|gap| {
            Some(crate::secret::Secret::new(
                match gap {
                    Later::Token => "123456.1234567890123456",
                    _ => "1234567890123456789012345678901234567890123456789012345678901234",
                }
                .to_owned(),
            ))
        })
        .expect("both are known");
    let first = filled.reveal().split("---\n").next().expect("a document");
    let read: Value = serde_saphyr::from_str(first).expect("it is YAML");
    assert_eq!(
        read["bootstrapTokens"][0]["token"],
        "123456.1234567890123456"
    );
    assert!(read["certificateKey"].is_string());
}

#[test]
fn patches_are_merged_by_key_and_by_name() {
    let mut inventory = example::inventory();
    inventory.kubeadm.cluster = map(json!({
        "encryptionAlgorithm": "ECDSA-P256",
        "apiServer": {
            "certSANs": ["api.example.com"],
            "extraArgs": [
                {"name": "goaway-chance", "value": "0.01"},
                {"name": "audit-log-path", "value": "-"},
            ],
        },
        "etcd": {"local": {"dataDir": "/srv/etcd"}},
    }));
    inventory.kubeadm.init = map(json!({"timeouts": {"discovery": "10m0s"}}));
    inventory.kubeadm.kubelet = map(json!({"failCgroupV1": false}));
    inventory.kubeadm.kube_proxy = map(json!({"mode": "nftables"}));
    inventory.kubeadm.ignore_preflight_errors = vec!["SystemVerification".to_owned()];
    let text = shown(&init(&inventory, inventory.first_master(), None));
    let documents: Vec<Value> = text
        .split("---\n")
        .map(|text| serde_saphyr::from_str(text).expect("it is YAML"))
        .collect();
    let [init, cluster, kubelet, kube_proxy] = &documents[..] else {
        panic!("four documents: {text}");
    };
    assert_eq!(init["timeouts"]["discovery"], "10m0s");
    assert_eq!(init["timeouts"]["tlsBootstrap"], "5m0s");
    assert_eq!(
        init["nodeRegistration"]["ignorePreflightErrors"],
        json!(["SystemVerification"])
    );
    assert_eq!(cluster["encryptionAlgorithm"], "ECDSA-P256");
    assert_eq!(cluster["apiServer"]["certSANs"], json!(["api.example.com"]));
    assert_eq!(
        cluster["apiServer"]["extraArgs"],
        json!([
            {"name": "goaway-chance", "value": "0.01"},
            {"name": "shutdown-delay-duration", "value": "15s"},
            {"name": "audit-log-path", "value": "-"},
        ])
    );
    assert_eq!(
        kubelet,
        &json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "failCgroupV1": false})
    );
    assert_eq!(
        kube_proxy,
        &json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables"})
    );
}

#[test]
fn a_worker_stays_a_worker_whatever_is_merged_into_joins() {
    let mut inventory = example::inventory();
    inventory.kubeadm.join = map(
        json!({"controlPlane": {"localAPIEndpoint": {"bindPort": 7443}}, "skipPhases": ["preflight"]}),
    );
    let master2 = shown(&join(
        &inventory,
        inventory.node("master2").expect("there"),
        None,
    ));
    let worker1 = shown(&join(
        &inventory,
        inventory.node("worker1").expect("there"),
        None,
    ));
    assert!(master2.contains("bindPort: 7443"), "{master2}");
    assert!(!worker1.contains("controlPlane:"), "{worker1}");
    assert!(worker1.contains("skipPhases"), "{worker1}");
}

#[test]
fn two_families_give_a_node_two_addresses() {
    let mut inventory = example::inventory();
    inventory
        .pod_cidrs
        .push("fd00:244::/56".parse().expect("a network"));
    inventory
        .service_cidrs
        .push("fd00:96::/112".parse().expect("a network"));
    let found = HostFacts {
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            mac: String::new(),
            addresses: ["10.0.1.11/24", "fe80::1/64", "fd00::aaaa/64", "fd00::11/64"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            fleeting: vec!["fd00::aaaa".parse().expect("an address")],
        }],
        ..HostFacts::default()
    };
    let text = shown(&init(&inventory, inventory.first_master(), Some(&found)));
    assert!(text.contains("value: 10.0.1.11,fd00::11\n"), "{text}");
    assert!(
        text.contains("podSubnet: 10.244.0.0/16,fd00:244::/56\n"),
        "{text}"
    );
    assert!(!text.contains("node-cidr-mask-size"), "{text}");
    // One family alone needs no second address.
    inventory.pod_cidrs.truncate(1);
    let text = shown(&init(&inventory, inventory.first_master(), Some(&found)));
    assert!(text.contains("value: 10.0.1.11\n"), "{text}");
}

#[test]
fn an_endpoint_of_ipv6_stands_in_brackets_and_in_quotes() {
    let mut inventory = example::inventory();
    inventory.endpoint.vip = "fd00::10".parse::<IpAddr>().expect("an address");
    let text = shown(&init(&inventory, inventory.first_master(), None));
    let cluster = text.split("---\n").nth(1).expect("two documents");
    let read: Value = serde_saphyr::from_str(cluster).expect("it is YAML");
    assert_eq!(read["controlPlaneEndpoint"], "[fd00::10]:6443");
    assert_eq!(read["apiServer"]["certSANs"][0], "fd00::10");
}

#[test]
fn shares_of_nodes_fit_into_the_pod_network() {
    let check = |networks: &[&str], expected: &[(&str, &str)]| {
        let networks: Vec<_> = networks
            .iter()
            .map(|text| text.parse().expect("a network"))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        assert_eq!(node_masks(&networks), expected, "{networks:?}");
    };
    check(&["10.244.0.0/16"], &[]);
    check(&["10.244.0.0/20"], &[]);
    check(&["10.244.0.0/22"], &[]);
    check(&["10.244.0.0/24"], &[]);
    check(&["10.0.0.0/7"], &[("node-cidr-mask-size", "23")]);
    check(&["fd00::/48"], &[]);
    check(&["fd00::/40"], &[("node-cidr-mask-size", "56")]);
    check(&["fd00::/64"], &[]);
    check(
        &["10.244.0.0/16", "fd00::/40"],
        &[("node-cidr-mask-size-ipv6", "56")],
    );
}

#[test]
fn limits_follow_those_of_kubeadm() {
    let mut inventory = example::inventory();
    assert_eq!(
        join_limit(&inventory),
        Duration::from_secs(21 * 60) + inventory.kubeadm.pull_timeout
    );
    inventory.kubeadm.join =
        map(json!({"timeouts": {"discovery": "20s", "upgradeManifests": "1m"}}));
    assert_eq!(
        join_limit(&inventory),
        Duration::from_secs(17 * 60 + 20) + inventory.kubeadm.pull_timeout
    );
    assert_eq!(
        init_limit(&inventory),
        Duration::from_secs(21 * 60) + inventory.kubeadm.pull_timeout
    );
}

/// Two issuers while one takes the other's place: the first signs, both are believed.
#[test]
fn an_argument_may_be_given_twice() {
    let mut into =
        json!([{"name": "v", "value": "2"}, {"name": "service-account-issuer", "value": "own"}]);
    let patch = json!([
        {"name": "service-account-issuer", "value": "https://new"},
        {"name": "service-account-issuer", "value": "https://old"},
        {"name": "goaway-chance", "value": "0"},
    ]);
    merge(&mut into, &patch);
    assert_eq!(
        into,
        json!([
            {"name": "v", "value": "2"},
            {"name": "service-account-issuer", "value": "https://new"},
            {"name": "service-account-issuer", "value": "https://old"},
            {"name": "goaway-chance", "value": "0"},
        ])
    );
}
