//! The machines of the seed on one Ethernet: each host is a network namespace with one interface,
//! plugged into a bridge. A master runs nginx with the few paths of a Kubernetes API that the
//! clients ask for.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::namespaces::DIRECTORY;
use crate::support::tools::run;
use crate::support::wait::within;

/// A machine of the seed, or the client beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Lb,
    Master1,
    Master2,
    Worker1,
    Worker2,
    Client,
}

pub(crate) const MASTERS: [Host; 2] = [Host::Master1, Host::Master2];

impl Host {
    const ALL: [Host; 6] = [
        Host::Lb,
        Host::Master1,
        Host::Master2,
        Host::Worker1,
        Host::Worker2,
        Host::Client,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Host::Lb => "lb",
            Host::Master1 => "master1",
            Host::Master2 => "master2",
            Host::Worker1 => "worker1",
            Host::Worker2 => "worker2",
            Host::Client => "client",
        }
    }

    fn address(self) -> &'static str {
        match self {
            Host::Lb => "10.0.1.10",
            Host::Master1 => "10.0.1.11",
            Host::Master2 => "10.0.1.12",
            Host::Worker1 => "10.0.1.13",
            Host::Worker2 => "10.0.1.14",
            Host::Client => "10.0.1.100",
        }
    }
}

/// One set of the seed's machines. Several stand side by side in one outer namespace, told apart
/// by the first letter of their tag.
pub(crate) struct Lab {
    tag: String,
}

/// Whether the lb node holds its address when the lab comes up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vip {
    Present,
    /// The node is on the network as 10.0.1.9, the balanced address is nowhere.
    Absent,
}

impl Lab {
    pub(crate) fn new(tag: &str, vip: Vip) -> Self {
        let lab = Lab {
            tag: tag.to_owned(),
        };
        fs::create_dir_all(lab.directory()).expect("the lab's file system takes folders");
        let bridge = format!("{}.bridge", &tag[..1]);
        let mut wires = format!("link add {bridge} type bridge\nlink set {bridge} up\n");
        for host in Host::ALL {
            let (space, port) = (lab.space(host), lab.port(host));
            wires += &format!(
                "netns add {space}\n\
                 link add {port} type veth peer name eth0 netns {space}\n\
                 link set {port} master {bridge} up\n"
            );
        }
        batch(Command::new("ip").args(["-batch", "-"]), &wires);
        for host in Host::ALL {
            let address = match (host, vip) {
                (Host::Lb, Vip::Absent) => "10.0.1.9",
                _ => host.address(),
            };
            let inside =
                format!("link set lo up\nlink set eth0 up\naddr add {address}/24 dev eth0\n");
            batch(
                Command::new("ip").args(["-n", &lab.space(host), "-batch", "-"]),
                &inside,
            );
        }
        lab.make_certificate();
        lab
    }

    /// The files of this lab.
    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.tag)
    }

    /// The certificate of every master, which the clients trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory().join("cert.pem")
    }

    /// A command that runs as a process of this host; the process id is the program's own.
    pub(crate) fn on(&self, host: Host, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.space(host)))
            .arg("--")
            .arg(program);
        command
    }

    /// Pulls the host's cable: its peers get no answer, not even a refusal.
    pub(crate) fn cut_off(&self, host: Host) {
        run(Command::new("ip").args(["link", "set", &self.port(host), "down"]));
    }

    /// Plugs the cable in again.
    pub(crate) fn reconnect(&self, host: Host) {
        run(Command::new("ip").args(["link", "set", &self.port(host), "up"]));
    }

    /// The balanced address comes to the lb node, as keepalived brings it.
    pub(crate) fn bring_vip(&self) {
        run(self
            .on(Host::Lb, "ip")
            .args(["addr", "add", "10.0.1.10/24", "dev", "eth0"]));
    }

    fn space(&self, host: Host) -> String {
        format!("{}-{}", self.tag, host.name())
    }

    /// The bridge's end of a host's cable; the kernel allows 15 letters.
    fn port(&self, host: Host) -> String {
        format!("{}.{}", &self.tag[..1], host.name())
    }

    fn make_certificate(&self) {
        let names = "subjectAltName=DNS:lb.kube.com,IP:10.0.1.10,IP:10.0.1.11,IP:10.0.1.12";
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", "/CN=lb.kube.com", "-addext", names])
            .arg("-keyout")
            .arg(self.directory().join("key.pem"))
            .arg("-out")
            .arg(self.certificate()));
    }
}

/// Feeds `lines` to one `ip -batch -`: a process per line would take longer than the tests.
fn batch(command: &mut Command, lines: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip was found before the test began");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    input
        .write_all(lines.as_bytes())
        .expect("ip reads all of its lines");
    drop(input);
    let output = child.wait_with_output().expect("ip ends");
    assert!(
        output.status.success(),
        "{lines}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An API server stand-in on a master: nginx, TLS, one process.
pub(crate) struct Master {
    lab: Arc<Lab>,
    host: Host,
    nginx: Child,
}

impl Master {
    /// Starts it and waits until it answers on its own address.
    pub(crate) fn start(lab: &Arc<Lab>, host: Host) -> Self {
        let folder = lab.directory().join(host.name());
        fs::create_dir_all(&folder).expect("the lab's file system takes folders");
        let watch = "{\"type\":\"BOOKMARK\",\"object\":{}}\n".repeat(4000);
        fs::write(folder.join("watch"), watch).expect("the lab's file system takes files");
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(lab, host)).expect("the lab's file system takes files");
        let nginx = lab
            .on(host, "nginx")
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.join("error.log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx was found before the test began");
        let master = Master {
            lab: Arc::clone(lab),
            host,
            nginx,
        };
        let answers = within(Duration::from_secs(10), || master.ask("/readyz"));
        assert_eq!(
            answers.as_deref(),
            Some("ok"),
            "{} never answered",
            host.name()
        );
        master
    }

    /// SIGKILL: its connections are reset and new ones refused.
    pub(crate) fn kill(&mut self) {
        self.nginx
            .kill()
            .expect("nginx is a child that was not waited for");
        self.nginx.wait().expect("a killed child ends");
    }

    /// SIGSTOP: the kernel goes on accepting for a program that does nothing any more.
    pub(crate) fn freeze(&self) {
        signal(self.nginx.id(), "STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        signal(self.nginx.id(), "CONT");
    }

    /// Connections that the application has accepted so far, this question's own one included.
    pub(crate) fn accepted(&self) -> u64 {
        let page = self
            .ask("/connections")
            .expect("a running master answers its own host");
        let numbers = page.lines().nth(2).expect("the third line has the numbers");
        let accepts = numbers
            .split_whitespace()
            .next()
            .expect("the first number is the accepts");
        accepts.parse().expect("accepts is a number")
    }

    /// TLS handshakes that a client broke off.
    pub(crate) fn handshake_errors(&self) -> usize {
        let log = self
            .lab
            .directory()
            .join(self.host.name())
            .join("error.log");
        let text = fs::read_to_string(log).expect("nginx writes its log");
        text.lines()
            .filter(|line| line.contains("SSL handshaking"))
            .count()
    }

    /// TCP segments that the host's kernel has received, for the application or not.
    pub(crate) fn segments_received(&self) -> u64 {
        let table = run(self.lab.on(self.host, "cat").arg("/proc/net/snmp"));
        let mut rows = table.lines().filter(|line| line.starts_with("Tcp:"));
        let names = rows.next().expect("a row of names");
        let values = rows.next().expect("a row of values");
        names
            .split_whitespace()
            .zip(values.split_whitespace())
            .find_map(|(name, value)| (name == "InSegs").then(|| value.parse().expect("a number")))
            .expect("the kernel counts received segments")
    }

    fn ask(&self, path: &str) -> Option<String> {
        let output = self
            .lab
            .on(self.host, "curl")
            .args(["--silent", "--max-time", "2", "--cacert"])
            .arg(self.lab.certificate())
            .arg(format!("https://{}:6443{path}", self.host.address()))
            .output()
            .expect("curl was found before the test began");
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(pid: u32, name: &str) {
    run(Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]));
}

/// One process, so that a signal reaches all of the application at once. `user root` because the
/// root of a user namespace can become nobody else. `/watch` trickles for as long as a test lasts.
fn configuration(lab: &Lab, host: Host) -> String {
    let (name, address) = (host.name(), host.address());
    let lab = lab.directory().display().to_string();
    let version = r#"{"major":"1","minor":"31","gitVersion":"v1.31.0","gitCommit":"9edcffcde5595e8a5b1a35f88c421764e575afce","gitTreeState":"clean","buildDate":"2024-08-13T07:28:49Z","goVersion":"go1.22.5","compiler":"gc","platform":"linux/amd64"}"#;
    format!(
        "daemon off;
master_process off;
user root root;
pid {lab}/{name}/pid;
error_log {lab}/{name}/error.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {lab}/{name}/body;
    proxy_temp_path {lab}/{name}/proxy;
    fastcgi_temp_path {lab}/{name}/fastcgi;
    uwsgi_temp_path {lab}/{name}/uwsgi;
    scgi_temp_path {lab}/{name}/scgi;
    default_type application/json;
    server {{
        listen {address}:6443 ssl http2;
        ssl_certificate {lab}/cert.pem;
        ssl_certificate_key {lab}/key.pem;
        add_header X-Master {name} always;
        location = /readyz {{ default_type text/plain; return 200 ok; }}
        location = /healthz {{ default_type text/plain; return 200 ok; }}
        location = /livez {{ default_type text/plain; return 200 ok; }}
        location = /version {{ return 200 '{version}'; }}
        location = /api {{ return 200 '{{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}}'; }}
        location = /apis {{ return 200 '{{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[]}}'; }}
        location = /api/v1 {{ return 200 '{{\"kind\":\"APIResourceList\",\"groupVersion\":\"v1\",\"resources\":[]}}'; }}
        location = /watch {{ limit_rate 100; alias {lab}/{name}/watch; }}
        location = /connections {{ stub_status; }}
    }}
}}
"
    )
}
