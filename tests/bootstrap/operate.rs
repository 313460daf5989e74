//! What is done to a cluster that is there, by the program, while clients ask through the VIP.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::by_hand::table;
use crate::lab::{DIRECTORY, Lab, sh, with_lab};
use crate::node::Node;
use crate::operator::{Running, bootstrap, edit_inventory, fail, succeed, write_inventory};
use crate::parcels::{NEXT, RELEASE};
use crate::traffic::Traffic;
use crate::wait::{until, within};

/// The picture, with a third master.
const SIX_WITH_THREE: &[(&str, &str)] = &[
    ("lb", "10.0.1.10"),
    ("master1", "10.0.1.11"),
    ("master2", "10.0.1.12"),
    ("master3", "10.0.1.15"),
    ("worker1", "10.0.1.13"),
    ("worker2", "10.0.1.14"),
];

fn kubectl(node: &Node, line: &str) -> String {
    node.sh(&format!(
        "kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://{}:6443 {line}",
        node.address()
    ))
}

/// The part of cluster.toml that is a node.
fn entry(node: &Node) -> String {
    let role = if node.name().starts_with("master") {
        "control-plane"
    } else {
        "worker"
    };
    format!(
        "\n[[node]]\nname = \"{}\"\nrole = \"{role}\"\naddress = \"{}\"\n",
        node.name(),
        node.address()
    )
}

fn has_entry(name: &str) -> bool {
    let text = fs::read_to_string(format!("{DIRECTORY}/cluster.toml")).unwrap();
    text.contains(&format!("name = \"{name}\""))
}

/// What is still in the cluster that lets somebody join.
fn credentials(master: &Node) -> String {
    let secrets = kubectl(master, "-n kube-system get secrets -o name");
    // The one that gives the uploaded certificates their time is no token that anybody joins by.
    let tokens = kubectl(
        master,
        "-n kube-system get secrets -o 'jsonpath={range .items[*]}{.metadata.name} {.data.usage-bootstrap-authentication}{\"\\n\"}{end}'",
    );
    let usable = tokens.lines().filter(|line| {
        line.starts_with("bootstrap-token-")
            && line.split(' ').nth(1).is_some_and(|use_| !use_.is_empty())
    });
    let certificates = secrets
        .lines()
        .filter(|name| name.ends_with("/kubeadm-certs"));
    usable
        .chain(certificates)
        .map(|line| line.to_owned() + "\n")
        .collect()
}

/// What takes seconds, on the cluster of a lab that `apply` has just brought up.
pub(crate) fn soon_after(lab: &Lab) {
    let master = lab.node("master1");
    assert_eq!(
        credentials(master),
        "",
        "an apply leaves nothing to join by"
    );
    kubeconfigs();
    certificates();
    second_operator(lab);
    worker_by_hand(lab);
    backup(lab);
}

/// Merged by the cluster's name, and again without a change; what was there is kept beside it.
fn kubeconfigs() {
    let path = format!("{DIRECTORY}/home/.kube/config");
    assert!(!Path::new(&path).exists());
    succeed(&["kubeconfig"]);
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.contains("current-context: lab"), "{first}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let said = succeed(&["kubeconfig"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), first, "{said}");
    assert!(!said.contains("is kept in"), "{said}");

    let other = "apiVersion: v1\nkind: Config\ncurrent-context: work\nclusters:\n- name: work\n  cluster: {server: 'https://work'}\ncontexts: []\nusers: []\n";
    fs::write(&path, other).unwrap();
    succeed(&["kubeconfig"]);
    let merged = fs::read_to_string(&path).unwrap();
    assert!(
        merged.contains("current-context: work")
            && merged.contains("https://work")
            && merged.contains("https://10.0.1.10:6443"),
        "{merged}"
    );
    let kept: Vec<_> = fs::read_dir(format!("{DIRECTORY}/home/.kube"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| *file != Path::new(&path))
        .collect();
    let [kept] = &kept[..] else {
        panic!("kept: {kept:?}")
    };
    assert_eq!(fs::read_to_string(kept).unwrap(), other);
}

fn certificates() {
    let said = succeed(&["certs"]);
    for line in ["master1         apiserver ", "master2         etcd-server "] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("(364 days)"), "{said}");
}

/// Is told who is at work, and changes nothing.
fn second_operator(lab: &Lab) {
    // Nobody answers its question, so that it holds the lock for as long as it is let.
    let one = Holder::start();
    let said = fail(&["reset", "--yes"]);
    assert!(
        said.contains("somebody else is changing this cluster") && said.contains("process"),
        "{said}"
    );
    drop(one);
    let master = lab.node("master1");
    assert!(kubectl(master, "get nodes").contains("worker2"));
}

/// Holds the lock of the cluster as a program at work does.
struct Holder(std::process::Child);

impl Holder {
    fn start() -> Self {
        let mut child = bootstrap(&["backup", "--output", "/dev/full"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // It shows its plan once it has the lock, and then stands still.
        use std::io::Read as _;
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 1]).unwrap();
        sh(&format!("kill -STOP {}", child.id()));
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A worker leaves, and comes back by the command that is printed.
fn worker_by_hand(lab: &Lab) {
    let (master, worker) = (lab.node("master1"), lab.node("worker2"));
    let said = succeed(&["reset", "worker2", "--yes"]);
    assert!(said.contains("drain worker2"), "{said}");
    assert!(!kubectl(master, "get nodes").contains("worker2"));
    assert_clean(worker);
    assert!(has_entry("worker2"));

    let said = succeed(&["token"]);
    let command = said
        .lines()
        .find(|line| line.starts_with("kubeadm join 10.0.1.10:6443 --token "))
        .unwrap_or_else(|| panic!("no command in:\n{said}"));
    worker.ssh(
        "root",
        &format!("{command} --ignore-preflight-errors=SystemVerification"),
    );
    until("worker2 to be ready", || {
        table(master).contains("worker2 Ready").then_some(())
    });
    assert!(
        credentials(master).contains("bootstrap-token-"),
        "that one is the operator's"
    );
    master.sh("kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system delete secret kubeadm-certs; \
        for id in $(kubeadm token list | sed -n 's/^\\([a-z0-9]*\\)\\..*default-node-token.*/\\1/p'); do kubeadm token delete $id; done");
    succeed(&["verify"]);
}

fn backup(lab: &Lab) {
    let path = format!("{DIRECTORY}/backup.tar.gz");
    succeed(&["backup", "--output", &path]);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let listed = sh(&format!("tar -tzf {path}"));
    for name in [
        "etc/kubernetes/pki/ca.key",
        "etc/kubernetes/pki/etcd/ca.key",
        "etc/kubernetes/pki/sa.key",
        "etc/kubernetes/admin.conf",
        "var/lib/etcd/evenkeel-snapshot.db",
    ] {
        assert!(
            listed.lines().any(|line| line == name),
            "no {name} in:\n{listed}"
        );
    }
    let snapshot = sh(&format!(
        "tar -xzOf {path} var/lib/etcd/evenkeel-snapshot.db"
    ));
    assert!(
        snapshot.contains("kubeadm-config"),
        "it is none of this cluster"
    );
    let key = sh(&format!("tar -xzOf {path} etc/kubernetes/pki/ca.key"));
    assert_eq!(key, lab.node("master2").read("/etc/kubernetes/pki/ca.key"));
    for master in ["master1", "master2"] {
        let node = lab.node(master);
        let left =
            node.sh("ls -d /var/lib/etcd/evenkeel-* /root/.evenkeel-bootstrap/* 2>/dev/null || :");
        assert_eq!(left, "", "{master}");
    }
}

/// Nothing of kubeadm's is there any more.
#[track_caller]
fn assert_clean(node: &Node) {
    let left = node.sh(
        "ls -d /etc/kubernetes/*.conf /etc/kubernetes/manifests/* /etc/kubernetes/pki/* /var/lib/etcd/* \
         /var/lib/kubelet/* /etc/cni/net.d/10-flannel* /root/.evenkeel-bootstrap /etc/kubernetes/evenkeel* 2>/dev/null || :; \
         systemctl list-units --plain --no-legend --state=active 'pod-*'",
    );
    assert_eq!(left, "", "{}", node.name());
}

fn members(master: &Node) -> Vec<String> {
    let etcd = "/etc/kubernetes/pki/etcd";
    let listed = master.sh(&format!(
        "/usr/lib/doubles/doubles etcdctl --endpoints https://127.0.0.1:2379 --cacert {etcd}/ca.crt --cert {etcd}/server.crt --key {etcd}/server.key member list"
    ));
    let names = listed.lines().filter_map(|line| line.split(", ").nth(2));
    names.map(str::to_owned).collect()
}

/// Whether the balancer sends clients to each server that it has.
fn servers(lab: &Lab) -> Vec<(String, bool)> {
    let text = lab.node("lb").read("/etc/evenkeel/evenkeel.toml");
    let lines = text.lines().filter(|line| line.starts_with("master"));
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once(" = ")?;
            Some((name.to_owned(), !rest.contains("disabled")))
        })
        .collect()
}

fn all_in(names: &[&str]) -> Vec<(String, bool)> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), true))
        .collect()
}

/// The year of a cluster's life, in minutes.
#[test]
fn a_cluster_grows_shrinks_is_upgraded_loses_a_master_and_ends() {
    let name = "operate::a_cluster_grows_shrinks_is_upgraded_loses_a_master_and_ends";
    if std::env::var_os("EVENKEEL_BOOTSTRAP_FULL").is_none() {
        return crate::notice::not_run(
            &format!("bootstrap {name}"),
            "it takes minutes: EVENKEEL_BOOTSTRAP_FULL=1 has it run",
        );
    }
    with_lab(name, SIX_WITH_THREE, |lab| {
        write_inventory(lab, "admin");
        for name in ["master3", "worker2"] {
            edit_inventory(&entry(lab.node(name)), "");
        }
        let mut clock = Clock::start();
        succeed(&["apply", "--yes"]);
        clock.lap("apply");
        grows(lab);
        clock.lap("a worker and a third master");
        shrinks(lab);
        clock.lap("both leave, the master comes back");
        renews(lab);
        clock.lap("certificates renewed");
        upgrades(lab);
        clock.lap("upgrade, cut off and gone on with");
        loses_a_master(lab);
        clock.lap("a master lost, removed; another lost: refused");
        ends_and_begins(lab);
        clock.lap("reset, and apply again");
    });
}

struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self, what: &str) {
        eprintln!("== {what}: {:.1?}", self.0.elapsed());
        self.0 = Instant::now();
    }
}

fn grows(lab: &Lab) {
    let worker = lab.node("worker2");
    let said = succeed(&["add", "worker2", worker.address()]);
    assert!(said.contains("has it join"), "{said}");
    let master = lab.node("master3");
    succeed(&[
        "add",
        "master3",
        master.address(),
        "--role",
        "control-plane",
    ]);
    let traffic = Traffic::start(lab, "master1");
    succeed(&["apply", "--yes"]);
    traffic.end_well("two nodes join");
    let table = table(lab.node("master1"));
    assert_eq!(
        table
            .lines()
            .filter(|line| line.contains(" Ready "))
            .count(),
        5,
        "{table}"
    );
    assert_eq!(servers(lab), all_in(&["master1", "master2", "master3"]));
    assert_eq!(credentials(lab.node("master1")), "");
    // One host that has curl: member removal asks etcd's gateway by it there, and by etcdctl elsewhere.
    lab.node("master1")
        .sh("ln -s /usr/lib/doubles/doubles /usr/local/bin/curl");
}

fn shrinks(lab: &Lab) {
    let first = lab.node("master1");
    let traffic = Traffic::start(lab, "master1");
    succeed(&["remove", "worker2", "--yes"]);
    assert!(!has_entry("worker2"));
    assert_clean(lab.node("worker2"));
    // Held open as a controller holds its own; the balancer gives each master some of so many.
    let held: Vec<_> = (0..24)
        .map(|_| std::net::TcpStream::connect("10.0.1.10:6443").unwrap())
        .collect();
    let said = succeed(&["remove", "master3", "--yes", "--session-wait", "2"]);
    drop(held);
    assert!(
        said.contains("are still open on master3"),
        "who keeps a connection is waited for:\n{said}"
    );
    traffic.end_well("a worker and a master leave");
    assert!(!has_entry("master3"));
    assert_clean(lab.node("master3"));
    assert_eq!(members(first), ["master1", "master2"]);
    assert_eq!(servers(lab), all_in(&["master1", "master2"]));
    assert!(!kubectl(first, "get nodes").contains("master3"));
    succeed(&["verify"]);

    succeed(&[
        "add",
        "master3",
        lab.node("master3").address(),
        "--role",
        "control-plane",
    ]);
    succeed(&["apply", "--yes"]);
    assert_eq!(members(first), ["master1", "master2", "master3"]);
}

fn renews(lab: &Lab) {
    let serving = "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt";
    let served = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial";
    let before = lab.node("master2").sh(served);
    let traffic = Traffic::start(lab, "master1");
    let said = succeed(&["certs", "--renew", "--yes", "--session-wait", "1"]);
    traffic.end_well("certificates are renewed");
    assert!(
        said.contains("ok    etcd's members are master1, master2, master3"),
        "{said}"
    );
    for master in ["master1", "master2", "master3"] {
        let node = lab.node(master);
        assert_eq!(
            node.sh(served),
            node.sh(serving),
            "{master} serves by what it had"
        );
    }
    assert_ne!(lab.node("master2").sh(served), before);
    assert_eq!(servers(lab), all_in(&["master1", "master2", "master3"]));
}

fn upgrades(lab: &Lab) {
    edit_inventory(
        &format!("kubernetes = \"{RELEASE}\""),
        &format!("kubernetes = \"{NEXT}\""),
    );
    for program in ["kubeadm", "kubelet", "kubectl"] {
        edit_inventory(
            &format!("{program}_{RELEASE}-1.1"),
            &format!("{program}_{NEXT}-1.1"),
        );
    }
    let said = fail(&["apply", "--yes", "--skip-preflight"]);
    assert!(said.contains("upgrade` brings the cluster there"), "{said}");

    // A node that the operator cordoned stays so.
    let first = lab.node("master1");
    kubectl(first, "cordon worker1");
    let traffic = Traffic::start(lab, "master1");
    let upgrade = ["upgrade", "--yes", "--session-wait", "1"];
    let mut one = Running::start(&upgrade);
    let at = one.line(|line| line.contains("upgrade the control plane of master1"));
    assert!(at.is_some(), "{}", one.end().1);
    // Its kubelet is still the old one: kubeadm and the control plane come first.
    assert_eq!(
        first.sh("kubelet --version").trim(),
        format!("Kubernetes v{RELEASE}")
    );
    let at = one.line(|line| line.contains("restart the kubelet of master1"));
    assert!(at.is_some(), "{}", one.end().1);
    one.kill();
    let is_kubelet_new = || {
        table(first)
            .lines()
            .any(|line| line.starts_with("master1 Ready") && line.contains(NEXT))
    };
    assert!(within(crate::wait::PATIENCE, || is_kubelet_new().then_some(())).is_some());
    assert_eq!(
        servers(lab),
        [
            ("master1".to_owned(), false),
            ("master2".to_owned(), true),
            ("master3".to_owned(), true)
        ],
        "it was cut off while master1 was out"
    );

    let said = succeed(&upgrade);
    traffic.end_well("an upgrade, cut off and gone on with");
    assert!(
        !said.contains("kubeadm upgrade apply"),
        "that was done:\n{said}"
    );
    assert_eq!(servers(lab), all_in(&["master1", "master2", "master3"]));
    let nodes = kubectl(first, "get nodes");
    assert_eq!(nodes.matches(&format!("v{NEXT}")).count(), 4, "{nodes}");
    assert_eq!(
        nodes.matches("SchedulingDisabled").count(),
        1,
        "worker1, and master1 not:\n{nodes}"
    );
    let marks = kubectl(first, "get nodes -l evenkeel-bootstrap/drained -o name");
    assert_eq!(marks, "");
    kubectl(first, "uncordon worker1");
    succeed(&["verify"]);
    let again = succeed(&upgrade);
    assert!(again.contains("0 steps done"), "{again}");
}

fn loses_a_master(lab: &mut Lab) {
    lab.node_mut("master1").cut_power();
    let second = lab.node("master2");
    let seen = within(Duration::from_secs(90), || {
        let said =
            second.try_sh("kubectl --kubeconfig /etc/kubernetes/admin.conf get node master1");
        String::from_utf8_lossy(&said.stdout)
            .contains(" NotReady ")
            .then_some(())
    });
    assert!(seen.is_some(), "nobody saw that master1 died");
    let said = succeed(&["remove", "master1", "--yes"]);
    assert!(
        said.contains("master1 does not answer: nothing is taken away there"),
        "{said}"
    );
    assert_eq!(members(second), ["master2", "master3"]);
    assert_eq!(servers(lab), all_in(&["master2", "master3"]));
    assert!(!kubectl(lab.node("master2"), "get nodes").contains("master1"));
    succeed(&["verify"]);

    // Of two voters none may be lost, and then none may be removed.
    lab.node_mut("master3").cut_power();
    for name in ["master2", "master3"] {
        let said = fail(&["remove", name, "--yes"]);
        assert!(said.contains("no API server answers"), "{said}");
    }
    assert!(has_entry("master2") && has_entry("master3"));
    lab.node_mut("master3").start();
    succeed(&["verify"]);
}

fn ends_and_begins(lab: &Lab) {
    succeed(&["reset", "--yes"]);
    for name in ["master2", "master3", "worker1"] {
        assert_clean(lab.node(name));
    }
    assert_eq!(
        servers(lab),
        [("master2".to_owned(), false), ("master3".to_owned(), false)]
    );
    let again = succeed(&["reset", "--yes"]);
    assert!(again.contains("0 steps done"), "{again}");
    succeed(&["apply", "--yes"]);
    let table = table(lab.node("master2"));
    assert_eq!(table.matches(" Ready ").count(), 3, "{table}");
    let said = bootstrap(&["verify"]).output().unwrap();
    assert!(said.status.success(), "{}", crate::operator::said(&said));
}
