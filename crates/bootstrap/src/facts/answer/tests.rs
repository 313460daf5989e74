use super::*;

const ASKED: Asked = Asked {
    from_ms: 1_795_778_863_000,
    to_ms: 1_795_778_865_000,
};

/// What a control plane of Debian 12 said, with most of its many lines left out.
const ANSWER: &str = "Last login: Fri Nov 27\n\
evenkeel-facts-1\n\
clock\t1795778863.350000000\n\
module\toverlay\n\
module-absent\tbr_netfilter\n\
hostname\tmaster1\n\
machine-id\t0f2c9d4cf7d54f6a9c4d4f5d7a1c6b11\n\
product-uuid\t4C4C4544-0042-4810-8052-B4C04F4B5931\n\
kernel\t6.1.0-18-amd64\n\
arch\tx86_64\n\
cpus\t2\n\
memory\t4025856\n\
container\tlxc\n\
swap\t/dev/sda5\n\
os\tPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n\
os\tVERSION_ID=\"12\"\n\
os\tID=debian\n\
os\tID=other\n\
sysctl\tnet.ipv4.ip_forward=1\n\
cgroup\t2\n\
systemd\tyes\n\
selinux\t0\n\
link\t1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n\
link\t2: eth0@if9: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default \\    link/ether 02:FC:00:00:00:01 brd ff:ff:ff:ff:ff:ff link-netnsid 0\n\
address\t1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
address\t2: eth0    inet 10.0.1.11/24 brd 10.0.1.255 scope global eth0\\       valid_lft forever preferred_lft forever\n\
address\t2: eth0    inet6 fe80::fc:ff:fe00:1/64 scope link \\       valid_lft forever preferred_lft forever\n\
address\t3: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0\\       valid_lft forever preferred_lft forever\n\
route\t10.0.1.10 dev eth0 src 10.0.1.11 uid 0 \\    cache \n\
default-route\tdefault via 10.0.1.1 dev eth0 onlink \n\
listener\tLISTEN 0      4096      10.0.1.11:6443      0.0.0.0:*    users:((\"kube-apiserver\",pid=2101,fd=3))\n\
bound\t00000000:0016\n\
package-manager\tapt\n\
package\tkubeadm 1.36.2-1.1\n\
package\tkubelet 1.36.2-1.1\n\
held\tkubeadm\n\
held\tlinux-image-amd64\n\
unconfigured\tkubelet\n\
image\tregistry.k8s.io/pause:3.10\n\
program\tcontainerd containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1 \n\
program\tkubeadm v1.36.2 \n\
program\tkubelet Kubernetes v1.36.2 \n\
program\tkubectl Client Version: v1.36.2 Kustomize Version: v5.7.1 \n\
program\tkeepalived Keepalived v2.2.7 (01/16,2022)  Copyright(C) 2001-2022 \n\
program\tevenkeel \n\
runtime\tsettings dmVyc2lvbiA9IDIK\n\
runtime\tsandbox-image \"registry.k8s.io/pause:3.6\"\n\
runtime\tsocket yes\n\
unit\tkubelet.service LoadState=loaded ActiveState=activating UnitFileState=enabled \n\
unit\tevenkeel.service LoadState=not-found ActiveState=inactive UnitFileState= \n\
unit\tcontainerd.service LoadState=loaded ActiveState=active UnitFileState=disabled \n\
proxy\thttps_proxy=http://old:3128\n\
proxy\texport HTTPS_PROXY=\"http://proxy:3128\"\n\
proxy\tNO_PROXY=\n\
room\t123456 /\n\
room\t\n\
file\t644 aa MTI3LjAuMC4xIGxvY2FsaG9zdAo= /etc/hosts\n\
file\t600 bb - /etc/with space\n\
file\t644 cc = /etc/empty\n\
file\t644 dd /w== /etc/latin\n\
kube\t/etc/kubernetes/admin.conf\n\
kube\t/etc/kubernetes/kubelet.conf\n\
kube\t/etc/kubernetes/manifests/kube-apiserver.yaml\n\
kube\t/var/lib/etcd/member\n\
begun\tjoin\n\
ca\tLS0tLS0=\n\
clock\t1795778864.850000000\n\
evenkeel-facts-end\n\
logout\n";

#[test]
fn every_line_becomes_a_value() {
    let facts = read(ANSWER, ASKED).unwrap();
    assert_eq!(facts.hostname, "master1");
    assert_eq!(facts.machine_id, "0f2c9d4cf7d54f6a9c4d4f5d7a1c6b11");
    assert_eq!(facts.product_uuid, "4c4c4544-0042-4810-8052-b4c04f4b5931");
    assert_eq!(
        (facts.kernel.as_str(), facts.arch.as_str()),
        ("6.1.0-18-amd64", "x86_64")
    );
    assert_eq!((facts.cpus, facts.memory_bytes), (2, 4_025_856 * 1024));
    assert_eq!(facts.swaps, ["/dev/sda5"]);
    assert_eq!(facts.container, "lxc");
    assert_eq!(facts.os.id, "debian");
    assert_eq!(facts.os.version, "12");
    assert_eq!(facts.os.pretty, "Debian GNU/Linux 12 (bookworm)");
    assert!(facts.modules.contains("overlay"));
    assert!(facts.absent_modules.contains("br_netfilter"));
    assert_eq!(facts.sysctls["net.ipv4.ip_forward"], "1");
    assert!(facts.cgroup_v2 && facts.systemd);
    assert_eq!(facts.selinux, "permissive");
    let [eth0, tun0] = &facts.interfaces[..] else {
        panic!("{:?}", facts.interfaces)
    };
    assert_eq!(eth0.name, "eth0");
    assert_eq!(eth0.mac, "02:fc:00:00:00:01");
    assert_eq!(eth0.addresses, ["10.0.1.11/24".parse().unwrap()]);
    assert_eq!(tun0.addresses, ["10.8.0.2/32".parse().unwrap()]);
    assert_eq!(facts.route_to_vip, "10.0.1.11".parse().ok());
    assert_eq!(facts.default_interface, "eth0");
    assert_eq!(facts.listeners.len(), 2);
    assert_eq!(facts.package_manager, Some(PackageManager::Apt));
    assert!(facts.packages["kubeadm"].held && !facts.packages["kubelet"].held);
    assert_eq!(facts.packages["kubelet"].version, "1.36.2-1.1");
    assert_eq!(facts.programs["containerd"], "1.6.20~ds1");
    for name in ["kubeadm", "kubelet", "kubectl"] {
        assert_eq!(facts.kubernetes(name), "1.36.2".parse().ok(), "{name}");
    }
    assert_eq!(facts.programs["keepalived"], "v2.2.7");
    assert_eq!(facts.programs["evenkeel"], "");
    assert_eq!(facts.runtime.settings, "version = 2\n");
    assert_eq!(facts.runtime.sandbox_image, "registry.k8s.io/pause:3.6");
    assert_eq!(facts.unconfigured, ["kubelet".to_owned()].into());
    assert!(facts.images.contains("registry.k8s.io/pause:3.10"));
    assert!(facts.runtime.socket);
    let unit = |name: &str| {
        facts
            .units
            .get(name)
            .map(|unit| (unit.enabled, unit.active))
    };
    assert_eq!(unit("kubelet.service"), Some((true, false)));
    assert_eq!(unit("evenkeel.service"), None);
    assert_eq!(unit("containerd.service"), Some((false, true)));
    assert_eq!(
        facts.proxies,
        [("HTTPS_PROXY".to_owned(), "http://proxy:3128".to_owned())].into()
    );
    assert_eq!(facts.mounts.len(), 1);
    assert_eq!(facts.mounts[0].free_bytes, 123_456 * 1024);
    assert_eq!(facts.text("/etc/hosts"), Some("127.0.0.1 localhost\n"));
    assert_eq!(facts.files["/etc/hosts"].mode, 0o644);
    assert_eq!(facts.files["/etc/with space"].sha256, "bb");
    assert_eq!(facts.text("/etc/with space"), None);
    assert_eq!(facts.text("/etc/empty"), Some(""));
    assert_eq!(facts.text("/etc/latin"), None);
    let kube = &facts.kube;
    assert!(kube.admin_conf && kube.kubelet_conf && kube.apiserver_manifest && kube.etcd_data);
    assert_eq!(kube.begun, "join");
    assert_eq!(kube.ca.as_deref(), Some("-----"));
}

/// As hosts have it that announce their addresses to routers.
#[test]
fn an_address_on_the_loopback_is_one_of_the_host() {
    let lines = "address\t1: lo    inet 127.0.0.1/8 scope host lo\n\
        address\t1: lo    inet 10.0.1.11/32 scope global lo\n\
        address\t1: lo    inet6 ::1/128 scope host\n";
    let facts = read(&format!("{FIRST}\n{lines}{LAST}\n"), ASKED).unwrap();
    let found = facts.interface_of([10, 0, 1, 11].into()).unwrap();
    assert_eq!((found.name.as_str(), found.addresses.len()), ("lo", 1));
}

/// An address for privacy is another one tomorrow, and kubelet does not start without that of its node-ip.
#[test]
fn addresses_that_go_are_known() {
    let lines = "address\t2: eth0    inet6 fd01::aaaa/64 scope global temporary dynamic\n\
        address\t2: eth0    inet6 fd01::11/64 scope global\n";
    let facts = read(&format!("{FIRST}\n{lines}{LAST}\n"), ASKED).unwrap();
    let fleeting: Vec<std::net::IpAddr> = vec!["fd01::aaaa".parse().unwrap()];
    assert_eq!(facts.interfaces[0].fleeting, fleeting);
    assert_eq!(facts.interfaces[0].addresses.len(), 2);
}

#[test]
fn the_clock_is_compared_with_the_time_of_the_question() {
    let ahead = |first: &str, last: &str| {
        let answer = format!("{FIRST}\nclock\t{first}\nclock\t{last}\n{LAST}\n");
        read(&answer, ASKED).unwrap().clock_ahead_ms
    };
    assert_eq!(ahead("1795778863.500", "1795778864.500"), 0);
    assert_eq!(ahead("1795778923.500", "1795778924.500"), 60_000);
    assert_eq!(ahead("1795778853.000", "1795778855.000"), -10_000);
    assert_eq!(ahead("1795778863.%N", "1795778865.%N"), 0);
}

#[test]
fn an_answer_that_was_cut_or_is_another_is_none() {
    let cut = ANSWER.split_once("begun").unwrap().0;
    let error = read(cut, ASKED).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its answer is not whole; it ends with: \"kube\\u0009/var/lib/etcd/member\""
    );
    assert_eq!(
        read("", ASKED),
        Err(Garbled::Cut {
            last: String::new()
        })
    );
    // What ss and ip print is theirs to change.
    for odd in [
        "listener\tLISTEN 0 nowhere",
        "address\t1: x inet6 fe80:::",
        "bound\tzz:1",
    ] {
        let answer = format!("{FIRST}\n{odd}\n{LAST}\n");
        let facts = read(&answer, ASKED).unwrap();
        let (_, said) = odd.split_once('\t').unwrap();
        assert_eq!(facts.not_understood, [said]);
    }
    for odd in ["cpus\tmany", "nonsense\tx", "no tab", "file\tabc"] {
        let answer = format!("{FIRST}\n{odd}\n{LAST}\n");
        assert_eq!(
            read(&answer, ASKED),
            Err(Garbled::Line {
                line: odd.to_owned()
            })
        );
    }
}
