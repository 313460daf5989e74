//! `init`: writes a `cluster.toml` to start from, out of a list of hosts, answers, or a haproxy.cfg. What it
//! writes has gone through the reader first.

mod ask;
mod haproxy;
mod hosts;
mod sketch;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use evenkeel_config::{Problem, Severity};
use thiserror::Error;

use self::sketch::Sketch;
use super::{Endpoint, Role, load_text, printable};
use crate::files::{self, Readers};

/// What `init` is told.
#[derive(Clone, Debug, Default, Args)]
pub struct InitArgs {
    /// Hosts as NAME=ADDRESS, whose role is told by the name: lb..., master..., worker... and the like.
    #[arg(value_name = "NAME=ADDRESS")]
    pub hosts: Vec<String>,
    /// A balancer: NAME=ADDRESS, or the address alone.
    #[arg(long, value_name = "HOST")]
    pub lb: Vec<String>,
    /// A control plane, likewise.
    #[arg(long, value_name = "HOST")]
    pub control_plane: Vec<String>,
    /// A worker, likewise.
    #[arg(long, value_name = "HOST")]
    pub worker: Vec<String>,
    /// Take the control planes, the VIP and its port from a haproxy.cfg (or evenkeel's TOML).
    #[arg(long, value_name = "FILE")]
    pub from_haproxy: Option<PathBuf>,
    /// Which frontend of that file is the API's, where that cannot be told.
    #[arg(long, value_name = "NAME", requires = "from_haproxy")]
    pub frontend: Option<String>,
    /// Where clients reach the API; the address of the only balancer where it is not said.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub vip: Option<String>,
    /// The release of Kubernetes.
    #[arg(long, value_name = "RELEASE")]
    pub kubernetes: Option<String>,
    /// The domain of the hosts, such as kube.com.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Who logs in by ssh.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Write over a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it.
    #[arg(long)]
    pub print: bool,
}

impl InitArgs {
    /// Whether no host is named in any way.
    fn names_nobody(&self) -> bool {
        self.hosts.is_empty()
            && self.lb.is_empty()
            && self.control_plane.is_empty()
            && self.worker.is_empty()
            && self.from_haproxy.is_none()
    }
}

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum InitError {
    /// A file is there already.
    #[error("{} is there already; --force writes over it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// No host was named, and nobody can be asked.
    #[error(
        "name the hosts, as in: evenkeel-bootstrap init lb=10.0.1.10 master1=10.0.1.11 worker1=10.0.1.13; \
         or --from-haproxy FILE; on a terminal it asks"
    )]
    Nobody,
    /// Everything that is wrong with what was said, a line each.
    #[error("{}", lines(mistakes))]
    Mistakes {
        /// What is wrong and what would be right.
        mistakes: Vec<String>,
    },
    /// Something could not be read or written.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

/// A line for each, whatever the operator typed.
fn lines(mistakes: &[String]) -> String {
    let lines: Vec<_> = mistakes.iter().map(|mistake| printable(mistake)).collect();
    lines.join("\n")
}

impl InitError {
    fn io(doing: String) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { doing, cause }
    }
}

/// Runs `init` for the file `path` and returns what to tell the operator. On a terminal it asks for whatever
/// the arguments and the haproxy.cfg do not say.
///
/// # Errors
/// Why nothing was written: exit status 2, but 1 for [`InitError::Io`].
pub fn run_init(args: &InitArgs, path: &Path) -> Result<String, InitError> {
    if !args.print && !args.force && path.symlink_metadata().is_ok() {
        return Err(InitError::Exists {
            path: path.to_owned(),
        });
    }
    let stdin = std::io::stdin();
    let mut sketch = sketch_of(args)?;
    if stdin.is_terminal() {
        // What was said is judged before anything is asked.
        let mistakes = judge(&sketch, path);
        if !mistakes.is_empty() {
            return Err(InitError::Mistakes { mistakes });
        }
        ask::ask(
            args,
            path,
            &mut sketch,
            &mut stdin.lock(),
            &mut std::io::stderr(),
        )?;
    } else if args.names_nobody() {
        return Err(InitError::Nobody);
    }
    let mistakes = sketch.complete();
    if !mistakes.is_empty() {
        return Err(InitError::Mistakes { mistakes });
    }
    let (text, notes) = sound(&sketch, path)?;
    if args.print {
        return Ok(text);
    }
    write(path, &text, args.force)?;
    Ok(report(&sketch, path, &notes))
}

/// What the arguments say.
fn sketch_of(args: &InitArgs) -> Result<Sketch, InitError> {
    let mut sketch = Sketch::default();
    let mut mistakes = Vec::new();
    let said = hosts::Said {
        plain: &args.hosts,
        by_role: [
            (Role::Balancer, &args.lb),
            (Role::ControlPlane, &args.control_plane),
            (Role::Worker, &args.worker),
        ],
    };
    mistakes.extend(hosts::take(&said, &mut sketch));
    if let Some(file) = &args.from_haproxy {
        match haproxy::take(file, args.frontend.as_deref(), &mut sketch) {
            Err(InitError::Mistakes { mistakes: more }) => mistakes.extend(more),
            other => other?,
        }
    }
    if let Some(domain) = &args.domain {
        sketch.domain.clone_from(domain);
    }
    if let Some(kubernetes) = &args.kubernetes {
        sketch.kubernetes.clone_from(kubernetes);
    }
    sketch.user.clone_from(&args.user);
    if let Some(vip) = &args.vip {
        match endpoint(vip, sketch.port) {
            Some(endpoint) => sketch.vip = Some(endpoint),
            None => mistakes.push(format!(
                "'{vip}' is no address with a port or without; write --vip 10.0.1.10:6443"
            )),
        }
    }
    match mistakes.is_empty() {
        true => Ok(sketch),
        false => Err(InitError::Mistakes { mistakes }),
    }
}

/// What is wrong with what is known so far.
fn judge(sketch: &Sketch, path: &Path) -> Vec<String> {
    match sound(&sketch.filled(), path) {
        Err(InitError::Mistakes { mistakes }) => mistakes,
        _ => Vec::new(),
    }
}

/// An address, with a port or without.
fn endpoint(text: &str, port: u16) -> Option<Endpoint> {
    let (vip, port) = match text.parse::<std::net::SocketAddr>() {
        Ok(both) => (both.ip(), both.port()),
        Err(_) => (text.parse().ok()?, port),
    };
    Some(Endpoint { vip, port })
}

/// The text, once the reader takes it, and what the reader wants to be known. Nobody has seen the text
/// yet, so mistakes are told without their place.
fn sound(sketch: &Sketch, path: &Path) -> Result<(String, Vec<String>), InitError> {
    let text = sketch.text();
    let words = |problems: Vec<Problem>, severity| {
        problems
            .into_iter()
            .filter(|problem| problem.severity == severity)
            .map(|problem| problem.message)
            .collect::<Vec<_>>()
    };
    match load_text(path, text.clone().into_bytes()) {
        Ok(loaded) => {
            let mut notes = words(loaded.warnings, Severity::Warning);
            notes.extend(loaded.inventory.even_voters());
            Ok((text, notes))
        }
        Err(problems) => Err(InitError::Mistakes {
            mistakes: words(problems, Severity::Error),
        }),
    }
}

/// Puts the text there whole or not at all.
fn write(path: &Path, text: &str, force: bool) -> Result<(), InitError> {
    if !force {
        // Whoever else writes one at this moment keeps theirs.
        std::fs::File::create_new(path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => InitError::Exists {
                path: path.to_owned(),
            },
            _ => InitError::io(format!("write {}", path.display()))(cause),
        })?;
    }
    let written = files::replace(path, text.as_bytes(), Readers::All);
    if written.is_err() && !force {
        let _ = std::fs::remove_file(path);
    }
    written.map_err(InitError::io(format!("write {}", path.display())))
}

fn report(sketch: &Sketch, path: &Path, notes: &[String]) -> String {
    let count = |role, one: &str, many: &str| match sketch.of(role).count() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut report = format!(
        "wrote {}: {}, {}, {}\n",
        path.display(),
        count(Role::Balancer, "balancer", "balancers"),
        count(Role::ControlPlane, "control plane", "control planes"),
        count(Role::Worker, "worker", "workers"),
    );
    for note in notes.iter().chain(&sketch.notes) {
        report.push_str(&format!("note: {note}\n"));
    }
    report.push_str("look at it, then: evenkeel-bootstrap preflight\n");
    report
}

#[cfg(test)]
mod tests;
