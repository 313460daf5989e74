//! HAProxy's Runtime API: commands on a socket, a line each. One table of commands; the socket's
//! protocol; what is shown, printed from a snapshot beside the control thread; what is changed,
//! done on the control thread, which alone owns the proxy.

mod change;
#[cfg(test)]
mod doc;
mod info;
mod line;
mod look;
pub(crate) mod saved;
pub(crate) mod servers;
mod sessions;
mod set_server;
mod socket;
pub(crate) mod table;
mod talk;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_config::{AccessLevel, BindAddress, Loaded, StatsSocket};
use evenkeel_proxy::{Level, Proxy, Roll};

use crate::columns::View;

pub(crate) use line::Line;
pub(crate) use socket::Sockets;
pub(crate) use talk::{LONGEST_BYTES, Over, Talk};
pub(crate) use visit::{Terms, timed_prompt, visit};

/// A command: what is typed, by whom, and what happens.
pub(crate) struct Command<R: 'static = Run> {
    /// What it begins with.
    pub(crate) words: &'static [&'static str],
    /// As `help` shows it.
    pub(crate) usage: &'static str,
    pub(crate) help: &'static str,
    /// Who may.
    pub(crate) level: AccessLevel,
    pub(crate) run: R,
}

/// A row of a table of commands.
pub(crate) const fn command<R: Copy>(
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: AccessLevel,
    run: R,
) -> Command<R> {
    Command {
        words,
        usage,
        help,
        level,
        run,
    }
}

/// Where and how a command runs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// From a snapshot, on a thread that may take its time.
    Look(fn(&Scene<'_>, &[&str]) -> Reply),
    /// On the control thread.
    Change(fn(&mut Proxy, &Request<'_>) -> Reply),
    /// About sessions, which the data threads are asked for.
    Sessions(Sessions),
    /// Whether this process serves, which the data threads are asked, too.
    Vitals,
    /// About the visit itself; the visit knows how.
    Visit(Own),
}

/// What is done with open sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    Show,
    Shutdown,
}

/// What a visitor can change of its own visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Help,
    Prompt,
    Quit,
    LowerTo(AccessLevel),
    ShowLevel,
    Timeout,
    Severity,
    /// What only prepares HAProxy for commands that are not here.
    Nothing,
}

/// What a command is asked with.
pub(crate) struct Request<'a> {
    /// The words after the command's own.
    pub(crate) arguments: &'a [&'a str],
    /// Who asks.
    pub(crate) level: AccessLevel,
}

/// What can be seen.
pub(crate) struct Scene<'a> {
    pub(crate) view: &'a View,
    pub(crate) facts: &'a Facts,
    pub(crate) level: AccessLevel,
}

/// What the daemon knows and the proxy does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Each stats socket as `show cli sockets` names it.
    pub(crate) sockets: Vec<(String, AccessLevel)>,
    /// What the load warned of.
    pub(crate) warnings: Vec<String>,
}

impl Facts {
    /// What `loaded` says.
    pub(crate) fn new(loaded: &Loaded) -> Self {
        let sockets = loaded.config.global.runtime.sockets.iter();
        let name = |socket: &StatsSocket| match &socket.bind.address {
            BindAddress::Inet(SocketAddr::V4(address)) => format!("ipv4@{address}"),
            BindAddress::Inet(address) => format!("ipv6@{address}"),
            BindAddress::Unix(path) => format!("unix@{}", path.display()),
            BindAddress::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
            BindAddress::Fd(number) => format!("sockpair@{number}"),
        };
        let warnings = loaded.warnings.iter();
        Self {
            sockets: sockets.map(|socket| (name(socket), socket.level)).collect(),
            warnings: warnings.map(ToString::to_string).collect(),
        }
    }
}

/// What the visitor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Done, and nothing to say.
    Done,
    /// As it is, each line ended.
    Text(String),
    /// One line, whose severity `set severity-output` shows.
    Message(Level, String),
}

impl Reply {
    /// What was asked for is wrong.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Message(Level::Err, message.into())
    }

    /// Something worth telling was done.
    pub(crate) fn told(message: impl Into<String>) -> Self {
        Self::Message(Level::Info, message.into())
    }
}

/// What a visit asks of the control thread.
pub(crate) enum Ask {
    /// What the master's own commands take.
    Master(crate::master::Ask),
    /// A view of the moment, and the facts.
    Look(tokio::sync::oneshot::Sender<(View, Arc<Facts>)>),
    /// Whether this process serves.
    Vitals(tokio::sync::oneshot::Sender<crate::vitals::Vitals>),
    /// Who can tell of open sessions.
    Sessions(tokio::sync::oneshot::Sender<Roll>),
    /// A change, with the words of the command.
    Change {
        change: fn(&mut Proxy, &Request<'_>) -> Reply,
        arguments: Vec<String>,
        level: AccessLevel,
        answer: tokio::sync::oneshot::Sender<Reply>,
    },
}
