//! The command line. Help, man page and completions are printed from it.

use std::path::PathBuf;
use std::time::Duration;

use crate::inventory::init::InitArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::operations::{Care, Pods};
use crate::verify::Topic;

/// Brings up a kubeadm cluster whose control planes stand behind evenkeel.
///
/// Describe the hosts in cluster.toml (`init` writes one), look at what they lack (`preflight`), see what would
/// be done (`plan`) and do it (`apply`). Every command can be run again at any time: what is done already is
/// passed over.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bootstrap", version, max_term_width = 100)]
#[command(after_help = exit_status())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the cluster is described
    #[arg(
        short,
        long,
        global = true,
        default_value = "cluster.toml",
        value_name = "FILE"
    )]
    pub file: PathBuf,
}

/// Every exit status with what it means.
pub const EXITS: [(u8, &str); 4] = [
    (0, "all is well"),
    (1, "something failed, or is not as it should be"),
    (2, "a mistake in the command line or in cluster.toml"),
    (130, "stopped by the operator"),
];

fn exit_status() -> String {
    let all: Vec<_> = EXITS
        .iter()
        .map(|(status, what)| format!("{status} {what}"))
        .collect();
    format!("Exit status: {}.", all.join("; "))
}

/// How hosts are connected to.
#[derive(Clone, Debug, Default, Args)]
pub struct Connect {
    /// Ask for the password that sudo wants on the hosts
    #[arg(short = 'K', long)]
    pub ask_sudo_password: bool,
    /// Read that password from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "ask_sudo_password")]
    pub sudo_password_file: Option<PathBuf>,
    /// Take the key of a host that was never seen as it is (ssh's StrictHostKeyChecking=accept-new)
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// Go on without a host that is down; may be given more than once. What it has joined, serves or keeps
    /// stays as it is
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a cluster.toml to start from: of hosts, of answers, or of a haproxy.cfg
    Init(Box<InitArgs>),
    /// Look at every host and say what is in the way, with a way out; changes nothing
    Preflight {
        /// In which form it is printed.
        #[command(flatten)]
        shown: Shown,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Show what would be done, with every file and command
    Plan {
        /// In which form it is printed.
        #[command(flatten)]
        shown: Shown,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Do it: show the plan, ask, and run it, from nothing or from wherever it stopped
    Apply {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Neither look for findings first nor stop at those that are errors
        #[arg(long)]
        skip_preflight: bool,
        /// Leave something out of what is verified at the end; may be given more than once
        #[arg(long, value_name = "TOPIC")]
        skip: Vec<Topic>,
        /// What other tools call `plan`.
        #[arg(long, hide = true)]
        dry_run: bool,
        /// Merge the administrator's kubeconfig into yours when all is done, as `kubeconfig` does
        #[arg(long)]
        kubeconfig: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Ask until the cluster is what the file says, and report: nodes, API servers, the balancer, etcd, the
    /// network, DNS, certificates
    Verify {
        /// How many seconds to wait for what is not so yet
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        timeout: u64,
        /// Leave something out; may be given more than once
        #[arg(long, value_name = "TOPIC")]
        skip: Vec<Topic>,
        /// In which form it is printed.
        #[command(flatten)]
        shown: Shown,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Merge the administrator's kubeconfig into yours, by the cluster's name; what was there is kept beside it
    Kubeconfig {
        /// Where to, instead of the first file of KUBECONFIG or ~/.kube/config
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Have kubectl speak to this cluster from now on
        #[arg(long)]
        current: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Make a new token known and print the command with which a host joins by hand
    Token {
        /// As a control plane: with a key for the uploaded certificates
        #[arg(long)]
        control_plane: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Write a node into the file; apply has it join
    Add(NewNode),
    /// Have a node leave: the balancer first, then its pods, its etcd member, its machine, the node, the file
    Remove {
        /// Its name
        node: String,
        /// How much is asked to end by itself.
        #[command(flatten)]
        gently: Gently,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Take the whole cluster away, or one node out of it that stays in the file
    Reset {
        /// This node alone
        node: Option<String>,
        /// Only what is on its machine, which no running cluster knows
        #[arg(long, requires = "node")]
        force: bool,
        /// How much is asked to end by itself.
        #[command(flatten)]
        gently: Gently,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Bring the cluster to the version in the file, one control plane after the other, out of the balancer
    /// while it restarts
    Upgrade {
        /// How much is asked to end by itself.
        #[command(flatten)]
        gently: Gently,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Print when the certificates of the control planes end, or renew them: one control plane after the other,
    /// out of the balancer while it restarts
    Certs {
        /// Renew them, whenever they end
        #[arg(long)]
        renew: bool,
        /// How many seconds sessions that are open through the balancer may last on a control plane that is
        /// about to restart
        #[arg(long, default_value_t = SESSION_WAIT, value_name = "SECONDS", value_parser = up_to_a_day())]
        session_wait: u64,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Fetch an archive of a snapshot of etcd and the cluster's keys; keep it as you keep the keys themselves
    Backup {
        /// Where to, instead of NAME-TIME.tar.gz here
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// How hosts are connected to.
        #[command(flatten)]
        connect: Connect,
    },
    /// Print a man page
    #[command(hide = true)]
    Man,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// For sessions to end: a `kubectl exec` that somebody looks at does in this time or not at all.
const SESSION_WAIT: u64 = 30;

fn up_to_a_day() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=86_400)
}

/// How much is asked to end by itself before it is ended.
#[derive(Clone, Copy, Debug, Args)]
pub struct Gently {
    /// Pods end with their node, instead of being asked to leave it before
    #[arg(long)]
    pub no_drain: bool,
    /// How many seconds sessions that are open through the balancer may last on a control plane that is about
    /// to go away
    #[arg(long, default_value_t = SESSION_WAIT, value_name = "SECONDS", value_parser = up_to_a_day())]
    pub session_wait: u64,
}

impl From<Gently> for Care {
    fn from(gently: Gently) -> Self {
        Self {
            pods: if gently.no_drain {
                Pods::End
            } else {
                Pods::Leave
            },
            sessions: Duration::from_secs(gently.session_wait),
        }
    }
}

/// A node for the file.
#[derive(Clone, Debug, Args)]
pub struct NewNode {
    /// Its short name
    pub name: String,
    /// Its address in the cluster's network
    pub address: std::net::IpAddr,
    /// What it is for
    #[arg(long, default_value = "worker")]
    pub role: NewRole,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NewRole {
    /// A balancer.
    Lb,
    /// A control plane.
    ControlPlane,
    /// A worker.
    Worker,
}

impl From<NewRole> for crate::inventory::Role {
    fn from(role: NewRole) -> Self {
        match role {
            NewRole::Lb => Self::Balancer,
            NewRole::ControlPlane => Self::ControlPlane,
            NewRole::Worker => Self::Worker,
        }
    }
}

/// In which form something is printed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Shown {
    /// For programs: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// For eyes, or for programs
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Shown {
    /// Whether a program reads it.
    #[must_use]
    pub fn for_programs(self) -> bool {
        self.json || self.format == Some(Format::Json)
    }
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For eyes.
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_agrees_with_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_form_may_be_said_in_two_ways() {
        for command in ["plan", "preflight", "verify"] {
            for (words, expected) in [
                (&[][..], false),
                (&["--json"], true),
                (&["--format", "json"], true),
                (&["--format=text"], false),
            ] {
                let mut line = vec!["evenkeel-bootstrap", command];
                line.extend(words);
                let (Command::Plan { shown, .. }
                | Command::Preflight { shown, .. }
                | Command::Verify { shown, .. }) = Cli::parse_from(line).command
                else {
                    panic!("{command}")
                };
                assert_eq!(shown.for_programs(), expected, "{command}");
            }
        }
    }

    /// An option that does nothing is a promise that is not kept.
    #[test]
    fn options_of_connections_are_where_hosts_are_connected_to() {
        let command = Cli::command();
        let mut with = Vec::new();
        for sub in command.get_subcommands() {
            if sub
                .get_arguments()
                .any(|arg| arg.get_id() == "ask_sudo_password")
            {
                with.push(sub.get_name());
            }
        }
        for name in ["init", "add", "man", "completions"] {
            assert!(!with.contains(&name), "{name}");
        }
        assert!(
            with.contains(&"apply") && with.contains(&"backup"),
            "{with:?}"
        );
    }
}
