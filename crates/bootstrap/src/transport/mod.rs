//! Runs scripts as root on hosts: through the system's OpenSSH, whose agent, configuration and known hosts
//! are those that the operator already has, or on this machine. Knows nothing of what the scripts do.
//!
//! A script goes over the standard input, so that no list of processes shows it, and so do secrets and files.

mod failure;
mod program;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use failure::Failure;
pub use program::Outcome;

use crate::inventory::{Node, Ssh, Transport};
use crate::plan::quote;
use crate::secret::Secret;

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
/// Held on a host while a script changes it.
const HOST_LOCK: &str = "/run/evenkeel-bootstrap.turn";
/// Where a host has the words of such a script until it has ended; they are as many as it says in its time.
const WORDS: &str = "/run/evenkeel-bootstrap-words.XXXXXX";
/// For a script of an earlier run to end: `kubeadm` gives up after about as long.
const TURN_LIMIT: Duration = Duration::from_secs(300);
/// What flock(1) shall end with if it does not; no script of ours ends so.
const BUSY: i32 = 75;

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
                Line::Ssh(ssh_arguments(ssh, options)?),
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
        let user = machine.call("id -u", b"", limit).await?;
        if user.status != 0 {
            return Err(Failure::Refused { said: user.stderr });
        }
        if user.stdout.trim() == "0" {
            return Ok(machine);
        }
        if !sudo {
            return Err(Failure::NotRoot);
        }
        if machine.call("sudo -n true", b"", limit).await?.status == 0 {
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
                format!("{}\n", password.reveal()).as_bytes(),
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
        let command = format!("exec {}", timed(limit));
        self.script(&command, script, limit, limit).await
    }

    /// Runs a script that changes the host, to its end even if this program dies meanwhile. Where one of an
    /// earlier run still goes on for that reason, waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Machine::run`], and if the earlier one does not end.
    pub async fn run_alone(&self, script: &str, limit: Duration) -> Result<Outcome, Failure> {
        // -o: what the script starts and leaves running shall not hold the lock. Its words go to files: a
        // pipe that nobody reads any more would end kubeadm or dpkg at their next word.
        let command = format!(
            "d=$(umask 077; mktemp -d {WORDS}) || exit 1; s=0; \
             flock -o -w {} -E {BUSY} {HOST_LOCK} {} >$d/out 2>$d/err || s=$?; \
             cat $d/out; cat $d/err >&2; rm -rf $d; exit $s",
            TURN_LIMIT.as_secs(),
            timed(limit)
        );
        let outcome = self
            .script(&command, script, limit, limit + TURN_LIMIT)
            .await?;
        if outcome.status == BUSY {
            Err(Failure::Busy { waited: TURN_LIMIT })
        } else {
            Ok(outcome)
        }
    }

    async fn script(
        &self,
        command: &str,
        script: &str,
        limit: Duration,
        whole: Duration,
    ) -> Result<Outcome, Failure> {
        // The script is read from descriptor 3 through a pipe: sshd may hand over a socket, which cannot be
        // opened by name, and the standard input has to be empty for whatever the script starts.
        let shell = format!("cat | {{ exec 3<&0 </dev/null; {command}; }}");
        let outcome = self
            .as_root(&shell, in_one_piece(script).as_bytes(), whole + GRACE)
            .await?;
        match outcome.status {
            // What `timeout` says, and what a process ended by its second signal leaves.
            124 | 137 => Err(Failure::TimedOut {
                limit,
                said: outcome.words(),
            }),
            _ => Ok(outcome),
        }
    }

    /// Puts bytes into a file as root, whole or not at all: beside it, then renamed.
    ///
    /// # Errors
    ///
    /// If the host cannot be reached or the file cannot be written.
    pub async fn write(
        &self,
        path: &str,
        content: &[u8],
        mode: u32,
        limit: Duration,
    ) -> Result<(), Failure> {
        let folder = Path::new(path)
            .parent()
            .map_or_else(|| "/".into(), Path::to_string_lossy);
        let shell = format!(
            "set -eu; umask 077; mkdir -p -m 755 {folder}; t={path}.evenkeel-new; trap 'rm -f \"$t\"' EXIT; \
             cat >\"$t\"; [ \"$(wc -c <\"$t\")\" -eq {bytes} ]; chmod {mode:o} \"$t\"; sync -d \"$t\"; mv -f \"$t\" {path}",
            folder = quote(&folder),
            path = quote(path),
            bytes = content.len(),
        );
        let outcome = self.as_root(&shell, content, limit).await?;
        if outcome.status == 0 {
            Ok(())
        } else {
            Err(Failure::Write {
                path: path.to_owned(),
                said: outcome.words(),
            })
        }
    }

    async fn as_root(
        &self,
        shell: &str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        let shell = quote(shell);
        match &self.rights {
            Rights::Enough => self.call(&format!("sh -c {shell}"), input, limit).await,
            Rights::Sudo => {
                self.call(&format!("sudo -n sh -c {shell}"), input, limit)
                    .await
            }
            // -k: sudo shall read the password even if it remembers one, or the shell would.
            Rights::SudoAsks(password) => {
                let input = [password.reveal().as_bytes(), b"\n", input].concat();
                self.call(&format!("sudo -k -S -p '' sh -c {shell}"), &input, limit)
                    .await
            }
        }
    }

    /// Holds a command on the host open: it runs until the returned child is dropped, or we die.
    ///
    /// # Errors
    ///
    /// If no process can be started here.
    pub fn hold(&self, shell: &str) -> Result<tokio::process::Child, Failure> {
        let shell = quote(shell);
        let command = match &self.rights {
            Rights::Enough => format!("sh -c {shell}"),
            Rights::Sudo => format!("sudo -n sh -c {shell}"),
            Rights::SudoAsks(_) => format!("sudo -k -S -p '' sh -c {shell}"),
        };
        program::start(&self.words(&command))
    }

    /// What has to be written first to a command that is held: the password, if sudo reads one.
    #[must_use]
    pub fn opening(&self) -> Option<&Secret> {
        match &self.rights {
            Rights::SudoAsks(password) => Some(password),
            Rights::Enough | Rights::Sudo => None,
        }
    }

    async fn call(&self, command: &str, input: &[u8], limit: Duration) -> Result<Outcome, Failure> {
        let outcome = program::run(&self.words(command), input, limit).await?;
        match &self.line {
            Line::Ssh(_) if outcome.status == 255 => Err(Failure::of_ssh(&outcome.stderr)),
            _ => Ok(outcome),
        }
    }

    fn words(&self, command: &str) -> Vec<String> {
        match &self.line {
            Line::Ssh(arguments) => {
                let mut words = vec!["ssh".to_owned()];
                words.extend(arguments.iter().cloned());
                words.push(command.to_owned());
                words
            }
            Line::Local => vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()],
        }
    }
}

/// The shell that reads a script from descriptor 3 and is ended after `limit`.
fn timed(limit: Duration) -> String {
    format!("timeout -k 5 {} sh -eu /dev/fd/3", limit.as_secs_f64())
}

/// A shell begins with what is inside of the braces only once it has read the last of them: of a script that
/// arrived in part, since we died or the connection did, it runs nothing.
fn in_one_piece(script: &str) -> String {
    format!("{{ :\n{script}\n}}\n")
}

/// The arguments of ssh(1) up to the command. Whatever the inventory leaves open is `ssh_config`'s.
fn ssh_arguments(ssh: &Ssh, options: &Options) -> Result<Vec<String>, Failure> {
    let folder = control_folder().map_err(|cause| Failure::Local {
        doing: "make a folder for ssh",
        cause,
    })?;
    let mut arguments = vec![
        "-T".to_owned(),
        "-oBatchMode=yes".to_owned(),
        format!("-oConnectTimeout={}", ssh.connect_timeout.as_secs().max(1)),
        "-oServerAliveInterval=5".to_owned(),
        "-oServerAliveCountMax=4".to_owned(),
        "-oControlMaster=auto".to_owned(),
        format!("-oControlPath={}/%C", folder.display()),
        "-oControlPersist=60s".to_owned(),
    ];
    if options.accept_new_host_keys {
        arguments.push("-oStrictHostKeyChecking=accept-new".to_owned());
    }
    let mut option = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.push(flag.to_owned());
            arguments.push(value);
        }
    };
    option(
        "-F",
        ssh.config.as_ref().map(|path| path.display().to_string()),
    );
    option("-p", ssh.port.map(|port| port.to_string()));
    option("-l", ssh.user.clone());
    option("-J", ssh.bastion.clone());
    option(
        "-i",
        ssh.key.as_ref().map(|path| path.display().to_string()),
    );
    arguments.push("--".to_owned());
    arguments.push(ssh.host.clone());
    Ok(arguments)
}

/// Where shared connections have their sockets: short, since the path of a socket may have 107 bytes.
fn control_folder() -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;

    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh"));
    let folder = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir())
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("/root/.ssh"))
        .join("evenkeel");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests;
