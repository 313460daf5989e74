//! nginx with its stream module.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Contestant, Running};
use crate::process::Process;
use crate::stage::{Service, Threads};
use crate::topology::{Host, Topology};

/// Where Debian's package libnginx-mod-stream has it.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

pub(super) fn start(
    contestant: &Contestant,
    topology: &Topology,
    threads: Threads,
    service: &Service,
) -> Result<Running> {
    let folder = topology.folder.join("nginx");
    fs::create_dir_all(&folder).context("a folder for nginx")?;
    topology.hand_over(&folder)?;
    let file = folder.join("nginx.conf");
    fs::write(
        &file,
        configuration(&folder, threads, service, topology.is_root_of_no_one()),
    )
    .context("write its configuration")?;
    let mut command =
        topology.unprivileged_on(Host::Lb, threads.balancer_cores(), &contestant.file);
    command.arg("-c").arg(&file).args(["-e", "stderr"]);
    let log = topology.folder.join("balancer.log");
    Ok(Running::process(
        service.front,
        Process::start(command, &log)?,
    ))
}

/// Whether it can balance TCP at all.
pub(super) fn check_module() -> Result<()> {
    ensure!(
        Path::new(STREAM_MODULE).is_file(),
        "no stream module (Debian's package libnginx-mod-stream has it)"
    );
    Ok(())
}

fn configuration(folder: &Path, threads: Threads, service: &Service, stays: bool) -> String {
    let mut servers = String::new();
    for address in &service.servers {
        let _ = writeln!(servers, "        server {address};");
    }
    let user = if stays { "user root root;\n" } else { "" };
    format!(
        "load_module {STREAM_MODULE};
{user}daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 20000; }}
stream {{
    access_log off;
    upstream masters {{
{servers}    }}
    server {{
        listen {front} backlog=9500;
        proxy_pass masters;
    }}
}}
",
        workers = threads.count(),
        folder = folder.display(),
        front = service.front,
    )
}
