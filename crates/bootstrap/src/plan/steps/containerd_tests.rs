use super::*;
use crate::facts::FileFacts;
use crate::plan::steps::example::{inventory, joined};

const WANTED: Wanted = Wanted {
    systemd: true,
    usual_folder: true,
};

/// What is wrong with a text, and the text when it has been mended, in which nothing is.
fn check(text: &str, wrong: &[Fault], after: &str) {
    assert_eq!(faults(text, WANTED).unwrap(), wrong, "{text}");
    let mended = mended(text, WANTED, None).unwrap();
    assert_eq!(mended, after);
    assert_eq!(faults(&mended, WANTED), Ok(Vec::new()));
}

fn cgroups(runtime: &str) -> Fault {
    Fault::Cgroups {
        runtime: runtime.to_owned(),
    }
}

#[test]
fn settings_that_suit_are_left_as_they_are() {
    let own = fresh(WANTED, "example/pause:1");
    check(&own, &[], &own);
    let commented = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n\
        [plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = '/etc/containerd/certs.d'\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true # as kubelet\n";
    check(commented, &[], commented);
}

#[test]
fn the_part_for_kubelet_is_switched_on_over_as_many_lines_as_it_takes() {
    check(
        "version = 2\ndisabled_plugins = [\n  \"aufs\",\n  \"cri\",\n]\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n",
        &[Fault::Disabled],
        "version = 2\ndisabled_plugins = [\n  \"aufs\",\n]\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n",
    );
}

/// What the package containerd.io brings: no version, which means 1, and all else a comment.
#[test]
fn a_file_without_a_version_gets_one() {
    check(
        "#   Copyright\n\ndisabled_plugins = [\"cri\"]\n\n#root = \"/var/lib/containerd\"\n",
        &[Fault::Disabled, cgroups("runc")],
        "#   Copyright\n\ndisabled_plugins = []\nversion = 2\n\
         \n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         \n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n\
         \n#root = \"/var/lib/containerd\"\n",
    );
    let old = "[plugins.cri.containerd]\nsnapshotter = \"overlayfs\"\n";
    assert!(mended(old, WANTED, None).unwrap_err().contains("version 1"));
}

/// The runtime of one kind of pods may suit and that of all others not.
#[test]
fn each_runtime_of_runc_leaves_cgroups_to_the_same() {
    let text = |runc: bool, nvidia: bool| {
        format!(
            "version = 3\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]\nruntime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia.options]\nSystemdCgroup = {nvidia}\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n SystemdCgroup = {runc} # here\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]\nruntime_type = 'io.containerd.kata.v2'\n"
        )
    };
    assert_eq!(
        faults(&text(false, true), WANTED),
        Ok(vec![cgroups("runc")])
    );
    assert_eq!(
        faults(&text(true, false), WANTED),
        Ok(vec![cgroups("nvidia")])
    );
    let mended = mended(&text(false, true), WANTED, None).unwrap();
    assert!(
        mended.contains(" SystemdCgroup = true # here\n"),
        "{mended}"
    );
    let other = Wanted {
        systemd: false,
        ..WANTED
    };
    assert_eq!(faults(&text(false, false), other), Ok(Vec::new()));
}

/// Debian's package looks where Debian's own plugins are.
#[test]
fn plugins_of_the_network_are_found() {
    let text = |folder: &str| {
        format!(
            "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"{folder}\"\n      conf_dir = \"/etc/cni/net.d\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
        )
    };
    check(
        &text("/usr/lib/cni"),
        &[Fault::CniFolder("/usr/lib/cni".to_owned())],
        &text("/opt/cni/bin"),
    );
}

fn host_with(text: Option<&str>, come_to: &str) -> HostFacts {
    let mut host = HostFacts::default();
    if let Some(text) = text {
        let file = FileFacts {
            mode: 0o600,
            sha256: hash(text),
            text: Some(text.to_owned()),
        };
        host.files.insert(FILE.to_owned(), file);
    }
    come_to.clone_into(&mut host.runtime.settings);
    host
}

#[test]
fn what_settings_come_to_is_judged_and_not_the_file_alone() {
    let inventory = inventory();
    let state =
        |text: Option<&str>, come_to: &str| state(&inventory, &host_with(text, come_to), Pods::Run);
    let good = fresh(WANTED, &sandbox_image(&inventory));
    let bad = good.replace("SystemdCgroup = true", "SystemdCgroup = false");
    assert_eq!(state(None, ""), State::Change(good.clone()));
    assert_eq!(state(None, &good), State::Suits);
    assert_eq!(state(None, &bad), State::Change(good.clone()));
    let imports = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    assert_eq!(state(Some(imports), &good), State::Suits);
    assert!(matches!(state(Some(imports), &bad), State::Change(text) if text.starts_with(imports)));
    assert!(matches!(state(Some(&good), &bad), State::Stuck(why) if why.contains("imports")));
    assert!(matches!(
        state(Some("version = = 2\n"), ""),
        State::Stuck(_)
    ));
}

#[test]
fn a_pause_image_alone_does_not_touch_a_node_that_works() {
    let mut inventory = inventory();
    let registry = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n";
    let older = fresh(WANTED, "registry.k8s.io/pause:3.10.1") + registry;
    let mut host = host_with(Some(&older), &older);
    let State::Change(newer) = state(&inventory, &host, Pods::Run) else {
        panic!("it does not work yet, and may have no network");
    };
    assert_eq!(
        newer,
        fresh(WANTED, "registry.k8s.io/pause:3.10.2") + registry
    );
    host.kube.kubelet_conf = true;
    assert_eq!(state(&inventory, &host, Pods::Run), State::Suits);
    assert_eq!(state(&inventory, &host, Pods::Away), State::Change(newer));
    inventory
        .kubeadm
        .kubelet
        .insert("cgroupDriver".to_owned(), "cgroupfs".into());
    assert!(
        matches!(state(&inventory, &host, Pods::Run), State::Change(text) if text.contains("SystemdCgroup = false") && text.contains("3.10.1"))
    );
}

#[test]
fn a_node_that_works_is_seen_to_work_again() {
    let inventory = inventory();
    let facts = joined(&inventory, &["master1", "worker1"]);
    let host = host_with(Some("version = 2\n"), "");
    let actions = |name: &str| {
        let node = inventory.node(name).unwrap();
        settings(&inventory, &facts, node, &host).unwrap().actions
    };
    let awaited = |actions: &[Action]| {
        let awaits = actions
            .iter()
            .filter(|action| matches!(action, Action::Await { .. }));
        awaits.count()
    };
    assert_eq!(awaited(&actions("worker2")), 0);
    assert_eq!(awaited(&actions("worker1")), 1);
    assert_eq!(awaited(&actions("master1")), 2);
    assert!(matches!(
        actions("worker1")[0],
        Action::Write {
            mode: 0o600,
            temporary: true,
            ..
        }
    ));
}

/// As `kubeadm config images list` of each release says.
#[test]
fn the_sandbox_image_is_that_of_the_release() {
    let mut inventory = inventory();
    for (version, tag) in [
        ("1.31.14", "3.10"),
        ("1.33.13", "3.10"),
        ("1.34.9", "3.10.1"),
        ("1.35.6", "3.10.1"),
        ("1.36.3", "3.10.2"),
    ] {
        inventory.kubernetes = version.parse().unwrap();
        assert_eq!(
            sandbox_image(&inventory),
            format!("registry.k8s.io/pause:{tag}"),
            "{version}"
        );
    }
}
