use super::tests::check_more;

fn wrong(section: &str, line: &str, expected: &[&str]) {
    check_more(&format!("[kubeadm.{section}]\n{line}"), expected);
}

#[test]
fn what_others_say_is_not_said_here() {
    wrong(
        "cluster",
        "kubernetesVersion = 'v1.36.1'",
        &[
            "cluster.toml:26:1: 'kubernetesVersion' is set by 'kubernetes' of [cluster]; remove it here",
        ],
    );
    wrong(
        "init.localAPIEndpoint",
        "advertiseAddress = '1.2.3.4'\nbindPort = 7443",
        &[
            "cluster.toml:26:1: 'localAPIEndpoint.advertiseAddress' is set by 'address' of the [[node]]; remove it here",
            "cluster.toml:27:1: 'localAPIEndpoint.bindPort' has to stay 6443, where the balancer and all checks look for an API server; the port of 'vip' in [cluster] may be another",
        ],
    );
    wrong(
        "join",
        "kind = 'x'\ndiscovery = {}",
        &[
            "cluster.toml:26:1: 'kind' is set by evenkeel-bootstrap; remove it here",
            "cluster.toml:27:1: 'discovery' is set by evenkeel-bootstrap, which keeps it secret and fresh; remove it here",
        ],
    );
    for (section, line, path) in [
        ("init", "dryRun = true", "dryRun"),
        ("join", "dryRun = true", "dryRun"),
        ("cluster", "certificatesDir = '/srv/pki'", "certificatesDir"),
        (
            "cluster",
            "etcd.external.endpoints = ['a']",
            "etcd.external",
        ),
        (
            "cluster",
            "etcd.local.dataDir = '/srv'",
            "etcd.local.dataDir",
        ),
        (
            "join",
            "controlPlane.localAPIEndpoint.bindPort = 1",
            "controlPlane.localAPIEndpoint.bindPort",
        ),
        (
            "init",
            "nodeRegistration.ignorePreflightErrors = ['Swap']",
            "nodeRegistration.ignorePreflightErrors",
        ),
        ("kubelet", "clusterDomain = 'x'", "clusterDomain"),
        ("kube-proxy", "clusterCIDR = 'x'", "clusterCIDR"),
    ] {
        let text = format!("{}[kubeadm.{section}]\n{line}\n", super::tests::SEED);
        let problems = super::tests::errors(&text);
        let [only] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert!(only.contains(&format!(": '{path}' ")), "{only}");
    }
}

/// kubeadm passes over a field that it does not know with a warning that nobody reads.
#[test]
fn fields_are_known_at_every_level() {
    wrong(
        "cluster",
        "apiserver.extraArgs = []",
        &[
            "cluster.toml:26:1: 'apiserver' is no field of ClusterConfiguration; did you mean 'apiServer'?",
        ],
    );
    wrong(
        "cluster.apiServer",
        "extraArg = []\ncertsans = []",
        &[
            "cluster.toml:26:1: 'apiServer.extraArg' is no field of ClusterConfiguration; did you mean 'extraArgs'?",
            "cluster.toml:27:1: 'apiServer.certsans' is no field of ClusterConfiguration; did you mean 'certSANs'?",
        ],
    );
    wrong(
        "init.nodeRegistration",
        "taints = [{ key = 'a', efect = 'NoSchedule' }, { key = 'b', effect = 'Never' }]",
        &[
            "cluster.toml:26:24: 'nodeRegistration.taints.efect' is no field of InitConfiguration; did you mean 'effect'?",
            "cluster.toml:26:70: 'nodeRegistration.taints.effect' must be one of \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\", not \"Never\"",
        ],
    );
    wrong(
        "kubelet",
        "maxpods = 200",
        &[
            "cluster.toml:26:1: 'maxpods' is no field of KubeletConfiguration; did you mean 'maxPods'?",
        ],
    );
    wrong(
        "cluster",
        "maxPods = 200",
        &[
            "cluster.toml:26:1: 'maxPods' is no field of ClusterConfiguration; it belongs into [kubeadm.kubelet]",
        ],
    );
    wrong(
        "kube-proxy.ipvs",
        "strictArp = true",
        &[
            "cluster.toml:26:1: 'ipvs.strictArp' is no field of KubeProxyConfiguration; did you mean 'strictARP'?",
        ],
    );
}

#[test]
fn values_are_of_their_kind() {
    for (section, line, column, message) in [
        (
            "cluster.apiServer",
            "certSANs = 'x'",
            12,
            "'apiServer.certSANs' must be a list of strings, not \"x\"; write [\"x\"]",
        ),
        (
            "cluster.apiServer",
            "certSANs = ['x', 5]",
            18,
            "'apiServer.certSANs' must be a string, not 5; write \"5\"",
        ),
        (
            "cluster",
            "proxy = true",
            9,
            "'proxy' must be a table, not true",
        ),
        (
            "cluster",
            "featureGates = { A = 'true' }",
            22,
            "'featureGates.A' must be true or false, not \"true\"; write true",
        ),
        (
            "init",
            "timeouts.discovery = '5 minutes'",
            22,
            "'timeouts.discovery' must be a time with its unit, as in \"5m0s\", not \"5 minutes\"",
        ),
        (
            "join",
            "timeouts.discovery = 300",
            22,
            "'timeouts.discovery' must be a time with its unit, as in \"5m0s\", not 300",
        ),
        (
            "join",
            "nodeRegistration.imagePullSerial = 'no'",
            36,
            "'nodeRegistration.imagePullSerial' must be true or false, not \"no\"",
        ),
        (
            "init",
            "patches.directory = 'patches'",
            21,
            "'patches.directory' must be a folder on the hosts, from the root: \"/etc/kubernetes/patches\", not \"patches\"",
        ),
        (
            "init",
            "skipPhases = ['addons']",
            15,
            "'skipPhases' has \"addons\", which is no phase; did you mean 'addon'?",
        ),
        (
            "kubelet",
            "maxPods = '10'",
            11,
            "'maxPods' must be a whole number, not \"10\"; write 10",
        ),
        (
            "kubelet",
            "memoryThrottlingFactor = 'x'",
            26,
            "'memoryThrottlingFactor' must be a number, not \"x\"",
        ),
        (
            "kubelet",
            "systemReserved = { cpu = 1 }",
            26,
            "'systemReserved.cpu' must be a string, not 1; write \"1\"",
        ),
        (
            "kubelet",
            "evictionHard = '5%'",
            16,
            "'evictionHard' must be a table, not \"5%\"",
        ),
        (
            "kubelet",
            "cgroupDriver = 'cgroupfs'",
            16,
            "'cgroupDriver' cannot be \"cgroupfs\" where containerd is set up for \"systemd\"; remove it, or set up the runtime yourself: 'managed = false' in [runtime]",
        ),
        (
            "kubelet",
            "nodeStatusUpdateFrequency = 2026-11-27",
            29,
            "a time without quotes; kubeadm takes a string, \"...\"",
        ),
        (
            "kube-proxy",
            "mode = 'ipv'",
            8,
            "'mode' must be one of \"iptables\", \"ipvs\", \"nftables\", not \"ipv\"; did you mean 'ipvs'?",
        ),
    ] {
        wrong(
            section,
            line,
            &[&format!("cluster.toml:26:{column}: {message}")],
        );
    }
    check_more(
        "[kubeadm.init]\nskipPhases = ['addon/kube-proxy', 'etcd/local']",
        &[
            "cluster.toml:26:35: 'skipPhases' cannot leave out \"etcd/local\", which the rest of the run builds on; may be left out: \"preflight\", \"addon\", \"addon/coredns\", \"addon/kube-proxy\", \"kubelet-finalize\", \"show-join-command\"",
        ],
    );
    check_more(
        "[runtime]\nmanaged = false\n[kubeadm.kubelet]\ncgroupDriver = 'cgroupfs'\nsystemReserved = { cpu = '1' }\nstaticPodURLHeader = { a = ['b'] }\ntlsCurvePreferences = [1]",
        &[],
    );
}

/// A table up to v1beta3, which most texts on kubeadm have still.
#[test]
fn arguments_are_a_list_of_names_and_values() {
    wrong(
        "cluster.apiServer",
        "extraArgs = { audit-log-maxage = '30', v = 4 }",
        &[
            "cluster.toml:26:13: 'apiServer.extraArgs' is a list since v1beta4, as a table it was v1beta3's; write [{ name = \"audit-log-maxage\", value = \"30\" }, { name = \"v\", value = \"4\" }]",
        ],
    );
    wrong(
        "cluster.scheduler",
        "extraArgs = [{ name = 'v', value = 4 }]",
        &["cluster.toml:26:36: 'scheduler.extraArgs.value' must be a string, not 4; write \"4\""],
    );
    wrong(
        "cluster.scheduler",
        "extraArgs = [{ name = '--v=4', value = '4' }, { name = 'x' }, { value = 'y' }, 'z']",
        &[
            "cluster.toml:26:23: an argument's name stands without dashes and value: \"v\", not \"--v=4\"",
            "cluster.toml:26:47: an argument in 'scheduler.extraArgs' has no 'value', which is \"true\" for a switch",
            "cluster.toml:26:63: an argument in 'scheduler.extraArgs' has no 'name'",
            "cluster.toml:26:80: an argument in 'scheduler.extraArgs' must be a table, as in { name = \"v\", value = \"4\" }, not \"z\"",
        ],
    );
}

#[test]
fn checks_have_names() {
    check_more(
        "[kubeadm]\nignore-preflight-errors = ['Num CPU', 'Swapp', 'port-6443', 'MEM', 'FileContent--proc-sys-net-ipv4-ip_forward', 'Port-']",
        &[
            "cluster.toml:26:28: 'ignore-preflight-errors' must be the name of a check of kubeadm, as in \"NumCPU\", not \"Num CPU\"; did you mean 'NumCPU'?",
            "cluster.toml:26:39: 'ignore-preflight-errors' must be the name of a check of kubeadm, as in \"NumCPU\", not \"Swapp\"; did you mean 'Swap'?",
            "cluster.toml:26:113: 'ignore-preflight-errors' must be the name of a check of kubeadm, as in \"NumCPU\", not \"Port-\"; a port, a path or a program follows",
        ],
    );
}
