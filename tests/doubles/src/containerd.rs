//! The container runtime: a socket that answers, a list of images, and the two commands that look at
//! it. It runs nothing.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use crate::{faults, pods, version, yaml};

const SOCKET: &str = "/run/containerd/containerd.sock";
const IMAGES: &str = "/var/lib/containerd/images";

pub fn run(arguments: &[String]) -> ExitCode {
    match arguments.first().map(String::as_str) {
        None => serve(),
        Some("--version" | "-v") => {
            println!(
                "containerd github.com/containerd/containerd/v2 {} 1",
                version("containerd").trim_start_matches('v')
            );
            ExitCode::SUCCESS
        }
        Some("config") if arguments.get(1).is_some_and(|word| word == "default") => {
            print!("{}", default_config());
            ExitCode::SUCCESS
        }
        Some("config") if arguments.get(1).is_some_and(|word| word == "dump") => {
            print!(
                "{}",
                fs::read_to_string("/etc/containerd/config.toml")
                    .unwrap_or_else(|_| default_config())
            );
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("containerd: flag provided but not defined: {other}");
            ExitCode::FAILURE
        }
    }
}

fn default_config() -> String {
    "version = 3
root = '/var/lib/containerd'
state = '/run/containerd'

[grpc]
  address = '/run/containerd/containerd.sock'

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10.1'

  [plugins.'io.containerd.cri.v1.runtime']
    [plugins.'io.containerd.cri.v1.runtime'.containerd]
      default_runtime_name = 'runc'

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
          runtime_type = 'io.containerd.runc.v2'

          [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
            SystemdCgroup = false
"
    .to_owned()
}

fn serve() -> ExitCode {
    fs::create_dir_all("/run/containerd").unwrap();
    let _ = fs::remove_file(SOCKET);
    let listener = match UnixListener::bind(SOCKET) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("containerd: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let (Some(place), Ok(socket)) = (env::var_os("NOTIFY_SOCKET"), UnixDatagram::unbound()) {
        let _ = socket.send_to(b"READY=1", place);
    }
    for connection in listener.incoming() {
        drop(connection);
    }
    ExitCode::SUCCESS
}

/// Why the runtime cannot be reached, if so, in the words of its clients.
pub fn unreachable(endpoint: &str) -> Option<String> {
    let path = endpoint.trim_start_matches("unix://");
    let error = UnixStream::connect(path).err()?;
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    Some(format!(
        "could not connect to the container runtime: failed to create new CRI runtime service: \
         validate service connection: validate CRI v1 runtime API for endpoint \"{endpoint}\": rpc error: \
         code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix \
         {path}: connect: {why}\""
    ))
}

/// The cgroup driver that its configuration names.
fn cgroup_driver() -> &'static str {
    let config = fs::read_to_string("/etc/containerd/config.toml").unwrap_or_default();
    let is_systemd = config.lines().any(|line| {
        let line: String = line.split_whitespace().collect();
        line == "SystemdCgroup=true"
    });
    if is_systemd { "systemd" } else { "cgroupfs" }
}

pub fn images() -> BTreeSet<String> {
    fs::read_to_string(IMAGES)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

pub fn add_images(names: impl IntoIterator<Item = String>) -> std::io::Result<()> {
    let mut images = images();
    images.extend(names);
    fs::create_dir_all("/var/lib/containerd")?;
    let lines: Vec<String> = images.into_iter().collect();
    fs::write(IMAGES, lines.join("\n") + "\n")
}

/// What a registry that cannot be reached lets a pull say.
pub fn pull_error(image: &str) -> Option<String> {
    if images().contains(image) {
        return None;
    }
    faults::on("no-registry")?;
    let (registry, rest) = image.split_once('/')?;
    let (name, tag) = rest.split_once(':')?;
    Some(format!(
        "failed to pull and unpack image \"{image}\": failed to resolve image: failed to do request: \
         Head \"https://{registry}/v2/{name}/manifests/{tag}\": dial tcp: lookup {registry}: no such host"
    ))
}

pub fn ctr(arguments: &[String]) -> ExitCode {
    if let Some(why) = unreachable("unix:///run/containerd/containerd.sock") {
        eprintln!("ctr: {why}");
        return ExitCode::FAILURE;
    }
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| {
            ![
                "-n",
                "--namespace",
                "k8s.io",
                "--namespace=k8s.io",
                "-n=k8s.io",
            ]
            .contains(word)
        })
        .collect();
    match words.as_slice() {
        ["version"] => println!("Client:\n  Version:  {}", version("containerd")),
        ["images" | "image" | "i", "import", rest @ ..] => {
            let Some(file) = rest.iter().rfind(|word| !word.starts_with("--")) else {
                eprintln!("ctr: an archive is needed");
                return ExitCode::FAILURE;
            };
            let output = Command::new("tar")
                .args(["-xOf", file, "manifest.json"])
                .output()
                .unwrap();
            let manifest: Value = match serde_json::from_slice(&output.stdout) {
                Ok(manifest) => manifest,
                Err(_) => {
                    eprintln!("ctr: unrecognized image format");
                    return ExitCode::FAILURE;
                }
            };
            for tag in manifest[0]["RepoTags"].as_array().into_iter().flatten() {
                let tag = tag.as_str().unwrap_or_default();
                println!("{tag} saved");
                add_images([tag.to_owned()]).unwrap();
            }
        }
        ["images" | "image" | "i", "ls" | "list", rest @ ..] => {
            if !rest.contains(&"-q") {
                println!("REF TYPE DIGEST SIZE PLATFORMS LABELS");
            }
            for image in images() {
                println!("{image}");
            }
        }
        ["images" | "image" | "i", "pull", .., image] => {
            if let Some(why) = pull_error(image) {
                eprintln!("ctr: {why}");
                return ExitCode::FAILURE;
            }
            add_images([(*image).to_owned()]).unwrap();
        }
        other => {
            eprintln!("ctr: {other:?} is not stood in for");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

pub fn crictl(arguments: &[String]) -> ExitCode {
    let mut endpoint = yaml::read("/etc/crictl.yaml")
        .and_then(|config| config["runtime-endpoint"].as_str().map(str::to_owned))
        .unwrap_or_else(|| "unix:///run/containerd/containerd.sock".to_owned());
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-r" | "--runtime-endpoint" => endpoint = rest.next().cloned().unwrap_or_default(),
            other => words.push(other),
        }
    }
    if words.first() == Some(&"--version") {
        println!("crictl version v1.36.0");
        return ExitCode::SUCCESS;
    }
    if let Some(why) = unreachable(&endpoint) {
        eprintln!("FATA[0000] {why}");
        return ExitCode::FAILURE;
    }
    match words.as_slice() {
        ["version", ..] => println!(
            "Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  {}\nRuntimeApiVersion:  v1",
            version("containerd")
        ),
        ["info", ..] => {
            let is_ready = has_cni();
            let info = json!({
                "status": {"conditions": [
                    {"type": "RuntimeReady", "status": true, "reason": "", "message": ""},
                    {"type": "NetworkReady", "status": is_ready,
                     "reason": if is_ready { "" } else { "NetworkPluginNotReady" },
                     "message": if is_ready { "" } else { "Network plugin returns error: cni plugin not initialized" }},
                ]},
                "config": {"containerd": {"runtimes": {"runc": {"options": {
                    "SystemdCgroup": cgroup_driver() == "systemd",
                }}}}},
            });
            println!("{}", serde_json::to_string_pretty(&info).unwrap());
        }
        ["images", ..] => {
            println!("IMAGE TAG");
            for image in images() {
                println!("{}", image.replace(':', " "));
            }
        }
        ["pull", image] => {
            if let Some(why) = pull_error(image) {
                eprintln!("FATA[0000] pulling image: {why}");
                return ExitCode::FAILURE;
            }
            add_images([(*image).to_owned()]).unwrap();
            println!("Image is up to date for {image}");
        }
        ["ps", "--quiet", "--state", "Running", "--name", pattern] => {
            // A pattern of one name, as operators write it.
            let wanted = pattern.trim_start_matches('^').trim_end_matches('$');
            for name in pods::running().iter().filter(|name| *name == wanted) {
                println!("{}", pods::id(name));
            }
        }
        ["stop", "--timeout", _, id] => {
            let Some(name) = pods::running()
                .into_iter()
                .find(|name| pods::id(name) == *id)
            else {
                eprintln!("E stopping the container \"{id}\": rpc error: code = NotFound");
                return ExitCode::FAILURE;
            };
            if !pods::end(&name) {
                return ExitCode::FAILURE;
            }
            println!("{id}");
        }
        ["ps" | "pods", ..] => {
            println!("CONTAINER STATE NAME");
            for name in pods::running() {
                println!("{name} Running {name}");
            }
        }
        other => {
            eprintln!("crictl: {other:?} is not stood in for");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Whether a network plugin has been set up.
pub fn has_cni() -> bool {
    fs::read_dir("/etc/cni/net.d")
        .into_iter()
        .flatten()
        .flatten()
        .any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.ends_with(".conflist") || name.ends_with(".conf")
        })
}
