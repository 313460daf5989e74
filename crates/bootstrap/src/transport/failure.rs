//! Why a host could not be used, and what to do.

use std::time::Duration;

use thiserror::Error;

/// Why a command could not be run to its end.
#[derive(Debug, Error)]
pub enum Failure {
    /// No connection.
    #[error("cannot be reached: {said}; is it on, and is its address right?")]
    Unreachable {
        /// ssh's words.
        said: String,
    },
    /// The host's key is unknown.
    #[error(
        "its host key was not accepted: {said}; connect once with ssh by hand and compare the key, or pass --accept-new-host-keys"
    )]
    HostKey {
        /// ssh's words.
        said: String,
    },
    /// The host's key is another than the one that is known.
    #[error(
        "its host key is not the one that is known: {said}; if it was installed anew, compare the key there and forget the old one (ssh-keygen -R HOST), else somebody answers in its place"
    )]
    OtherHostKey {
        /// ssh's words.
        said: String,
    },
    /// No key that we have is accepted.
    #[error(
        "does not let us in: {said}; check ssh.user and ssh.key, and that the key is in authorized_keys or the agent holds it"
    )]
    Denied {
        /// ssh's words.
        said: String,
    },
    /// ssh failed in another way.
    #[error("ssh failed: {said}")]
    Refused {
        /// ssh's words.
        said: String,
    },
    /// The user is not root and may not become it.
    #[error("the user is not root, and sudo is off; set ssh.sudo = true, or connect as root")]
    NotRoot,
    /// sudo asks.
    #[error(
        "sudo asks for a password; pass --ask-sudo-password, or allow the user NOPASSWD in sudoers"
    )]
    SudoWantsPassword,
    /// sudo does not take it.
    #[error("sudo refuses the password: {said}")]
    SudoRefuses {
        /// sudo's words.
        said: String,
    },
    /// It took too long.
    #[error("did not end within {} s{}", limit.as_secs(), after(said))]
    TimedOut {
        /// The bound.
        limit: Duration,
        /// What it had said by then.
        said: String,
    },
    /// A script of an earlier run does not end.
    #[error("is still busy with a command of an earlier run after {} s; look at what runs there (ps), then run this again", waited.as_secs())]
    Busy {
        /// For how long we waited.
        waited: Duration,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {said}")]
    Write {
        /// The file.
        path: String,
        /// The shell's words.
        said: String,
    },
    /// A file is another than the plan was made for.
    #[error(
        "has another {path} than when the plan was made: somebody changed it since; run this again"
    )]
    Changed {
        /// The file.
        path: String,
    },
    /// A program is missing on this machine.
    #[error("there is no '{program}' on this machine; install it (openssh-client brings ssh)")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// This machine failed.
    #[error("cannot {doing}: {cause}")]
    Local {
        /// What was tried.
        doing: String,
        /// Why not.
        cause: std::io::Error,
    },
}

fn after(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!("; until then it said:\n{said}")
    }
}

impl Failure {
    /// What ssh means by its words when it ends with 255.
    pub(super) fn of_ssh(stderr: &str) -> Self {
        let lines = || {
            stderr
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        let said = lines()
            .next_back()
            .unwrap_or("the connection ended without a word");
        let said = said.to_owned();
        let has = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
        // First: ssh says that the verification failed then, too.
        if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            Self::OtherHostKey { said }
        } else if has(&["Host key verification failed"]) {
            Self::HostKey { said }
        } else if has(&["Permission denied", "Too many authentication failures"]) {
            Self::Denied { said }
        } else if lines().next().is_none()
            // So it ends where a shared connection broke.
            || has(&[
            "Connection refused",
            "timed out",
            "No route to host",
            "Could not resolve hostname",
            "Network is unreachable",
            "Connection closed",
            "Connection reset",
            "lost connection",
            "Timeout, server",
            "closed by remote host",
            "Broken pipe",
            "mux_client_",
            "kex_exchange_identification",
        ]) {
            Self::Unreachable { said }
        } else {
            Self::Refused {
                said: lines().collect::<Vec<_>>().join("; "),
            }
        }
    }
}
