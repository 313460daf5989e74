use super::tests::{SEED, check, check_more, lines, read_text};

/// Other tools have other names for the same things.
#[test]
fn names_of_other_tools_are_understood() {
    check(
        "kubernetes = '1.36.2'",
        "version = '1.36.2'\npodSubnet = '10.1.0.0/16'",
        &[
            "cluster.toml:3:1: unknown key 'version' in [cluster]; here it is 'kubernetes'",
            "cluster.toml:4:1: unknown key 'podSubnet' in [cluster]; here it is 'pod-cidr'",
        ],
    );
    check_more(
        "[ssh]\nkeyPath = 'k'\nidentity-file = 'k'\npassword = 'x'",
        &[
            "cluster.toml:26:1: unknown key 'keyPath' in [ssh]; here it is 'key'",
            "cluster.toml:27:1: unknown key 'identity-file' in [ssh]; here it is 'key'",
            "cluster.toml:28:1: unknown key 'password' in [ssh]; passwords do not stand here: ssh has keys and the agent, and --ask-sudo-password asks for sudo's",
        ],
    );
    check_more(
        "user = 'op'\n[[hosts]]\nrole = 'worker'",
        &[
            "cluster.toml:25:1: unknown key 'user' in a node; write 'ssh = { user = \"NAME\" }'",
            "cluster.toml:26:3: unknown key 'hosts' in the top of the file; each host is a [[node]] with 'name', 'role' and 'address'",
        ],
    );
}

#[test]
fn who_else_listens_on_a_balancer() {
    for admin in ["0.0.0.0:6443", "[::]:6443", "10.0.1.10:6443"] {
        check_more(
            &format!("[balancer]\nadmin = '{admin}'"),
            &[&format!(
                "cluster.toml:26:9: 'admin' {admin} takes the port of the VIP 10.0.1.10:6443, which the balancer serves clients at; take another port"
            )],
        );
    }
    check_more("[balancer]\nadmin = '10.0.1.9:6443'", &[]);
    check(
        "'10.0.1.10'",
        "'10.0.1.10:22'",
        &[
            "cluster.toml:4:7: port 22 of the VIP is where sshd of lb listens; take another, 6443 as a rule",
        ],
    );
    check_more(
        "[ssh]\nport = 6443",
        &[
            "cluster.toml:4:7: port 6443 of the VIP is where sshd of lb listens; take another, 6443 as a rule",
        ],
    );
}

#[test]
fn what_cannot_be_is_told() {
    check_more(
        "local = true\n[[node]]\nname = 'worker2'\nrole = 'worker'\naddress = '10.0.1.14'\nlocal = {}",
        &[
            "cluster.toml:26:1: 'local' is the host that evenkeel-bootstrap runs on, which worker1 in line 21 is already",
        ],
    );
    for network in ["127.0.0.0/8", "224.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8"] {
        check(
            "vip =",
            &format!("pod-cidr = '{network}'\nvip ="),
            &[&format!(
                "cluster.toml:4:12: 'pod-cidr' must be a network that hosts can route, such as one of 10.0.0.0/8 or fd00::/8, not {network}"
            )],
        );
    }
    check(
        "vip =",
        "pod-cidr = ['10.9.0.1/16', 'fd09::/56']\nvip =",
        &[
            "cluster.toml:4:13: 'pod-cidr' must be \"10.9.0.0/16\": 10.9.0.1/16 has bits set beyond its prefix",
        ],
    );
    check(
        "'10.0.1.10'",
        "'fd00:1::10:6443'",
        &[
            "cluster.toml:4:7: 'vip' may be an address or one with a port; write \"[fd00:1::10]:6443\", or \"[fd00:1::10:6443]\" if 6443 is part of it",
        ],
    );
    for domain in ["cluster.local", "hosts.cluster.local"] {
        check(
            "'kube.com'",
            &format!("'{domain}'"),
            &[&format!(
                "cluster.toml:2:10: the hosts' domain {domain} lies in 'cluster.local', which the cluster's DNS answers for, so that pods could not find a host; give one of them another name ('domain', 'dns-domain')"
            )],
        );
    }
    check(
        "vip =",
        "dns-domain = 'kube.com'\nvip =",
        &[
            "cluster.toml:2:10: the hosts' domain kube.com lies in 'kube.com', which the cluster's DNS answers for, so that pods could not find a host; give one of them another name ('domain', 'dns-domain')",
        ],
    );
    check_more(
        "[ssh]\nuser = \"a\\nb\"",
        &["cluster.toml:26:8: 'user' must be one word that does not begin with '-', not \"a\\nb\""],
    );
}

#[test]
fn files_are_what_they_are_named_for() {
    check_more(
        "[ssh]\nkey = 'id.pub'",
        &[
            "cluster.toml:26:7: 'key' must be the private key, \"id\"; '/site/id.pub' is the public one",
        ],
    );
    check_more(
        "[ssh]\nkey = 'open'",
        &[
            "cluster.toml:26:7: 'key' names '/site/open', which others may read (mode 0644), so that ssh does not take it; chmod 600 /site/open",
        ],
    );
    check_more(
        "[cni]\nplugin = 'manifest'\nmanifest = 'empty.yaml'\n[artefacts]\nmanifests = ['empty.yaml']",
        &[
            "cluster.toml:27:12: 'manifest' names '/site/empty.yaml', which kubectl cannot apply: nothing stands in it",
            "cluster.toml:29:14: 'manifests' names '/site/empty.yaml', which kubectl cannot apply: nothing stands in it",
        ],
    );
}

#[test]
fn a_cluster_without_workers_is_a_word() {
    let (text, _) = SEED.split_once("\n[[node]]\nname = 'worker1'").unwrap();
    let warnings = lines(&read_text(text).unwrap().warnings);
    assert!(
        warnings[0].starts_with("cluster.toml:6:1: warning: no node has the role \"worker\"")
            || warnings[0].contains("no node has the role \"worker\""),
        "{warnings:?}"
    );
}
