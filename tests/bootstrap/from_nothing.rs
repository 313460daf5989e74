//! `evenkeel-bootstrap apply` where all goes well: from machines that nobody has touched to the table, one of
//! them late; what each step leaves on them; and again.

use std::time::Instant;

use crate::by_hand::{TABLE, table};
use crate::lab::{FIVE, Lab, with_lab};
use crate::node::Node;
use crate::operator::{succeed, write_inventory};

#[test]
fn nothing_becomes_the_table_and_a_second_apply_changes_nothing() {
    let name = "from_nothing::nothing_becomes_the_table_and_a_second_apply_changes_nothing";
    with_lab(name, FIVE, |lab| {
        write_inventory(lab, "admin");
        let began = Instant::now();
        let said = crate::down::worker_from_the_beginning(lab);
        eprintln!("from nothing, one machine late: {:.1?}", began.elapsed());
        assert!(verified(&said), "{said}");
        assert_eq!(table(lab.node("master1")), TABLE);
        let found = lab.nodes().iter().map(found);
        assert_eq!(
            found.collect::<Vec<_>>(),
            lab.nodes()
                .iter()
                .map(|node| wanted(lab, node))
                .collect::<Vec<_>>()
        );
        let before: Vec<_> = lab.nodes().iter().map(everything).collect();
        let began = Instant::now();
        let again = succeed(&["apply", "--yes"]);
        eprintln!("again: {:.1?}", began.elapsed());
        assert!(again.contains("0 steps done"), "{again}");
        assert!(verified(&again), "{again}");
        for (node, before) in lab.nodes().iter().zip(before) {
            assert_eq!(everything(node), before, "{}", node.name());
        }
        let began = Instant::now();
        crate::operate::soon_after(lab);
        eprintln!("operated: {:.1?}", began.elapsed());
    });
}

/// Whether the report of `verify` was printed, with the table under it.
fn verified(said: &str) -> bool {
    said.contains("worker2   Ready")
}

/// What steps leave on a machine, in its own words.
fn found(node: &Node) -> String {
    node.sh(
        "hostname
         sed -n '/^# BEGIN evenkeel-bootstrap/,/^# END evenkeel-bootstrap/p' /etc/hosts
         grep -c '^127.0.0.1 localhost' /etc/hosts
         cat /etc/modules-load.d/90-evenkeel-bootstrap.conf /etc/sysctl.d/90-evenkeel-bootstrap.conf 2>/dev/null
         apt-mark showhold
         grep -h SystemdCgroup /etc/containerd/config.toml 2>/dev/null
         grep -h '^master' /etc/evenkeel/evenkeel.toml 2>/dev/null
         for unit in containerd kubelet evenkeel; do systemctl -q is-enabled $unit 2>/dev/null && echo $unit; done
         find /root/.evenkeel-bootstrap /var/lib/evenkeel-bootstrap -type f 2>/dev/null || :",
    )
}

/// The same, as the documentation has it.
fn wanted(lab: &Lab, node: &Node) -> String {
    let mut text = format!("{}\n# BEGIN evenkeel-bootstrap\n", node.name());
    for node in lab.nodes() {
        text += &format!("{} {1}.kube.com {1}\n", node.address(), node.name());
    }
    text += "# END evenkeel-bootstrap\n1\n";
    text += match node.name() {
        // With a word on which package was installed.
        "lb" => {
            "\
master1 = \"10.0.1.11:6443\"
master2 = \"10.0.1.12:6443\"
evenkeel
/var/lib/evenkeel-bootstrap/files/evenkeel.installed
"
        }
        _ => {
            "\
overlay
br_netfilter
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.ipv4.ip_forward = 1
kubeadm
kubectl
kubelet
SystemdCgroup = true
containerd
kubelet
"
        }
    };
    text
}

/// Every file of the folders that belong to operators and packages, with its time and content.
fn everything(node: &Node) -> String {
    node.sh("find /etc /root /opt /usr -xdev -type f -printf '%p %m %u %T@ %s\\n' | sort; find /etc /root -xdev -type f -exec sha256sum {} + | sort")
}
