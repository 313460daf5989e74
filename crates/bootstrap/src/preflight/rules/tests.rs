use std::collections::BTreeSet;

use super::*;
use crate::facts::{
    Certificate, ClusterFacts, ClusterNode, FileFacts, Interface, Listener, Mount, Os,
    PackageManager, RuntimeFacts, Unit,
};
use crate::inventory::{Cni, Surroundings, read};
use crate::preflight::{Advert, Outcome, Try};

const TEXT: &str = "\
[cluster]
domain = 'kube.com'
kubernetes = '1.36.2'
vip = '10.0.1.10'
[[node]]
name = 'lb'
role = 'lb'
address = '10.0.1.10'
[[node]]
name = 'm1'
role = 'control-plane'
address = '10.0.1.11'
[[node]]
name = 'm2'
role = 'control-plane'
address = '10.0.1.12'
[[node]]
name = 'm3'
role = 'control-plane'
address = '10.0.1.13'
[[node]]
name = 'w1'
role = 'worker'
address = '10.0.1.14'
";

/// As [`TEXT`], with a second balancer.
const SHARED: &str = "[[node]]\nname = 'lb2'\nrole = 'lb'\naddress = '10.0.1.20'\n";

struct World {
    inventory: Inventory,
    facts: Facts,
    reach: Reach,
}

impl World {
    /// Hosts at which there is nothing to be found.
    fn new(text: &str) -> Self {
        let source = evenkeel_config::Source {
            name: "cluster.toml".to_owned(),
            text: text.as_bytes().to_vec(),
        };
        let around = Surroundings {
            folder: std::path::Path::new("/"),
            home: None,
            is_file: &|_| true,
            mode: &|_| None,
            content: &|_| None,
        };
        let inventory = read(&source, &around).unwrap().inventory;
        let mut facts = Facts::default();
        for node in &inventory.nodes {
            facts.hosts.insert(node.name.clone(), Ok(healthy(node)));
        }
        Self {
            inventory,
            facts,
            reach: Reach::default(),
        }
    }

    fn host(&mut self, name: &str) -> &mut HostFacts {
        self.facts.hosts.get_mut(name).unwrap().as_mut().unwrap()
    }

    fn found(&self) -> Vec<Finding> {
        all(&self.inventory, &self.facts, &self.reach)
    }

    fn tried(&mut self, from: &str, to: &str, port: u16, outcome: Outcome) {
        let to = to.parse().unwrap();
        let node = self.inventory.nodes.iter().find(|node| node.address == to);
        self.reach.tries.push(Try {
            from: from.to_owned(),
            to,
            whose: node.map_or("the VIP".to_owned(), |node| node.name.clone()),
            port,
            outcome,
        });
    }
}

fn healthy(node: &Node) -> HostFacts {
    let active = Unit {
        enabled: true,
        active: true,
    };
    let number = node.address.to_string();
    HostFacts {
        hostname: node.name.clone(),
        machine_id: format!("id-{number}"),
        product_uuid: format!("uuid-{number}"),
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            mac: format!("mac-{number}"),
            addresses: vec![format!("{number}/24").parse().unwrap()],
            fleeting: Vec::new(),
        }],
        default_interface: "eth0".to_owned(),
        os: Os {
            id: "debian".to_owned(),
            version: "12".to_owned(),
            pretty: "Debian 12".to_owned(),
        },
        kernel: "6.1.0-18-amd64".to_owned(),
        arch: "x86_64".to_owned(),
        cpus: 2,
        memory_bytes: 4 << 30,
        modules: ["overlay".to_owned(), "br_netfilter".to_owned()].into(),
        cgroup_v2: true,
        package_manager: Some(PackageManager::Apt),
        units: [("chrony.service".to_owned(), active)].into(),
        route_to_vip: Some(node.address),
        mounts: [
            "/",
            "/var/lib/etcd",
            "/var/lib/containerd",
            "/var/lib/kubelet",
        ]
        .map(|path| Mount {
            path: path.to_owned(),
            free_bytes: 20 << 30,
        })
        .into(),
        systemd: true,
        runtime: RuntimeFacts {
            socket: true,
            ..RuntimeFacts::default()
        },
        ..HostFacts::default()
    }
}

fn listener(address: &str, port: u16, program: &str) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        port,
        program: program.to_owned(),
    }
}

fn member(name: &str, kubelet: &str) -> ClusterNode {
    ClusterNode {
        name: name.to_owned(),
        ready: true,
        control_plane: name.starts_with('m'),
        kubelet: kubelet.parse().ok(),
        ..ClusterNode::default()
    }
}

fn cluster(server: &str, nodes: Vec<ClusterNode>) -> Option<ClusterFacts> {
    Some(ClusterFacts {
        told_by: "m1".to_owned(),
        server: server.parse().ok(),
        nodes,
        ..ClusterFacts::default()
    })
}

/// A change to the world, and all that is found then: `severity host rule: the beginning of what`.
type Case = (fn(&mut World), &'static [&'static str]);

/// One balancer, three control planes, a worker.
static CASES: &[Case] = &[
    (|_| {}, &[]),
    (
        |world| {
            let why = "cannot be reached: timed out; is it on?".to_owned();
            world.facts.hosts.insert("m2".to_owned(), Err(why));
            world.facts.hosts.remove("w1");
        },
        &[
            "error m2 answers: cannot be reached: timed out",
            "error w1 answers: was not asked",
        ],
    ),
    (
        |world| {
            let why = "cannot be reached: timed out; is it on?".to_owned();
            world.facts.hosts.insert("w1".to_owned(), Err(why));
            world.facts.without.insert("w1".to_owned());
        },
        &["warning w1 answers: cannot be reached: timed out"],
    ),
    (
        |world| world.host("lb").systemd = false,
        &["error lb system: systemd is not"],
    ),
    (
        |world| world.host("m1").package_manager = None,
        &["error m1 system: Debian 12 has neither"],
    ),
    (
        |world| world.host("m1").os.id = "gentoo".to_owned(),
        &["note m1 system: Debian 12 is none of"],
    ),
    (
        |world| world.host("m1").arch = "armv7l".to_owned(),
        &["error m1 system: Kubernetes is not built for armv7l"],
    ),
    (
        |world| world.host("m1").kernel = "4.18.0-553.el8".to_owned(),
        &["warning m1 system: kernel 4.18.0-553.el8 is older"],
    ),
    (
        |world| world.host("w1").interfaces.clear(),
        &["error w1 system: its addresses cannot be seen"],
    ),
    (
        |world| world.host("m1").cpus = 1,
        &["error m1 size: has 1 processor, and kubeadm wants 2"],
    ),
    (
        |world| {
            world.host("m1").cpus = 1;
            world.host("m1").memory_bytes = 1 << 30;
            world.host("w1").cpus = 1;
            let ignored = ["NumCPU", "mem"].map(str::to_owned);
            world.inventory.kubeadm.ignore_preflight_errors = ignored.into();
        },
        &[],
    ),
    (
        |world| world.host("m1").memory_bytes = 1699 << 20,
        &["error m1 size: has 1699 MB of memory, and kubeadm wants 1700"],
    ),
    (
        |world| world.host("w1").memory_bytes = 512 << 20,
        &["warning w1 size: has 512 MB"],
    ),
    (
        |world| world.host("m1").mounts[1].free_bytes = 5 << 20,
        &["error m1 room: 5 MiB are free for /var/lib/etcd; 1024"],
    ),
    (
        |world| world.host("w1").mounts[2].free_bytes = 3 << 30,
        &["warning w1 room: 3072 MiB are free for /var/lib/containerd"],
    ),
    (
        |world| world.host("m3").clock_ahead_ms = -61_000,
        &["error m3 clock: its clock is 61.0 s behind"],
    ),
    (
        |world| world.host("m3").clock_ahead_ms = 1500,
        &["warning m3 clock: its clock is 1.5 s ahead of"],
    ),
    (|world| world.host("m3").clock_ahead_ms = 900, &[]),
    (
        |world| {
            for name in ["lb", "m1", "m2", "m3", "w1"] {
                world.host(name).clock_ahead_ms = 90_000;
            }
        },
        &["note (cluster) clock: this machine's own clock is 90.0 s off"],
    ),
    (
        |world| world.host("w1").units.clear(),
        &["warning w1 clock: no time service"],
    ),
    (
        |world| {
            let unit = Unit {
                enabled: true,
                active: true,
            };
            world
                .host("m1")
                .units
                .insert("firewalld.service".to_owned(), unit);
        },
        &["note m1 firewall: firewalld filters"],
    ),
    (
        |world| world.host("m2").machine_id = "id-10.0.1.11".to_owned(),
        &["error m2 identity: m1 and m2 have the same machine-id, id-10.0.1.11"],
    ),
    (
        |world| {
            for name in ["m2", "m3"] {
                world.host(name).product_uuid = "uuid-10.0.1.11".to_owned();
            }
        },
        &["warning m3 identity: m1, m2 and m3 have the same product_uuid"],
    ),
    (
        |world| world.host("w1").interfaces[0].mac = "mac-10.0.1.10".to_owned(),
        &["error w1 identity: lb and w1 have the same MAC address"],
    ),
    (|world| world.host("w1").machine_id.clear(), &[]),
    (
        |world| world.host("w1").hostname = "debian".to_owned(),
        &["note w1 hostname: is called 'debian'"],
    ),
    (
        |world| {
            world.host("m2").interfaces[0].addresses = vec!["10.0.9.9/24".parse().unwrap()];
        },
        &["error m2 address: does not have the address 10.0.1.12; it has 10.0.9.9"],
    ),
    (
        |world| {
            let text = "127.0.1.1 w1\n10.9.9.9 m1.kube.com m1x # m2\n10.0.1.12 m2\n\
                        # BEGIN evenkeel-bootstrap\n10.5.5.5 lb\n# END evenkeel-bootstrap\n10.6.6.6 lb\n";
            let file = FileFacts {
                text: Some(text.to_owned()),
                ..FileFacts::default()
            };
            world.host("w1").files.insert("/etc/hosts".to_owned(), file);
        },
        &[
            "warning w1 names: /etc/hosts gives m1.kube.com the address 10.9.9.9",
            "warning w1 names: /etc/hosts gives lb the address 10.6.6.6",
        ],
    ),
    (
        |world| {
            let file = crate::facts::FileFacts::default();
            world.host("w1").files.insert("/etc/hosts".to_owned(), file);
        },
        &["error w1 files: its /etc/hosts is not UTF-8, or larger than 1 MiB"],
    ),
    (
        |world| {
            let unit = crate::facts::Unit {
                enabled: true,
                active: true,
            };
            let units = &mut world.host("w1").units;
            units.insert("zramswap.service".to_owned(), unit);
        },
        &["note w1 swap: zramswap.service brings swap at boot"],
    ),
    (
        |world| {
            let text = "# hardened\nnet/ipv4/ip_forward = 0\nnet.ipv6.conf.all.forwarding=0\n";
            let file = crate::facts::FileFacts {
                text: Some(text.to_owned()),
                ..crate::facts::FileFacts::default()
            };
            let files = &mut world.host("w1").files;
            files.insert("/etc/sysctl.d/50-before.conf".to_owned(), file.clone());
            files.insert("/etc/sysctl.d/99-hardening.conf".to_owned(), file);
        },
        &["warning w1 sysctls: /etc/sysctl.d/99-hardening.conf sets net.ipv4.ip_forward to 0"],
    ),
    (
        |world| {
            let network = "fd00::/48".parse().unwrap();
            world.inventory.pod_cidrs.push(network);
            let key = "net.ipv6.conf.all.forwarding".to_owned();
            world.host("w1").sysctls.insert(key, "0".to_owned());
            world.host("w1").default_by_advert = true;
        },
        &[
            "warning w1 sysctls: its IPv6 default route comes from a router's adverts",
            "note w1 sysctls: off in its kernel: net.ipv6.conf.all.forwarding",
        ],
    ),
    (
        |world| {
            "enforcing".clone_into(&mut world.host("w1").selinux);
            "enforcing".clone_into(&mut world.host("lb").selinux);
        },
        &["warning w1 selinux: SELinux is enforcing"],
    ),
    (
        |world| {
            world.inventory.runtime.managed = true;
            let os = &mut world.host("w1").os;
            "rocky".clone_into(&mut os.id);
            "Rocky Linux 9.4".clone_into(&mut os.pretty);
            world.host("w1").programs.remove("containerd");
        },
        &["error w1 runtime: Rocky Linux 9.4 has no package containerd in its repositories"],
    ),
    (
        |world| {
            world.host("lb").not_understood.push("LISTEN x".to_owned());
        },
        &["note lb system: a line of ss or ip is not understood: LISTEN x"],
    ),
    (
        |world| {
            world.host("lb").swaps.push("/dev/sda2".to_owned());
            world.host("w1").swaps.push("/dev/sda2".to_owned());
        },
        &["note w1 swap: swap is on: /dev/sda2"],
    ),
    (
        |world| {
            world.host("w1").swaps.push("/dev/sda2".to_owned());
            world.host("w1").container = "lxc".to_owned();
        },
        &[
            "error w1 swap: swap is on: /dev/sda2, which is that of the machine that runs this container (lxc)",
        ],
    ),
    (
        |world| {
            world.host("w1").swaps.push("/dev/sda2".to_owned());
            world
                .inventory
                .kubeadm
                .kubelet
                .insert("failSwapOn".to_owned(), false.into());
        },
        &[],
    ),
    (
        |world| {
            world.host("w1").modules.remove("overlay");
        },
        &["note w1 modules: the kernel module overlay is not loaded"],
    ),
    (
        |world| {
            world.host("w1").modules.clear();
            world
                .host("w1")
                .absent_modules
                .insert("br_netfilter".to_owned());
        },
        &[
            "error w1 modules: its kernel 6.1.0-18-amd64 has no module br_netfilter",
            "note w1 modules: the kernel module overlay",
        ],
    ),
    (
        |world| {
            for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
                world
                    .host("m1")
                    .sysctls
                    .insert(key.to_owned(), "0".to_owned());
            }
        },
        &["note m1 sysctls: off in its kernel: net.ipv4.ip_forward"],
    ),
    (
        |world| world.host("m1").cgroup_v2 = false,
        &["error m1 cgroups: it has cgroup v1, which kubelet refuses"],
    ),
    (
        |world| {
            world.host("m1").cgroup_v2 = false;
            world
                .inventory
                .kubeadm
                .kubelet
                .insert("failCgroupV1".to_owned(), false.into());
        },
        &["warning m1 cgroups: it has cgroup v1, which Kubernetes is giving up"],
    ),
    (
        |world| {
            world.inventory.runtime.managed = false;
            world.host("m1").runtime.socket = false;
            world
                .host("m2")
                .programs
                .insert("containerd".to_owned(), "1.7.2".to_owned());
            let settings = |systemd: bool| {
                format!(
                    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = {systemd}\n"
                )
            };
            world.host("m2").runtime.settings = settings(false);
            world
                .host("m3")
                .programs
                .insert("containerd".to_owned(), "2.1.0".to_owned());
            world.host("m3").runtime.settings =
                "disabled_plugins = [\n\"cri\",\n]\n".to_owned() + &settings(true);
        },
        &[
            "error m1 runtime: no container runtime answers at unix:///var/run/containerd/containerd.sock",
            "error m2 runtime: the cgroup driver of containerd's runtime runc is cgroupfs, and kubelet's systemd",
            "error m3 runtime: containerd's part for Kubernetes is switched off",
        ],
    ),
    (
        |world| {
            world
                .host("w1")
                .programs
                .insert("containerd".to_owned(), "1.4.13~ds1".to_owned());
        },
        &["error w1 runtime: containerd 1.4 is older than 1.6"],
    ),
    (
        |world| {
            world.inventory.kubernetes = "1.37.1".parse().unwrap();
            world
                .host("w1")
                .programs
                .insert("containerd".to_owned(), "1.7.2".to_owned());
        },
        &["warning w1 runtime: containerd 1.7.2 cannot tell kubelet"],
    ),
    (
        |world| {
            world
                .host("w1")
                .programs
                .insert("kubelet".to_owned(), "v1.37.0".to_owned());
        },
        &["error w1 programs: kubelet v1.37.0 is installed, which is newer than v1.36.2"],
    ),
    (
        |world| {
            world
                .host("w1")
                .programs
                .insert("kubeadm".to_owned(), "v1.35.0".to_owned());
        },
        &["note w1 programs: kubeadm v1.35.0 is installed"],
    ),
    (
        |world| {
            world.inventory.artefacts.offline = true;
            for name in ["m1", "m2", "m3", "w1"] {
                for program in ["kubeadm", "kubelet", "kubectl", "containerd"] {
                    world
                        .host(name)
                        .programs
                        .insert(program.to_owned(), "v1.36.2".to_owned());
                }
            }
            world.inventory.runtime.managed = true;
            world.host("w1").programs.clear();
        },
        &[
            "error lb files: evenkeel is not installed, and the site is offline",
            "error w1 programs: kubeadm v1.36.2 is not installed, and the site is offline",
            "error w1 programs: kubelet v1.36.2 is not installed",
            "error w1 programs: kubectl v1.36.2 is not installed",
            "error w1 programs: containerd is not installed, and the site is offline",
        ],
    ),
    (
        |world| {
            world
                .host("m1")
                .listeners
                .push(listener("0.0.0.0", 6443, "nginx"))
        },
        &["error m1 ports: port 6443 is taken by nginx"],
    ),
    (
        |world| {
            world
                .host("w1")
                .listeners
                .push(listener("127.0.0.1", 10250, ""))
        },
        &["error w1 ports: port 10250 is taken"],
    ),
    (
        |world| {
            world
                .host("w1")
                .listeners
                .push(listener("0.0.0.0", 6443, "nginx"))
        },
        &[],
    ),
    (
        |world| {
            let ports = [6443, 2379, 10250];
            for port in ports {
                world
                    .host("m1")
                    .listeners
                    .push(listener("::", port, "kube-apiserver"));
            }
            let kube = &mut world.host("m1").kube;
            (kube.apiserver_manifest, kube.kubelet_conf, kube.admin_conf) = (true, true, true);
            world.facts.cluster = cluster("v1.36.2", vec![member("m1", "v1.36.2")]);
        },
        &[],
    ),
    (
        |world| {
            world
                .host("lb")
                .listeners
                .push(listener("0.0.0.0", 6443, "haproxy"))
        },
        &["error lb ports: port 6443 is taken by haproxy"],
    ),
    (
        |world| {
            world
                .host("lb")
                .listeners
                .push(listener("10.0.1.10", 6443, "evenkeel"))
        },
        &[],
    ),
    (
        |world| {
            world
                .host("lb")
                .listeners
                .push(listener("10.0.1.99", 6443, "nginx"))
        },
        &[],
    ),
    (
        |world| {
            world
                .host("lb")
                .listeners
                .push(listener("127.0.0.1", 8404, "python3"))
        },
        &["error lb ports: port 8404 is taken by python3"],
    ),
    (
        |world| {
            world.tried("m1", "10.0.1.12", 2379, Outcome::Silent);
            world.tried("m1", "10.0.1.12", 2380, Outcome::Silent);
            world.tried("m1", "10.0.1.12", 6443, Outcome::Refused);
            world.tried("m1", "10.0.1.13", 6443, Outcome::Open);
            world.tried(
                "w1",
                "10.0.1.11",
                6443,
                Outcome::Rejected("No route to host".to_owned()),
            );
            world.tried(
                "m2",
                "10.0.1.11",
                6443,
                Outcome::Untried("neither bash".to_owned()),
            );
        },
        &[
            "error m1 reach: gets no answer from m2 (10.0.1.12) at ports 2379, 2380: packets are dropped",
            "error w1 reach: cannot connect to m1 (10.0.1.11) at port 6443: No route to host",
            "note m2 reach: could not try to connect to m1 (10.0.1.11) at port 6443: neither bash",
        ],
    ),
    (
        |world| {
            let unit = Unit {
                enabled: true,
                active: true,
            };
            world
                .host("m2")
                .units
                .insert("ufw.service".to_owned(), unit);
            world.tried("m1", "10.0.1.12", 6443, Outcome::Silent);
        },
        &[
            "error m1 reach: gets no answer from m2",
            "warning m2 firewall: ufw filters",
        ],
    ),
    (
        |world| {
            let certificate = |name: &str, day: &str, days_left| Certificate {
                name: name.to_owned(),
                ends: format!("{day}T00:00:00Z").parse().unwrap(),
                days_left,
            };
            world.host("m1").certificates = vec![
                certificate("apiserver", "2027-03-02", 29),
                certificate("etcd-peer", "2027-03-01", 28),
                certificate("admin.conf", "2027-04-01", 59),
            ];
            world.host("m2").certificates = vec![
                certificate("apiserver", "2027-01-31", -1),
                certificate("etcd-peer", "2027-05-01", 89),
            ];
        },
        &[
            "warning m1 certificates: certificates end from 2027-03-01 on: apiserver, etcd-peer",
            "warning m2 certificates: certificates ended on 2027-01-31, the first of: apiserver",
        ],
    ),
    (
        |world| world.host("w1").route_to_vip = None,
        &["error w1 route: has no route to the VIP 10.0.1.10"],
    ),
    (
        |world| {
            world.inventory.endpoint.vip = "10.0.1.99".parse().unwrap();
            world.tried("m1", "10.0.1.99", 6443, Outcome::Silent);
        },
        &["error lb vip: is the only balancer and does not have the VIP 10.0.1.99"],
    ),
    (
        |world| {
            let link = &mut world.host("w1").interfaces[0];
            link.addresses.push("10.0.1.10/32".parse().unwrap());
        },
        &["error w1 vip: has the VIP 10.0.1.10, which is the balancer's"],
    ),
    (
        |world| {
            let link = |name: &str, address: &str| Interface {
                name: name.to_owned(),
                mac: String::new(),
                addresses: vec![address.parse().unwrap()],
                fleeting: Vec::new(),
            };
            world.host("w1").interfaces.push(link("eth1", "10.0.0.1/8"));
            world
                .host("w1")
                .interfaces
                .push(link("lo", "10.96.0.10/32"));
            world
                .host("m1")
                .interfaces
                .push(link("cni0", "10.244.0.1/24"));
        },
        &[
            "error w1 networks: its eth1 is in 10.0.0.0/8, which overlaps the pod network 10.244.0.0/16",
            "error w1 networks: its eth1 is in 10.0.0.0/8, which overlaps the service network 10.96.0.0/12",
        ],
    ),
    (
        |world| world.host("w1").default_interface = "nat0".to_owned(),
        &["warning w1 interface: its default route leaves by nat0"],
    ),
    (
        |world| world.host("w1").default_interface.clear(),
        &["warning w1 interface: has no default route"],
    ),
    (
        |world| {
            world.host("w1").default_interface.clear();
            world.inventory.cni = Cni::None;
        },
        &[],
    ),
    (
        |world| {
            let proxies = &mut world.host("w1").proxies;
            proxies.insert("HTTPS_PROXY".to_owned(), "http://p:3128".to_owned());
            proxies.insert(
                "NO_PROXY".to_owned(),
                "localhost, 10.0.1.11,10.244.0.0/16".to_owned(),
            );
        },
        &[
            "error w1 proxy: HTTPS_PROXY (http://p:3128) would catch 10.0.1.10, 10.0.1.12, 10.0.1.13",
        ],
    ),
    (
        |world| {
            let proxies = &mut world.host("w1").proxies;
            proxies.insert("HTTPS_PROXY".to_owned(), "http://p:3128".to_owned());
            proxies.insert("NO_PROXY".to_owned(), "10.0.1.0/24".to_owned());
        },
        &[
            "warning w1 proxy: HTTPS_PROXY (http://p:3128) would catch pods and services in 10.244.0.0/16, 10.96.0.0/12",
        ],
    ),
    (
        |world| {
            let proxies = &mut world.host("w1").proxies;
            proxies.insert("HTTPS_PROXY".to_owned(), "http://p:3128".to_owned());
            proxies.insert("NO_PROXY".to_owned(), "*".to_owned());
        },
        &[],
    ),
    (
        |world| world.host("w1").kube.kubelet_conf = true,
        &["error w1 leftovers: has joined a cluster, and no control plane"],
    ),
    (
        |world| world.host("m1").kube.admin_conf = true,
        &["error m1 leftovers: was a control plane, and its API server"],
    ),
    (
        |world| world.host("lb").kube.kubelet_conf = true,
        &["warning lb leftovers: is a node of some cluster"],
    ),
    (
        |world| {
            world.facts.cluster = cluster("v1.36.2", vec![member("m1", "v1.36.2")]);
            world.host("w1").kube.kubelet_conf = true;
        },
        &["error w1 leftovers: carries a node of another cluster"],
    ),
    (
        |world| {
            world.host("m2").kube.begun = "join".to_owned();
            world.host("m2").kube.kubelet_conf = true;
            world
                .host("m2")
                .listeners
                .push(listener("::", 10250, "kubelet"));
        },
        &["note m2 begun: 'kubeadm join' was begun"],
    ),
    (
        |world| {
            let folder = "/etc/kubernetes/patches".to_owned();
            world.reach.without_patches.insert("m2".to_owned(), folder);
        },
        &["error m2 patches: there is no folder /etc/kubernetes/patches"],
    ),
    (
        |world| world.facts.cluster = cluster("v1.35.1", vec![]),
        &["error (cluster) versions: the cluster runs v1.35.1, and cluster.toml says v1.36.2"],
    ),
    (
        |world| world.facts.cluster = cluster("v1.36.1", vec![]),
        &["warning (cluster) versions: the cluster runs v1.36.1"],
    ),
    (
        |world| {
            let nodes = vec![
                member("m1", "v1.37.0"),
                member("m2", "v1.33.0"),
                member("w1", "v1.32.9"),
            ];
            world.facts.cluster = cluster("v1.36.2", nodes);
        },
        &[
            "error m1 versions: its kubelet v1.37.0 is newer than the API server v1.36.2",
            "error w1 versions: its kubelet v1.32.9 is more than 3 minor releases older",
        ],
    ),
    (
        |world| world.inventory.nodes.retain(|node| node.name != "m3"),
        &["warning (cluster) voters: two control planes are two etcd voters"],
    ),
];

/// As above, with a second balancer, and the VIP on none.
static SHARED_CASES: &[Case] = &[
    (
        |world| {
            world.inventory.artefacts.offline = true;
            world.inventory.artefacts.packages = vec!["kubeadm.deb".into()];
            world.inventory.balancer.package = Some("evenkeel.deb".into());
            world
                .host("lb2")
                .programs
                .insert("keepalived".to_owned(), "v2.2.7".to_owned());
        },
        &["error lb keepalived: keepalived is not installed, and the site is offline"],
    ),
    (
        |world| {
            world.inventory.artefacts.offline = true;
            world.inventory.artefacts.packages = vec!["kubeadm.deb".into()];
            world.inventory.balancer.package = Some("evenkeel.deb".into());
            let vrrp = world.inventory.vrrp.as_mut().unwrap();
            vrrp.packages = vec!["keepalived.deb".into()];
        },
        &[],
    ),
    (|_| {}, &[]),
    (
        |world| world.tried("w1", "10.0.1.9", 6443, Outcome::Silent),
        &[],
    ),
    (
        |world| world.tried("w1", "10.0.1.9", 6443, Outcome::Refused),
        &["error w1 vip: somebody answers at the VIP 10.0.1.9"],
    ),
    (
        |world| {
            let link = &mut world.host("lb2").interfaces[0];
            link.addresses.push("10.0.1.9/32".parse().unwrap());
            world.tried("w1", "10.0.1.9", 6443, Outcome::Silent);
        },
        &["error w1 reach: gets no answer from the VIP (10.0.1.9) at port 6443"],
    ),
    (
        |world| {
            let advert = |from: &str, router_id| Advert {
                from: from.parse().unwrap(),
                router_id,
            };
            let heard = vec![
                advert("10.0.1.20", 9),
                advert("10.0.1.77", 9),
                advert("10.0.1.78", 51),
            ];
            world.reach.adverts.insert("lb".to_owned(), Ok(heard));
            world
                .reach
                .adverts
                .insert("lb2".to_owned(), Err("neither tcpdump".to_owned()));
        },
        &[
            "error lb vrrp: 10.0.1.77 sends adverts with the virtual router id 9",
            "note lb2 vrrp: could not listen for adverts of other routers with id 9: neither tcpdump",
        ],
    ),
];

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_else() {
    let shared = format!(
        "{}{SHARED}",
        TEXT.replace("vip = '10.0.1.10'", "vip = '10.0.1.9'")
    );
    let mut heard = BTreeSet::new();
    for (text, cases) in [(TEXT, CASES), (&shared, SHARED_CASES)] {
        for (number, (change, expected)) in cases.iter().enumerate() {
            let mut world = World::new(text);
            change(&mut world);
            let found = world.found();
            let lines: Vec<_> = found
                .iter()
                .map(|finding| {
                    let severity = format!("{:?}", finding.severity).to_lowercase();
                    let host = match finding.host.as_str() {
                        "" => "(cluster)",
                        host => host,
                    };
                    format!("{severity} {host} {}: {}", finding.rule, finding.what)
                })
                .collect();
            let agree = lines.len() == expected.len()
                && lines
                    .iter()
                    .zip(*expected)
                    .all(|(line, start)| line.starts_with(start));
            assert!(
                agree,
                "case {number}: found {lines:#?}, expected {expected:#?}"
            );
            for finding in found {
                let is_complete = !finding.what.is_empty() && !finding.fix.is_empty();
                assert!(is_complete, "a finding without a way out: {finding:?}");
                heard.insert(finding.rule);
            }
        }
    }
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(rules.len(), RULES.len());
    assert_eq!(heard, rules);
}

#[test]
fn the_reference_is_printed_from_the_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/preflight.md");
    let page = preflight_markdown();
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let on_disk = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        on_disk == page,
        "docs/preflight.md differs; write it anew with EVENKEEL_BLESS=1"
    );
}
