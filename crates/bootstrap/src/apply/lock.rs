//! One operator at a time: a lock on the first control plane that falls with whoever holds it.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::plan::quote;
use crate::transport::{Failure, Machine};

/// Held while it lives. The host's kernel gives it back when the command ends that holds it there, and that
/// ends when its input does: with this process, or with the connection.
#[derive(Debug)]
pub struct Lock {
    _holder: Child,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else is at work.
    #[error(
        "somebody else is changing this cluster: {who}; wait until they have finished (the lock on {host} falls with their program)"
    )]
    Taken {
        /// What they left.
        who: String,
        /// Where the lock is.
        host: String,
    },
    /// The host did not do it.
    #[error("cannot lock the cluster on {host}: {said}")]
    Refused {
        /// The host.
        host: String,
        /// Its words.
        said: String,
    },
    /// The host cannot be used.
    #[error("cannot lock the cluster on {host}")]
    Host {
        /// The host.
        host: String,
        /// Why.
        #[source]
        cause: Failure,
    },
}

/// For the host's answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    ///
    /// If it is taken or the host cannot be used.
    pub async fn take(machine: &Machine, who: &str) -> Result<Self, LockError> {
        let host = || machine.name.clone();
        // The holder's name stands in the file itself, written under the lock. `cat` ends with our input.
        let shell = format!(
            "umask 077; exec 9>>/run/evenkeel-bootstrap.lock || exit 1; \
             if flock -n 9; then echo {who} >/run/evenkeel-bootstrap.lock; echo held; exec cat >/dev/null; \
             else echo taken; cat /run/evenkeel-bootstrap.lock; fi",
            who = quote(who)
        );
        let of_host = |cause| LockError::Host {
            host: host(),
            cause,
        };
        let mut holder = machine.hold(&shell).map_err(of_host)?;
        if let (Some(password), Some(stdin)) = (machine.opening(), holder.stdin.as_mut()) {
            // Whoever does not read it has its words to say why.
            let _ = stdin
                .write_all(format!("{}\n", password.reveal()).as_bytes())
                .await;
        }
        let Some(stdout) = holder.stdout.take() else {
            unreachable!("the child was started with pipes")
        };
        let mut lines = BufReader::new(stdout).lines();
        let mut next = async || timeout(PATIENCE, lines.next_line()).await.ok()?.ok()?;
        match next().await.as_deref() {
            Some("held") => Ok(Self { _holder: holder }),
            Some("taken") => {
                let who = next()
                    .await
                    .unwrap_or_else(|| "it does not say who".to_owned());
                Err(LockError::Taken { who, host: host() })
            }
            _ => {
                drop(holder.stdin.take());
                let said = match timeout(PATIENCE, holder.wait_with_output()).await {
                    Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                    _ => "no answer".to_owned(),
                };
                Err(LockError::Refused { host: host(), said })
            }
        }
    }
}
