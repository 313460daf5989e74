use std::io::Cursor;

use super::*;
use crate::inventory::{Inventory, load};

const SEED: [&str; 5] = [
    "lb.kube.com=10.0.1.10",
    "master1.kube.com=10.0.1.11",
    "master2.kube.com=10.0.1.12",
    "worker1.kube.com=10.0.1.13",
    "worker2.kube.com=10.0.1.14",
];

const HAPROXY: &str = "\
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

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("evenkeel-init-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn hosts(inventory: &Inventory) -> Vec<String> {
    inventory
        .nodes
        .iter()
        .map(|node| format!("{} {} {}", node.name, node.role.word(), node.address))
        .collect()
}

/// What `args` write, as the reader has it, and what is told of it.
fn written(name: &str, args: &InitArgs) -> (Inventory, String) {
    let folder = Folder::new(name);
    let path = folder.0.join("cluster.toml");
    let report = run_init(args, &path).unwrap();
    (load(&path).unwrap().inventory, report)
}

fn refused(args: &InitArgs) -> String {
    let folder = Folder::new("refused");
    let path = folder.0.join("cluster.toml");
    let error = run_init(args, &path).unwrap_err();
    assert!(
        !path.exists(),
        "nothing is written where something is wrong"
    );
    error.to_string()
}

#[test]
fn a_list_of_hosts_becomes_a_file() {
    let args = InitArgs {
        hosts: words(&SEED),
        user: Some("op".to_owned()),
        ..InitArgs::default()
    };
    let (inventory, report) = written("list", &args);
    assert_eq!(
        hosts(&inventory),
        [
            "lb lb 10.0.1.10",
            "master1 control-plane 10.0.1.11",
            "master2 control-plane 10.0.1.12",
            "worker1 worker 10.0.1.13",
            "worker2 worker 10.0.1.14",
        ]
    );
    assert_eq!(inventory.domain, "kube.com");
    assert_eq!(inventory.endpoint.to_string(), "10.0.1.10:6443");
    let crate::inventory::Transport::Ssh(ssh) = &inventory.nodes[0].transport else {
        panic!("{inventory:?}")
    };
    assert_eq!(ssh.user.as_deref(), Some("op"));
    assert!(
        report.contains("1 balancer, 2 control planes, 2 workers"),
        "{report}"
    );
    assert!(
        report.contains("note: two control planes are two etcd voters"),
        "{report}"
    );
}

#[test]
fn roles_may_be_said_and_names_left_out() {
    let args = InitArgs {
        lb: words(&["10.0.1.8", "10.0.1.9"]),
        control_plane: words(&["mars=10.0.1.11", "10.0.1.12", "10.0.1.13"]),
        worker: words(&["fd01::1"]),
        vip: Some("10.0.1.10:7443".to_owned()),
        kubernetes: Some("1.35.0".to_owned()),
        domain: Some("kube.com".to_owned()),
        ..InitArgs::default()
    };
    // The worker is of a family that the cluster has not.
    assert_eq!(
        refused(&args),
        "fd01::1 is IPv6, and 'pod-cidr' in [cluster] has no IPv6 network"
    );
    let args = InitArgs {
        worker: words(&["10.0.1.14"]),
        ..args
    };
    let (inventory, _) = written("roles", &args);
    assert_eq!(
        hosts(&inventory),
        [
            "lb lb 10.0.1.8",
            "lb1 lb 10.0.1.9",
            "mars control-plane 10.0.1.11",
            "master1 control-plane 10.0.1.12",
            "master2 control-plane 10.0.1.13",
            "worker1 worker 10.0.1.14",
        ]
    );
    assert_eq!(inventory.kubernetes.to_string(), "v1.35.0");
    assert_eq!(inventory.endpoint.port, 7443);
    assert_eq!(inventory.vrrp.unwrap().router_id, 10);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let of = |list: &[&str]| InitArgs {
        hosts: words(list),
        ..InitArgs::default()
    };
    assert_eq!(
        refused(&of(&[
            "10.0.1.10",
            "mars=10.0.1.11",
            "lb=host",
            "master1.a=10.0.1.1",
            "w1.b=10.0.1.2"
        ])),
        "'10.0.1.10' has no name; write NAME=10.0.1.10, or say the role: --control-plane 10.0.1.10\n\
         'mars=10.0.1.11' does not tell its role by its name; say it: --lb mars=10.0.1.11, --control-plane \
         mars=10.0.1.11 or --worker mars=10.0.1.11\n\
         'lb=host' ends in no IP address; write NAME=ADDRESS, as in master1=10.0.1.11\n\
         'w1.b=10.0.1.2' is in another domain than a; all hosts of a cluster share one"
    );
    let message = refused(&of(&["worker1=10.0.1.13"]));
    assert!(
        message.contains("no balancer: name one") && message.contains("no control plane"),
        "{message}"
    );
    let message = refused(&of(&["lb1=10.0.1.1", "lb2=10.0.1.2", "m1=10.0.1.3"]));
    assert!(message.contains("say it with --vip"), "{message}");
    let message = refused(&of(&["lb=10.0.1.1", "m1=10.0.1.3", "w1=10.0.1.3"]));
    assert!(
        message.starts_with("10.0.1.3 is the address of another node already"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_there_stays_unless_forced() {
    let folder = Folder::new("force");
    let path = folder.file("cluster.toml", "precious");
    let mut args = InitArgs {
        hosts: words(&SEED),
        ..InitArgs::default()
    };
    let error = run_init(&args, &path).unwrap_err();
    assert!(matches!(error, InitError::Exists { .. }), "{error}");
    assert!(error.to_string().ends_with("--force writes over it"));
    args.print = true;
    let text = run_init(&args, &path).unwrap();
    assert!(text.contains("name = \"worker2\""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    (args.print, args.force) = (false, true);
    run_init(&args, &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // A link leads to the file still.
    let link = folder.0.join("link.toml");
    std::os::unix::fs::symlink("real.toml", &link).unwrap();
    let real = folder.file("real.toml", "old");
    run_init(&args, &link).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), text);
    // What is no file is neither replaced nor given a companion.
    let inner = folder.0.join("inner");
    std::fs::create_dir(&inner).unwrap();
    let error = run_init(&args, &inner).unwrap_err();
    assert!(matches!(error, InitError::Io { .. }), "{error}");
    assert!(inner.is_dir() && !folder.0.join("inner.evenkeel-new").exists());
    args.force = false;
    let error = run_init(&args, &folder.0.join("absent/cluster.toml")).unwrap_err();
    assert!(matches!(error, InitError::Io { .. }), "{error}");
}

#[test]
fn a_haproxy_cfg_gives_masters_vip_and_port() {
    let folder = Folder::new("haproxy");
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", HAPROXY)),
        hosts: words(&["worker1=10.0.1.13"]),
        ..InitArgs::default()
    };
    let (inventory, report) = written("from-haproxy", &args);
    assert_eq!(
        hosts(&inventory),
        [
            "lb lb 10.0.1.10",
            "master1 control-plane 10.0.1.11",
            "master2 control-plane 10.0.1.12",
            "worker1 worker 10.0.1.13",
        ]
    );
    assert!(
        report.contains("taken to be the host that has 10.0.1.10"),
        "{report}"
    );
}

#[test]
fn of_several_frontends_the_api_is_told_by_ports_and_names() {
    let more = "frontend ingress\n    bind 10.0.1.10:443\n    default_backend ingress\n\
                backend ingress\n    server worker1 10.0.1.13:443\n";
    let folder = Folder::new("several");
    let try_with = |text: &str, frontend: Option<&str>, lb: &[&str]| {
        let args = InitArgs {
            from_haproxy: Some(folder.file("haproxy.cfg", text)),
            frontend: frontend.map(str::to_owned),
            lb: words(lb),
            force: true,
            ..InitArgs::default()
        };
        let path = folder.0.join("cluster.toml");
        run_init(&args, &path)
            .map(|_| hosts(&load(&path).unwrap().inventory))
            .map_err(|error| error.to_string())
    };
    let expected = words(&[
        "lb lb 10.0.1.10",
        "master1 control-plane 10.0.1.11",
        "master2 control-plane 10.0.1.12",
    ]);
    assert_eq!(
        try_with(&format!("{more}{HAPROXY}"), None, &[]),
        Ok(expected.clone())
    );
    // The other one, when it is asked for by name: what it says is taken as it is.
    let other = try_with(&format!("{more}{HAPROXY}"), Some("ingress"), &[]);
    assert_eq!(
        other,
        Ok(words(&[
            "lb lb 10.0.1.10",
            "worker1 control-plane 10.0.1.13"
        ]))
    );
    let error = try_with(HAPROXY, Some("nobody"), &[]).unwrap_err();
    assert!(error.contains("it has 'kubernetes-frontend'"), "{error}");
    let error = try_with(more, None, &[]).unwrap_err();
    assert!(
        error.contains("no frontend that looks like the API's"),
        "{error}"
    );
    let wild = HAPROXY.replace("10.0.1.10:6443", "*:6443");
    let error = try_with(&wild, None, &[]).unwrap_err();
    assert!(
        error.contains("haproxy.cfg:2:10: 'kubernetes-frontend' binds every address of its host, so that this file does not tell the VIP; pass it, --vip"),
        "{error}"
    );
    assert_eq!(try_with(&wild, None, &["10.0.1.10"]), Ok(expected));
    let database = more.replace("ingress", "master").replace(":443", ":5432");
    let error = try_with(&database, None, &[]).unwrap_err();
    assert!(
        error.contains("no frontend that looks like the API's"),
        "{error}"
    );
    let error = try_with("frontend x\n  bnid :1\n", None, &[]).unwrap_err();
    assert!(
        error.contains("haproxy.cfg:2:3: ") && error.contains("did you mean 'bind'"),
        "{error}"
    );
    let named = HAPROXY.replace("10.0.1.11:", "master1.invalid:");
    let error = try_with(&named, None, &[]).unwrap_err();
    assert!(
        error.contains("the name 'master1.invalid' of server 'master1' is not known here"),
        "{error}"
    );
    let args = |name: &str| InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &named)),
        control_plane: words(&[name]),
        force: true,
        ..InitArgs::default()
    };
    let path = folder.0.join("cluster.toml");
    run_init(&args("master1=10.0.1.21"), &path).unwrap();
    let found = hosts(&load(&path).unwrap().inventory);
    assert_eq!(
        found[1..],
        [
            "master1 control-plane 10.0.1.21",
            "master2 control-plane 10.0.1.12"
        ]
    );
    let twins = format!(
        "{HAPROXY}{}",
        HAPROXY
            .replace("kubernetes-", "kube-")
            .replace("10.0.1.10", "10.0.1.20")
    );
    let error = try_with(&twins, None, &[]).unwrap_err();
    assert!(
        error.contains("several frontends") && error.contains("'kube-frontend'"),
        "{error}"
    );
}

/// Whoever changes from HAProxy has more in the file than the API.
#[test]
fn what_evenkeel_does_not_run_is_left_out_and_told() {
    let folder = Folder::new("left-out");
    let text = format!(
        "global\n    nbproc 8\n{HAPROXY}\
         frontend web\n    mode http\n    bind :80\n    default_backend web\n\
         backend web\n    mode http\n    server w1 10.0.1.13:80"
    );
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &text)),
        ..InitArgs::default()
    };
    let (inventory, report) = written("left-out-too", &args);
    assert_eq!(inventory.of(Role::ControlPlane).count(), 2);
    assert!(
        report.contains("since evenkeel does not run it: 'nbproc 8', 'frontend web' ("),
        "{report}"
    );
    // Where the API's own section is what cannot be run, all that is wrong with the file is told.
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &HAPROXY.replace("mode tcp", "mode http"))),
        ..InitArgs::default()
    };
    let message = refused(&args);
    assert!(
        message.contains("haproxy.cfg:") && message.contains("in a mode other than tcp"),
        "{message}"
    );
}

#[test]
fn names_of_servers_become_names_of_hosts() {
    let folder = Folder::new("names");
    let text = HAPROXY
        .replace(
            "server master1 10.0.1.11:6443",
            "server 10.0.1.11 10.0.1.11:26443",
        )
        .replace("server master2", "server K8S_Master.example.com");
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &text)),
        ..InitArgs::default()
    };
    let (inventory, report) = written("server-names", &args);
    assert_eq!(
        hosts(&inventory)[1..],
        [
            "master1 control-plane 10.0.1.11",
            "k8s-master control-plane 10.0.1.12"
        ]
    );
    assert!(
        report.contains("has port 26443; API servers that are made here listen on 6443"),
        "{report}"
    );
}

/// What comes of answers, and all that was said.
fn asked(args: &InitArgs, answers: &str) -> (Result<String, InitError>, String) {
    let mut said = Vec::new();
    let path = Path::new("cluster.toml");
    let outcome = sketch_of(args).and_then(|mut sketch| {
        ask::ask(
            args,
            path,
            &mut sketch,
            &mut Cursor::new(answers),
            &mut said,
        )?;
        assert_eq!(sketch.complete(), Vec::<String>::new());
        sound(&sketch, path).map(|(text, _)| text)
    });
    (outcome, String::from_utf8(said).unwrap())
}

#[test]
fn questions_lead_to_the_same_file() {
    let answers = "kube.com\n1.36\n1.35.1\nlb=10.0.1.10\nmaster1=10.0.1.x\nmaster1=10.0.1.11 10.0.1.12\n\n\nop\n";
    let (text, said) = asked(&InitArgs::default(), answers);
    let text = text.unwrap();
    assert!(
        text.contains("\ndomain = \"kube.com\"\nkubernetes = \"1.35.1\"\n"),
        "{text}"
    );
    assert!(text.contains("\nvip = \"10.0.1.10:6443\"\n"), "{text}");
    assert!(text.contains("\nuser = \"op\"\n"), "{text}");
    assert!(text.contains("name = \"master1\"\nrole = \"control-plane\"\naddress = \"10.0.1.11\""));
    assert!(text.contains("name = \"master2\"\nrole = \"control-plane\"\naddress = \"10.0.1.12\""));
    assert!(
        said.contains("'1.36' is no release of Kubernetes"),
        "{said}"
    );
    assert!(
        said.contains("'master1=10.0.1.x' ends in no IP address"),
        "{said}"
    );
    assert!(
        said.contains("VIP, where clients reach the API [10.0.1.10:6443]: "),
        "{said}"
    );
    let (ended, _) = asked(&InitArgs::default(), "kube.com\n");
    assert!(matches!(ended, Err(InitError::Io { .. })));
}

/// Nothing that was typed is thrown away because of something else.
#[test]
fn an_answer_is_judged_when_it_is_given() {
    let answers = "Kube_com\ncluster.local\nkube.com\n1.36.2-rc.1\n1.30.1\n\nlb=10.0.1.10\n\
        Master_1=10.0.1.11\nm1=10.0.1.10\nm1=10.244.0.1\nm1=10.0.1.11 m1=10.0.1.12\nm1=10.0.1.11\n\
        w1=10.0.1.11\nw1=10.0.1.13\n10.0.1.11\nnonsense\n\na b\nop\n";
    let (text, said) = asked(&InitArgs::default(), answers);
    let text = text.unwrap();
    for (question, times) in [
        ("domain of the hosts", 3),
        ("release of Kubernetes", 3),
        ("balancers, as", 1),
        ("control planes, likewise", 5),
        ("workers, likewise", 2),
        ("VIP, where", 3),
        ("user that logs in", 2),
    ] {
        assert_eq!(
            said.matches(question).count(),
            times,
            "{question} in {said}"
        );
    }
    for why in [
        "'domain' must be of small letters",
        "lies in 'cluster.local'",
        "must be a release, \"1.36.2\"",
        "must be a release from 1.31",
        "such as \"master-1\"",
        "10.0.1.10 is the address of another node already",
        "lies in the pod network",
        "'m1' is the name of another node already",
        "10.0.1.11 is the address of another node already",
        "the VIP 10.0.1.11 is the address of a control plane",
        "'user' must be one word",
    ] {
        assert!(said.contains(why), "{why} in {said}");
    }
    assert!(text.contains("vip = \"10.0.1.10:6443\""), "{text}");
    assert_eq!(text.matches("[[node]]").count(), 3, "{text}");
}

/// Nearly every file has `bind *:6443`.
#[test]
fn what_a_haproxy_cfg_cannot_tell_is_asked_for() {
    let folder = Folder::new("asked");
    let wild = HAPROXY.replace("10.0.1.10:6443", "*:7443");
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &wild)),
        ..InitArgs::default()
    };
    let (text, said) = asked(&args, "lb1=10.0.1.8 lb2=10.0.1.9\n\n10.0.1.8\n10.0.1.10\n");
    let text = text.unwrap();
    assert!(text.contains("vip = \"10.0.1.10:7443\""), "{text}");
    assert_eq!(text.matches("[[node]]").count(), 4, "{text}");
    assert!(
        said.contains("haproxy.cfg:2:10: 'kubernetes-frontend' binds every address of its host"),
        "{said}"
    );
    assert!(
        said.contains("give the VIP an address of its own"),
        "{said}"
    );
    // One balancer: its address is what Enter takes.
    let (text, _) = asked(&args, "10.0.1.10\nw1=10.0.1.13\n\n");
    assert!(text.unwrap().contains("vip = \"10.0.1.10:7443\""));
    // The VIP is said: Enter takes its host for the balancer.
    let args = InitArgs {
        vip: Some("10.0.1.10".to_owned()),
        ..args
    };
    let (text, said) = asked(&args, "\n\n");
    assert!(
        text.unwrap()
            .contains("name = \"lb\"\nrole = \"lb\"\naddress = \"10.0.1.10\"")
    );
    assert!(said.contains("spaces between [lb=10.0.1.10]: "), "{said}");
    // A file that tells everything asks for nothing.
    let args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", HAPROXY)),
        ..InitArgs::default()
    };
    let mut sketch = sketch_of(&args).unwrap();
    let mut said = Vec::new();
    ask::ask(
        &args,
        Path::new("c"),
        &mut sketch,
        &mut Cursor::new(""),
        &mut said,
    )
    .unwrap();
    assert!(said.is_empty());
}

#[test]
fn addresses_that_others_do_not_reach_are_told_with_their_place() {
    let folder = Folder::new("loopback");
    let text = HAPROXY
        .replace("10.0.1.10:", "127.0.0.1:")
        .replace("10.0.1.11:", "127.0.0.1:")
        .replace("10.0.1.12:", "master2.invalid:");
    let mut args = InitArgs {
        from_haproxy: Some(folder.file("haproxy.cfg", &text)),
        ..InitArgs::default()
    };
    let message = refused(&args);
    assert!(
        message.contains("haproxy.cfg:11:5: the address of server 'master1' must be an address that other hosts reach; 127.0.0.1 is the loopback of each host; name the control plane yourself: --control-plane master1=ADDRESS\n"),
        "{message}"
    );
    assert!(
        message.contains("--control-plane master2=ADDRESS"),
        "{message}"
    );
    args.control_plane = words(&["master1=10.0.1.11", "master2=10.0.1.12"]);
    let message = refused(&args);
    assert!(
        message.contains("haproxy.cfg:2:10: 'kubernetes-frontend' binds 127.0.0.1, which other hosts do not reach, so that this file does not tell the VIP; pass it, --vip 10.0.1.10, and each balancer whose own address it is not, --lb lb1=10.0.1.8"),
        "{message}"
    );
    args.vip = Some("10.0.1.10".to_owned());
    let (inventory, _) = written("loopback-said", &args);
    assert_eq!(inventory.of(Role::ControlPlane).count(), 2);
    assert_eq!(inventory.endpoint.to_string(), "10.0.1.10:6443");
}

/// What stands behind `# ` can be said as it stands there.
#[test]
fn commented_keys_are_keys() {
    let mut sketch = Sketch::default();
    for word in ["lb1=10.0.1.8", "lb2=10.0.1.9"] {
        hosts::add(word, Role::Balancer, &mut sketch).unwrap();
    }
    hosts::add("m=10.0.1.11", Role::ControlPlane, &mut sketch).unwrap();
    sketch.vip = endpoint("10.0.1.10", 6443);
    let folder = Folder::new("comments");
    for package in ["evenkeel_amd64.deb", "keepalived_amd64.deb"] {
        folder.file(package, "");
    }
    let text: String = sketch
        .text()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            // A key of the operator's home, and a line of a node.
            Some(said) if said.contains("~/") || said.starts_with("ssh =") => "\n".to_owned(),
            Some(said)
                if said.starts_with('[')
                    || said
                        .split_once(" = ")
                        .is_some_and(|(key, _)| !key.contains([' ', ','])) =>
            {
                format!("{said}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let path = folder.file("cluster.toml", &text);
    let inventory = load(&path)
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
        .inventory;
    assert_eq!(inventory.name, "kubernetes");
    assert!(inventory.kubeadm.cluster.contains_key("apiServer"));
    assert_eq!(inventory.vrrp.unwrap().interface.as_deref(), Some("eth0"));
}
