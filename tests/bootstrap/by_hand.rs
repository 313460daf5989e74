//! The lab proves itself: what the seed's operator does by hand works in it, and breaks in it as it
//! breaks in the field.

use std::time::{Duration, Instant};

use crate::lab::{FIVE, Lab, with_lab};
use crate::node::Node;
use crate::parcels::RELEASE;
use crate::transcripts::Replay;
use crate::wait::{until, within};

/// What everything is made with by hand.
const TOKEN: &str = "abcdef.0123456789abcdef";
const KEY: &str = "e6a2eb8581237ab72a4f494f30285ec12a9694d750b9785706a83bfcbbbd2204";

const HAPROXY_CFG: &str = "\
frontend kubernetes-frontend
    bind 10.0.1.10:6443
    mode tcp
    option tcplog
    default_backend kubernetes-backend

backend kubernetes-backend
    mode tcp
    balance roundrobin
    option tcp-check
    server master1 10.0.1.11:6443 check fall 3 rise 2
    server master2 10.0.1.12:6443 check fall 3 rise 2
";

/// A network plugin as small as one can be: a pod on each node that sets the network up.
pub(crate) const CNI: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: kube-flannel}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  net-conf.json: '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}'
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: kube-flannel, labels: {app: flannel}}
spec:
  selector: {matchLabels: {app: flannel}}
  template:
    metadata: {labels: {app: flannel}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists, effect: NoSchedule}]
      containers: [{name: kube-flannel, image: "ghcr.io/flannel-io/flannel:v0.27.0"}]
      volumes: [{name: cni, hostPath: {path: /etc/cni/net.d}}]
"#;

fn init_yaml() -> String {
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- {{token: \"{TOKEN}\", ttl: 24h0m0s}}
certificateKey: \"{KEY}\"
localAPIEndpoint: {{advertiseAddress: 10.0.1.11, bindPort: 6443}}
nodeRegistration:
  name: master1
  kubeletExtraArgs: [{{name: node-ip, value: 10.0.1.11}}]
  ignorePreflightErrors: [SystemVerification]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
controlPlaneEndpoint: \"10.0.1.10:6443\"
networking: {{podSubnet: 10.244.0.0/16}}
apiServer: {{certSANs: [10.0.1.10]}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
"
    )
}

/// Names, forwarding and packages, as on the real machines.
fn prepare(lab: &Lab) {
    std::thread::scope(|scope| {
        for node in lab.nodes() {
            scope.spawn(|| {
                let packages = match node.name() {
                    "lb" => "evenkeel".to_owned(),
                    _ => format!(
                        "containerd kubelet={RELEASE}-1.1 kubeadm={RELEASE}-1.1 kubectl={RELEASE}-1.1"
                    ),
                };
                let hosts: String = FIVE
                    .iter()
                    .map(|(name, address)| format!("{address} {name}.kube.com {name}\\n"))
                    .collect();
                node.ssh(
                    "root",
                    &format!(
                        "set -e; hostname {0}; echo {0} >/etc/hostname; printf '{hosts}' >>/etc/hosts
                         sysctl -qw net.ipv4.ip_forward=1
                         apt-get -qq update && apt-get -qqy install {packages}",
                        node.name()
                    ),
                );
            });
        }
    });
    let lb = lab.node("lb");
    lb.write("/etc/evenkeel/haproxy.cfg", HAPROXY_CFG);
    lb.write(
        "/etc/default/evenkeel",
        "EVENKEEL_CONFIG=/etc/evenkeel/haproxy.cfg\n",
    );
    lb.ssh(
        "root",
        "systemctl restart evenkeel && systemctl is-active evenkeel",
    );
}

/// Makes the first master; the hash of its authority.
fn init(lab: &Lab, replay: &mut Replay<'_>) -> String {
    let master = lab.node("master1");
    master.write("/root/init.yaml", init_yaml());
    master.ssh("root", "kubeadm config validate --config /root/init.yaml");
    let said = replay.play("init", &[0], "");
    assert!(
        said.contains("Your Kubernetes control-plane has initialized successfully!"),
        "{said}"
    );
    let hash = master.ssh(
        "root",
        "openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt | openssl pkey -pubin -outform der | sha256sum",
    );
    let hash = format!("sha256:{}", hash.split_whitespace().next().unwrap());
    assert!(
        said.contains(&hash),
        "the printed hash is not {hash}:\n{said}"
    );
    hash
}

fn kubectl(node: &Node, line: &str) -> String {
    node.ssh(
        "root",
        &format!("KUBECONFIG=/etc/kubernetes/admin.conf kubectl {line}"),
    )
}

/// The seed's table without its ages.
pub(crate) fn table(node: &Node) -> String {
    kubectl(node, "get nodes")
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [words[0], words[1], words[2], words[4]].join(" ") + "\n"
        })
        .collect()
}

pub(crate) const TABLE: &str = "\
NAME STATUS ROLES VERSION
master1 Ready control-plane v1.36.2
master2 Ready control-plane v1.36.2
worker1 Ready <none> v1.36.2
worker2 Ready <none> v1.36.2
";

#[test]
fn five_machines_become_the_cluster_of_the_picture() {
    let name = "by_hand::five_machines_become_the_cluster_of_the_picture";
    with_lab(name, FIVE, |lab| {
        let mut stages = Stages::new();
        prepare(lab);
        stages.end("packages");
        let mut replay = Replay::on(lab);
        let hash = init(lab, &mut replay);
        stages.end("init");
        let (one, two) = (lab.node("master1"), lab.node("master2"));
        until("the VIP leads to master1", || {
            two.ssh_command("root", "</dev/tcp/10.0.1.10/6443")
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        replay.play("join-wrong-certificate-key", &[0], &hash);
        let said = replay.play("join-control-plane", &[0], &hash);
        assert!(
            said.contains("a new control plane instance was created"),
            "{said}"
        );
        stages.end("second master");
        replay.play("join-wrong-hash", &[0], &hash);
        replay.play("join-wrong-token", &[0], &hash);
        replay.play("join-wrong-token-secret", &[0], &hash);
        replay.play("join-worker", &[0, 1], &hash);
        replay.play("join-already-joined", &[0], &hash);
        stages.end("workers");
        assert!(table(two).contains("worker2 NotReady"), "{}", table(two));
        one.write("/root/cni.yaml", CNI);
        kubectl(one, "apply -f /root/cni.yaml");
        let became = within(Duration::from_secs(30), || {
            (table(one) == TABLE).then_some(())
        });
        assert!(became.is_some(), "{}", table(one));
        stages.end("network");
        kubectl(
            one,
            "-n kube-flannel rollout status daemonset/kube-flannel-ds --timeout=20s",
        );
        kubectl(
            one,
            "-n kube-system wait --for=condition=Available deployment/coredns --timeout=20s",
        );
        let again = kubectl(one, "apply -f /root/cni.yaml");
        assert!(
            again.contains("daemonset.apps/kube-flannel-ds unchanged"),
            "{again}"
        );
        eprintln!("{}{}", stages.0, kubectl(one, "get nodes -o wide"));
        eprintln!("{}", kubectl(one, "get pods -A"));
        replay.play("token-create", &[0, 1, 2, 3], &hash);
        replay.play("token-delete", &[1], &hash);
        replay.play("upload-certs", &[1, 2], &hash);
        replay.play("check-expiration", &[0, 1], &hash);
        replay.play("certs-renew", &[0, 1], &hash);
        replay.play("upgrade-plan", &[2], &hash);
        replay.play("reset-worker", &[0, 1], &hash);
        replay.play("reset-control-plane", &[0], &hash);
        stages.end("the rest of the transcripts");
        eprintln!("{}", stages.0);
        replay.end();
    });
}

/// How long each part took.
struct Stages(String, Instant);

impl Stages {
    fn new() -> Self {
        Self(String::new(), Instant::now())
    }

    fn end(&mut self, name: &str) {
        self.0 += &format!("{name}: {:.1?}\n", self.1.elapsed());
        self.1 = Instant::now();
    }
}
