//! The master's own commands. Those that are about the visit itself, and prefixes, are no commands:
//! they are understood whoever the visitor talks to.

use evenkeel_config::AccessLevel::{Admin, Operator, User};

use super::How;
use crate::runtime::{Command, command};

/// What a command of the master does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Reload(How),
    Upgrade,
    ShowProc,
    ShowLog,
    ShowVersion,
    ShowLevel,
    /// There are none: those of the workers are theirs to show.
    ShowSockets,
    Help,
    /// It stands in the list, and is done before commands are looked up.
    Prefix,
}

/// The commands, in the order of `help`; the last three stand under every list.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command<Deed>] = &[
    command(&["@!<pid>"], "@!<pid>", "pass a command on to the generation with this number", User, Deed::Prefix),
    command(&["@<relative", "pid>"], "@<relative pid>", "pass a command on: @1 is the generation in force", User, Deed::Prefix),
    command(&["@master"], "@master", "give a command to the master", User, Deed::Prefix),
    command(&["hard-reload"], "hard-reload", "load the files again and cut the sessions of before", Operator, Deed::Reload(How::Hard)),
    command(&["operator"], "operator", "lower the level of this visit to operator", Operator, Deed::Prefix),
    command(&["reload"], "reload", "load the files again; sessions go on", Operator, Deed::Reload(How::Soft)),
    command(&["show", "cli", "level"], "show cli level", "tell the level of this visit", User, Deed::ShowLevel),
    command(&["show", "cli", "sockets"], "show cli sockets", "nothing here; ask @1", User, Deed::ShowSockets),
    command(&["show", "proc"], "show proc", "list the generations that have sessions", User, Deed::ShowProc),
    command(&["show", "startup-logs"], "show startup-logs", "show what the last start or reload said", Operator, Deed::ShowLog),
    command(&["show", "version"], "show version", "show the version that runs", User, Deed::ShowVersion),
    command(&["upgrade"], "upgrade", "give way to the program that is installed now; sessions go on", Admin, Deed::Upgrade),
    command(&["user"], "user", "lower the level of this visit to user", User, Deed::Prefix),
    command(&["help"], "help [<command>]", "list all commands, or those like one", User, Deed::Help),
    command(&["prompt"], "prompt [timed]", "show a prompt, or no more", User, Deed::Prefix),
    command(&["quit"], "quit", "end the visit", User, Deed::Prefix),
];
