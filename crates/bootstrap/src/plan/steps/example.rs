//! The cluster of the documentation, for tests.

use std::time::Duration;

use crate::facts::{ClusterFacts, ClusterNode, Facts, HostFacts};
use crate::inventory::{
    Artefacts, Balancer, Cni, Endpoint, Inventory, KubeadmPatches, Node, Role, Runtime, Source,
    Ssh, Transport,
};

/// lb, two masters, two workers.
pub(crate) fn inventory() -> Inventory {
    let node = |name: &str, role: Role, last: u8| Node {
        name: name.to_owned(),
        role,
        address: [10, 0, 1, last].into(),
        transport: Transport::Ssh(Ssh {
            host: format!("10.0.1.{last}"),
            user: None,
            port: None,
            key: None,
            bastion: None,
            config: None,
            sudo: false,
            connect_timeout: Duration::from_secs(10),
        }),
    };
    Inventory {
        name: "kube".to_owned(),
        domain: "kube.com".to_owned(),
        kubernetes: "1.36.2".parse().expect("a version"),
        endpoint: Endpoint {
            vip: [10, 0, 1, 10].into(),
            port: 6443,
        },
        pod_cidrs: vec!["10.244.0.0/16".parse().expect("a network")],
        service_cidrs: vec!["10.96.0.0/12".parse().expect("a network")],
        dns_domain: "cluster.local".to_owned(),
        cni: Cni::Flannel {
            manifest: Source::File("kube-flannel.yml".into()),
        },
        runtime: Runtime {
            socket: "unix:///var/run/containerd/containerd.sock".to_owned(),
            managed: true,
            package: "containerd".to_owned(),
        },
        balancer: Balancer {
            package: None,
            binary: None,
            admin: "127.0.0.1:8404".to_owned(),
        },
        vrrp: None,
        kubeadm: KubeadmPatches::default(),
        artefacts: Artefacts::default(),
        nodes: vec![
            node("lb", Role::Balancer, 10),
            node("master1", Role::ControlPlane, 11),
            node("master2", Role::ControlPlane, 12),
            node("worker1", Role::Worker, 13),
            node("worker2", Role::Worker, 14),
        ],
    }
}

/// Hosts on which kubeadm has not been.
pub(crate) fn bare(inventory: &Inventory) -> Facts {
    let hosts = inventory.nodes.iter();
    Facts {
        hosts: hosts
            .map(|node| (node.name.clone(), Ok(HostFacts::default())))
            .collect(),
        ..Facts::default()
    }
}

/// What is found when these nodes have joined, told by the first of them.
pub(crate) fn joined(inventory: &Inventory, names: &[&str]) -> Facts {
    let mut facts = bare(inventory);
    let mut cluster = ClusterFacts {
        told_by: names[0].to_owned(),
        server: Some(inventory.kubernetes),
        config_maps: ["kubeadm-config", "cluster-info"].map(str::to_owned).into(),
        ..ClusterFacts::default()
    };
    for name in names {
        let node = inventory.node(name).expect("it is in the inventory");
        let control_plane = node.role == Role::ControlPlane;
        let found = host(&mut facts, name);
        found.kube.kubelet_conf = true;
        found.kube.ca = Some("the CA".to_owned());
        if control_plane {
            found.kube.admin_conf = true;
            found.kube.apiserver_manifest = true;
            found.kube.etcd_data = true;
            cluster.etcd_members.insert((*name).to_owned());
            cluster.answering.insert((*name).to_owned());
        }
        cluster.nodes.push(ClusterNode {
            name: (*name).to_owned(),
            ready: true,
            control_plane,
            kubelet: Some(inventory.kubernetes),
            addresses: vec![node.address],
            ..ClusterNode::default()
        });
    }
    facts.cluster = Some(cluster);
    facts
}

/// One host's facts, to be changed.
pub(crate) fn host<'a>(facts: &'a mut Facts, name: &str) -> &'a mut HostFacts {
    facts
        .hosts
        .get_mut(name)
        .and_then(|host| host.as_mut().ok())
        .expect("it is there and answers")
}

/// A folder with programs of the test's own, for scripts that would call the real ones.
pub(crate) struct Stubs(std::path::PathBuf);

impl Stubs {
    /// An empty one; `name` is the test's.
    pub(crate) fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("evenkeel-stubs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
        Self(folder)
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A program of this name, a shell script.
    pub(crate) fn with(self, program: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path(program);
        std::fs::write(&path, format!("#!/bin/sh\n{script}")).expect("it can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("it is ours");
        self
    }

    /// Runs a script that finds these programs first.
    pub(crate) fn run(&self, script: &str) -> std::process::Output {
        let path = std::env::var("PATH").unwrap_or_default();
        std::process::Command::new("sh")
            .args(["-eu", "-c", script])
            .env("PATH", format!("{}:{path}", self.0.display()))
            .output()
            .expect("sh runs")
    }
}

impl Drop for Stubs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
