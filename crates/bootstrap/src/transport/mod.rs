//! Runs scripts as root on hosts: through the system's OpenSSH, whose agent, configuration and known hosts
//! are those that the operator already has, or on this machine. Knows nothing of what the scripts do.
//!
//! A script goes over the standard input, so that no list of processes shows it, and so do secrets and files.

mod failure;
mod program;
mod shell;
mod ssh;

use std::path::Path;
use std::time::Duration;

pub use failure::Failure;
pub use program::Outcome;

use crate::inventory::{Node, Transport};
use crate::plan::quote;
use crate::secret::Secret;
use program::Input;

/// What a host says before all that is ours: shells greet, and not only people.
pub const BEGINS: &str = "evenkeel-begins";

/// How hosts are connected to, the same for all.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For sudo, where it asks for one.
    pub sudo_password: Option<Secret>,
    /// Whether the key of a host that was never seen is taken as it is (`StrictHostKeyChecking=accept-new`).
    pub accept_new_host_keys: bool,
}

/// A host that answered and on which scripts can be run as root.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its name in the inventory.
    pub name: String,
    line: Line,
    rights: Rights,
}

#[derive(Clone, Debug)]
enum Line {
    /// The arguments of `ssh` up to the command.
    Ssh(Vec<String>),
    Local,
}

#[derive(Clone, Debug)]
enum Rights {
    /// Root already.
    Enough,
    /// sudo asks for nothing.
    Sudo,
    /// sudo reads a password.
    SudoAsks(Secret),
}

/// For the first words to a host, on top of the time to connect.
const GREETING_LIMIT: Duration = Duration::from_secs(15);
/// How much longer than the script we wait for the host to end it.
const GRACE: Duration = Duration::from_secs(10);
/// For a script of an earlier run to end: `kubeadm` gives up after about as long.
const TURN_LIMIT: Duration = Duration::from_secs(300);
/// For a host to take the next piece of what is sent to it, and to say that it has all.
const PIECE_LIMIT: Duration = Duration::from_secs(60);

impl Machine {
    /// This machine, with the rights that we have: scripts of tests need no others.
    #[cfg(test)]
    pub(crate) fn here(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: Line::Local,
            rights: Rights::Enough,
        }
    }

    /// Connects, and finds out how to become root.
    ///
    /// # Errors
    ///
    /// Why the host cannot be used, with what to do.
    pub async fn connect(node: &Node, options: &Options) -> Result<Self, Failure> {
        let (line, sudo, limit) = match &node.transport {
            Transport::Ssh(ssh) => (
                Line::Ssh(ssh::arguments(ssh, options)?),
                ssh.sudo,
                ssh.connect_timeout + GREETING_LIMIT,
            ),
            Transport::Local { sudo } => (Line::Local, *sudo, GREETING_LIMIT),
        };
        let mut machine = Self {
            name: node.name.clone(),
            line,
            rights: Rights::Enough,
        };
        let user = machine.call("id -u", Input::default(), limit).await;
        let user = user.map_err(|failure| match failure {
            // A shared connection to a host that has gone since is open for a while.
            Failure::TimedOut { limit, .. } => Failure::Unreachable {
                said: format!("no answer within {} s", limit.as_secs()),
            },
            other => other,
        })?;
        if user.status != 0 {
            return Err(Failure::Refused { said: user.stderr });
        }
        if user.stdout.trim() == "0" {
            return Ok(machine);
        }
        if !sudo {
            return Err(Failure::NotRoot);
        }
        if machine
            .call("sudo -n true", Input::default(), limit)
            .await?
            .status
            == 0
        {
            machine.rights = Rights::Sudo;
            return Ok(machine);
        }
        let password = options
            .sudo_password
            .clone()
            .ok_or(Failure::SudoWantsPassword)?;
        let tried = machine
            .call(
                "sudo -k -S -p '' true",
                Input::bytes(format!("{}\n", password.reveal()).into_bytes()),
                limit,
            )
            .await?;
        if tried.status != 0 {
            return Err(Failure::SudoRefuses {
                said: tried.stderr.trim().to_owned(),
            });
        }
        machine.rights = Rights::SudoAsks(password);
        Ok(machine)
    }

    /// Runs a script as root with `sh -eu`, its standard input empty, for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the host cannot be reached, or the limit has passed. A script that fails is an [`Outcome`].
    pub async fn run(&self, script: &str, limit: Duration) -> Result<Outcome, Failure> {
        self.script(&shell::asking(limit), script, limit, limit)
            .await
    }

    /// Runs a script that changes the host. Where one of an earlier run still goes on, since its operator's
    /// program died, waits for its end. Once begun it goes on without us, its words kept for nobody.
    ///
    /// # Errors
    ///
    /// As [`Machine::run`], and if the earlier one does not end.
    pub async fn run_alone(&self, script: &str, limit: Duration) -> Result<Outcome, Failure> {
        let shell = shell::changing(limit, TURN_LIMIT);
        self.script(&shell, script, limit, limit + TURN_LIMIT).await
    }

    async fn script(
        &self,
        shell: &str,
        script: &str,
        limit: Duration,
        whole: Duration,
    ) -> Result<Outcome, Failure> {
        let input = Input::bytes(shell::whole(script).into_bytes());
        let outcome = self.as_root(shell, input, whole + GRACE).await?;
        match outcome.status {
            shell::BUSY => Err(Failure::Busy { waited: TURN_LIMIT }),
            shell::LATE => Err(Failure::TimedOut {
                limit,
                said: outcome.words(),
            }),
            _ => Ok(outcome),
        }
    }

    /// Puts bytes into a file as root, whole or not at all: beside it, then renamed. A link is followed. With
    /// `before`, the SHA-256 of the text that was there when this was decided, in hexadecimal digits, nothing
    /// is written over another.
    ///
    /// # Errors
    ///
    /// If the host cannot be reached, the file cannot be written, or has changed.
    pub async fn write(
        &self,
        path: &str,
        content: &[u8],
        mode: u32,
        before: Option<&str>,
    ) -> Result<(), Failure> {
        let input = Input::bytes(content.to_vec());
        self.put(path, input, content.len() as u64, mode, before)
            .await
    }

    /// Copies a file of this machine, in pieces: it may be larger than memory.
    ///
    /// # Errors
    ///
    /// As [`Machine::write`], and if it cannot be read here.
    pub async fn upload(&self, from: &Path, to: &str, mode: u32) -> Result<(), Failure> {
        let (input, bytes) = Input::file(from).await.map_err(|cause| Failure::Local {
            doing: format!("read {}", from.display()),
            cause,
        })?;
        self.put(to, input, bytes, mode, None).await
    }

    async fn put(
        &self,
        path: &str,
        input: Input,
        bytes: u64,
        mode: u32,
        before: Option<&str>,
    ) -> Result<(), Failure> {
        let shell = shell::writing(path, bytes, mode, before);
        let outcome = self.as_root(&shell, input, PIECE_LIMIT).await?;
        match outcome.status {
            0 => Ok(()),
            shell::CHANGED => Err(Failure::Changed {
                path: path.to_owned(),
            }),
            _ => Err(Failure::Write {
                path: path.to_owned(),
                said: outcome.words(),
            }),
        }
    }

    /// `limit` counts from the last piece of the input that was taken.
    async fn as_root(
        &self,
        shell: &str,
        mut input: Input,
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        if let Rights::SudoAsks(password) = &self.rights {
            input.begin_with(format!("{}\n", password.reveal()).as_bytes());
        }
        self.call(&self.for_root(shell), input, limit).await
    }

    fn for_root(&self, shell: &str) -> String {
        let shell = quote(shell);
        match &self.rights {
            Rights::Enough => format!("sh -c {shell}"),
            Rights::Sudo => format!("sudo -n sh -c {shell}"),
            // -k: sudo shall read the password even if it remembers one, or the shell would.
            Rights::SudoAsks(_) => format!("sudo -k -S -p '' sh -c {shell}"),
        }
    }

    /// Holds a command on the host open: it runs until the returned child is dropped, or we die. Its first
    /// line of its own follows [`BEGINS`].
    ///
    /// # Errors
    ///
    /// If no process can be started here.
    pub fn hold(&self, shell: &str) -> Result<tokio::process::Child, Failure> {
        program::start(&self.words(&self.for_root(shell)))
    }

    /// What has to be written first to a command that is held: the password, if sudo reads one.
    #[must_use]
    pub fn opening(&self) -> Option<&Secret> {
        match &self.rights {
            Rights::SudoAsks(password) => Some(password),
            Rights::Enough | Rights::Sudo => None,
        }
    }

    async fn call(&self, command: &str, input: Input, limit: Duration) -> Result<Outcome, Failure> {
        let mut outcome = program::run(&self.words(command), input, limit).await?;
        // What came before is a greeting.
        if let Some((_, ours)) = outcome.stdout.split_once(&format!("{BEGINS}\n")) {
            outcome.stdout = ours.to_owned();
        }
        match &self.line {
            Line::Ssh(_) if outcome.status == 255 => Err(Failure::of_ssh(&outcome.stderr)),
            _ => Ok(outcome),
        }
    }

    fn words(&self, command: &str) -> Vec<String> {
        let command = format!("echo {BEGINS}; {command}");
        match &self.line {
            Line::Ssh(arguments) => {
                let mut words = vec!["ssh".to_owned()];
                words.extend(arguments.iter().cloned());
                words.push(command);
                words
            }
            Line::Local => vec!["sh".to_owned(), "-c".to_owned(), command],
        }
    }
}

#[cfg(test)]
mod tests;
