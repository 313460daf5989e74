//! The checks before init and join, in kubeadm's order.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::Failure;
use super::config::Registration;
use crate::{containerd, faults, pods, version};

/// What was found so far.
#[derive(Default)]
pub struct Checks {
    warnings: Vec<(String, String)>,
    errors: Vec<(String, String)>,
}

impl Checks {
    fn error(&mut self, name: impl Into<String>, what: impl Into<String>) {
        self.errors.push((name.into(), what.into()));
    }

    fn warning(&mut self, name: &str, what: impl Into<String>) {
        self.warnings.push((name.to_owned(), what.into()));
    }

    pub fn port(&mut self, port: u16) {
        if TcpListener::bind(("::", port)).is_err() {
            self.error(format!("Port-{port}"), format!("Port {port} is in use"));
        }
    }

    pub fn file_is_free(&mut self, path: &str) {
        if Path::new(path).exists() {
            self.error(
                format!("FileAvailable-{}", path.replace('/', "-")),
                format!("{path} already exists"),
            );
        }
    }

    /// What every node is checked for.
    pub fn common(&mut self, node: &Registration) {
        if let Some(why) = containerd::unreachable(&node.socket) {
            self.error("CRI", why.clone());
            self.error("ContainerRuntimeVersion", why);
        }
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().count() > 1 {
            self.warning(
                "Swap",
                "swap is supported for cgroup v2 only. The kubelet must be properly configured to use swap. Please refer \
                 to https://kubernetes.io/docs/concepts/architecture/nodes/#swap-memory, or disable swap on the node",
            );
        }
        for program in ["losetup", "mount", "cp"] {
            let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
                .iter()
                .any(|folder| Path::new(folder).join(program).exists());
            if !found {
                let name = format!("FileExisting-{program}");
                self.error(name, format!("{program} not found in system path"));
            }
        }
        if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            println!(
                "[preflight] The system verification failed. Printing the output from the verification:"
            );
            self.error(
                "SystemVerification",
                "cgroups v1 support is deprecated and will be removed in a future release. Please migrate to cgroups v2. \
                 To explicitly enable cgroups v1 support for kubelet v1.35 or newer, you must set the kubelet configuration \
                 option 'FailCgroupV1' to 'false'. You must also explicitly skip this validation. For more information, see \
                 https://git.k8s.io/enhancements/keps/sig-node/5573-remove-cgroup-v1",
            );
        }
        use std::net::ToSocketAddrs;
        if (node.name.as_str(), 0).to_socket_addrs().is_err() {
            self.warning(
                "Hostname",
                format!("hostname \"{}\" could not be reached", node.name),
            );
            self.warning(
                "Hostname",
                format!("hostname \"{0}\": lookup {0}: no such host", node.name),
            );
        }
        let skew = |of: &str| -> Option<u32> { of.split('.').nth(1)?.parse().ok() };
        if skew(&version("kubelet")) > skew(&pods::release()) {
            self.error(
                "KubeletVersion",
                format!(
                    "the kubelet version is higher than the control plane version. This is not a supported version skew and \
                     may lead to a malfunctional cluster. Kubelet version: \"{}\" Control plane version: \"{}\"",
                    version("kubelet").trim_start_matches('v'),
                    pods::release().trim_start_matches('v')
                ),
            );
        }
        let is = |question: &str| {
            Command::new("systemctl")
                .args([question, "-q", "kubelet"])
                .status()
                .is_ok_and(|status| status.success())
        };
        if !Path::new("/usr/bin/kubelet").exists() {
            self.error("FileExisting-kubelet", "kubelet not found in system path");
        } else if !is("is-enabled") {
            self.warning(
                "Service-Kubelet",
                "kubelet service is not enabled, please run 'systemctl enable kubelet.service'",
            );
        }
        self.port(10250);
    }

    /// What a control plane is checked for first.
    pub fn control_plane(&mut self, bind_port: u16) {
        for port in [bind_port, 10259, 10257] {
            self.port(port);
        }
        for component in [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "etcd",
        ] {
            self.file_is_free(&format!("{}/{component}.yaml", pods::MANIFESTS));
        }
    }

    pub fn forwarding(&mut self) {
        let path = "/proc/sys/net/ipv4/ip_forward";
        if fs::read_to_string(path).is_ok_and(|text| text.trim() != "1") {
            self.error(
                format!("FileContent-{}", path.replace('/', "-")),
                format!("{path} contents are not set to 1"),
            );
        }
    }

    pub fn etcd(&mut self, data: &str) {
        self.port(2379);
        self.port(2380);
        if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
            self.error(
                format!("DirAvailable-{}", data.replace('/', "-")),
                format!("{data} is not empty"),
            );
        }
    }

    /// Says what was found; errors that are not to be ignored end the command.
    pub fn finish(self, ignored: &[String]) -> Result<(), Failure> {
        let is_ignored = |name: &str| {
            ignored
                .iter()
                .any(|word| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case("all"))
        };
        let (passed, fatal): (Vec<_>, Vec<_>) = self
            .errors
            .into_iter()
            .partition(|(name, _)| is_ignored(name));
        for (name, what) in self.warnings.into_iter().chain(passed) {
            eprintln!("\t[WARNING {name}]: {what}");
        }
        if fatal.is_empty() {
            return Ok(());
        }
        eprintln!("[preflight] Some fatal errors occurred:");
        for (name, what) in fatal {
            eprintln!("\t[ERROR {name}]: {what}");
        }
        eprintln!(
            "[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`"
        );
        Err("error execution phase preflight: preflight checks failed".to_owned())
    }
}

/// Pulls what a control plane runs.
pub fn pull(images: &[String]) -> Result<(), Failure> {
    println!("[preflight] Pulling images required for setting up a Kubernetes cluster");
    println!(
        "[preflight] This might take a minute or two, depending on the speed of your internet connection"
    );
    println!(
        "[preflight] You can also perform this action beforehand using 'kubeadm config images pull'"
    );
    let mut failed = Checks::default();
    for image in images {
        if let Some(why) = containerd::pull_error(image) {
            failed.error(
                "ImagePull",
                format!("failed to pull image {image}: failed to pull image {image}: {why}"),
            );
        }
    }
    let is_offline = faults::on("no-registry").is_some();
    failed.finish(&[])?;
    if !is_offline {
        containerd::add_images(images.iter().cloned()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
