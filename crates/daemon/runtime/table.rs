//! Every command, and how one is found, or one like it.

use std::fmt::Write as _;

use evenkeel_config::AccessLevel::{self, Admin, Operator, User};

use super::Own::{Help, LowerTo, Nothing, Prompt, Quit, Severity, ShowLevel, Timeout};
use super::Run::{Change, Look, Visit};
use super::{Command, Run, Sessions, change, command, info, look, set_server};

/// How many commands are offered for one that nobody knows.
const MOST_GUESSES: usize = 5;
/// Where the explanation begins in `help`.
const USAGE_WIDTH: usize = 40;

/// The commands, in the order of `help`; the last three stand under every list.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Command] = &[
    command(&["add", "server"], "add server <bk>/<srv>", "refused: servers come with the configuration", Admin, Change(change::no_dynamic_servers)),
    command(&["clear", "counters"], "clear counters [all]", "set the highest values back, or all counters", Operator, Change(change::clear_counters)),
    command(&["del", "server"], "del server <bk>/<srv>", "refused: servers go with the configuration", Admin, Change(change::no_dynamic_servers)),
    command(&["disable", "agent"], "disable agent <bk>/<srv>", "stop asking a server's agent", Admin, Change(change::disable_agent)),
    command(&["disable", "frontend"], "disable frontend <frontend>", "refuse who comes for now; sockets stay bound", Admin, Change(change::disable_frontend)),
    command(&["disable", "health"], "disable health <bk>/<srv>", "stop checking a server", Admin, Change(change::disable_health)),
    command(&["disable", "server"], "disable server <bk>/<srv>", "put a server in maintenance (as set server state maint)", Admin, Change(change::disable_server)),
    command(&["enable", "agent"], "enable agent <bk>/<srv>", "ask a server's agent again", Admin, Change(change::enable_agent)),
    command(&["enable", "frontend"], "enable frontend <frontend>", "accept again", Admin, Change(change::enable_frontend)),
    command(&["enable", "health"], "enable health <bk>/<srv>", "check a server again", Admin, Change(change::enable_health)),
    command(&["enable", "server"], "enable server <bk>/<srv>", "end a server's maintenance (as set server state ready)", Admin, Change(change::enable_server)),
    command(&["expert-mode"], "expert-mode [on|off]", "accepted; every command is there without it", Admin, Visit(Nothing)),
    command(&["get", "weight"], "get weight <bk>/<srv>", "tell a server's weight", User, Change(change::get_weight)),
    command(&["operator"], "operator", "lower the level of this visit to operator", Operator, Visit(LowerTo(Operator))),
    command(&["set", "maxconn", "frontend"], "set maxconn frontend <frontend> <value>", "change a frontend's maxconn until the next reload", Admin, Change(change::set_frontend_maxconn)),
    command(&["set", "maxconn", "global"], "set maxconn global <value>", "change the process's maxconn until the next reload", Admin, Change(change::set_maxconn)),
    command(&["set", "maxconn", "server"], "set maxconn server <bk>/<srv> <value>", "change a server's maxconn", Admin, Change(change::set_server_maxconn)),
    command(&["set", "rate-limit"], "set rate-limit <setting> <value>", "rates are not limited: takes 0 alone", Admin, Change(change::set_rate_limit)),
    command(&["set", "server"], "set server <bk>/<srv> [opts]", "change a server's state, health, agent, weight or address, or where it is checked", Admin, Change(set_server::set_server)),
    command(&["set", "severity-output"], "set severity-output [none|number|string]", "say how severe each message is", User, Visit(Severity)),
    command(&["set", "timeout"], "set timeout [cli] <delay>", "change how long this visit may be silent (seconds)", User, Visit(Timeout)),
    command(&["set", "weight"], "set weight <bk>/<srv> <weight>", "change a server's weight (as set server weight)", Admin, Change(change::set_weight)),
    command(&["show", "backend"], "show backend", "list the backends", User, Look(look::backends)),
    command(&["show", "cli", "level"], "show cli level", "tell the level of this visit", User, Visit(ShowLevel)),
    command(&["show", "cli", "sockets"], "show cli sockets", "list the stats sockets", User, Look(look::sockets)),
    command(&["show", "env"], "show env [var]", "show the environment, or one variable of it", Operator, Look(look::environment)),
    command(&["show", "errors"], "show errors [<px>] [request|response]", "report protocol errors captured; TCP has none", Operator, Look(look::errors)),
    command(&["show", "health"], "show health", "tell whether the process itself serves (as evenkeel health asks)", User, Run::Vitals),
    command(&["show", "info"], "show info [desc|json|typed|float]*", "report on the process", User, Look(info::info)),
    command(&["show", "resolvers"], "show resolvers [id]", "show what came of asking name servers", User, Look(look::resolvers)),
    command(&["show", "schema", "json"], "show schema json", "describe the JSON of show stat and show info", User, Look(look::schema)),
    command(&["show", "servers", "conn"], "show servers conn [<backend>]", "show the connections to servers", User, Look(look::servers_conn)),
    command(&["show", "servers", "state"], "show servers state [<backend>]", "show what a restart can take over of servers", User, Look(look::servers_state)),
    command(&["show", "sess"], "show sess [<id>|all|susp|older <age>]", "list established sessions, or all of one", Operator, Run::Sessions(Sessions::Show)),
    command(&["show", "startup-logs"], "show startup-logs", "show what the load warned of", Operator, Look(look::startup_logs)),
    command(&["show", "stat"], "show stat [desc|json|no-maint|typed|up]*", "report counters of each proxy and server", User, Look(look::stat)),
    command(&["show", "table"], "show table <table> [<filter>]*", "list stick tables; there are none", User, Look(look::tables)),
    command(&["show", "version"], "show version", "show the version that runs", User, Look(look::version)),
    command(&["shutdown", "frontend"], "shutdown frontend <frontend>", "close a frontend's sockets until the next reload", Admin, Change(change::shutdown_frontend)),
    command(&["shutdown", "session"], "shutdown session [id]", "end a session", Admin, Run::Sessions(Sessions::Shutdown)),
    command(&["shutdown", "sessions", "server"], "shutdown sessions server <bk>/<srv>", "end every session on a server", Admin, Change(change::shutdown_sessions)),
    command(&["user"], "user", "lower the level of this visit to user", User, Visit(LowerTo(User))),
    command(&["help"], "help [<command>]", "list all commands, or those like one", User, Visit(Help)),
    command(&["prompt"], "prompt [timed]", "go on asking, with a prompt, or stop", User, Visit(Prompt)),
    command(&["quit"], "quit", "end the visit", User, Visit(Quit)),
];

/// The last commands of a table, which every list ends with.
const ALWAYS: usize = 3;

/// A command as lists show it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: AccessLevel,
}

impl<R> Command<R> {
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            words: self.words,
            usage: self.usage,
            help: self.help,
            level: self.level,
        }
    }
}

/// The command of `commands` that `words` begin with, and the words after it.
pub(crate) fn find<'w, R>(
    commands: &'static [Command<R>],
    words: &'w [&'w str],
) -> Option<(&'static Command<R>, &'w [&'w str])> {
    let found = commands
        .iter()
        .filter(|command| words.starts_with(command.words))
        .max_by_key(|command| command.words.len())?;
    Some((found, &words[found.words.len()..]))
}

/// Every command of a stats socket.
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    COMMANDS.iter().map(Command::entry)
}

/// `help`, of all `commands` or of those like `words`; the last three stand under every list.
pub(crate) fn help(
    commands: impl IntoIterator<Item = Entry>,
    words: &[&str],
    level: AccessLevel,
) -> String {
    let mut text = String::from("The following commands are valid at this level:\n");
    list(&mut text, commands, words, level);
    text
}

/// What is said of a command that nobody knows.
pub(crate) fn unknown(
    commands: impl IntoIterator<Item = Entry>,
    words: &[&str],
    level: AccessLevel,
) -> String {
    let first = words.first().copied().unwrap_or_default();
    let mut text = format!(
        "Unknown command: '{first}', but maybe one of the following ones is a better match:\n"
    );
    list(&mut text, commands, words, level);
    text
}

fn list(
    text: &mut String,
    commands: impl IntoIterator<Item = Entry>,
    words: &[&str],
    level: AccessLevel,
) {
    let mut listed: Vec<Entry> = commands.into_iter().collect();
    let always = listed.split_off(listed.len().saturating_sub(ALWAYS));
    listed.retain(|command| command.level <= level);
    for command in like(words, &listed).into_iter().chain(always) {
        let (usage, help) = (command.usage, command.help);
        writeln!(text, "  {usage:<USAGE_WIDTH$}: {help}")
            .expect("writing to a String does not fail");
    }
}

/// The commands that begin with `words`; where there are none, the nearest ones, in their order.
fn like(words: &[&str], allowed: &[Entry]) -> Vec<Entry> {
    let begins = |command: &&Entry| {
        let common = command.words.len().min(words.len());
        command.words[..common] == words[..common]
    };
    let beginning: Vec<_> = allowed.iter().filter(begins).copied().collect();
    if !beginning.is_empty() {
        return beginning;
    }
    // As many words as a command has.
    let wanted = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
    let mut by_distance: Vec<_> = allowed.iter().enumerate().collect();
    by_distance.sort_by_key(|(_, command)| distance(&wanted, words, command));
    by_distance.truncate(MOST_GUESSES);
    by_distance.sort_by_key(|(index, _)| *index);
    by_distance
        .into_iter()
        .map(|(_, command)| *command)
        .collect()
}

/// How unlike a command is; one with the same first word is always nearer than one without.
fn distance(wanted: &str, words: &[&str], command: &Entry) -> (bool, usize) {
    let differs = command.words.first() != words.first();
    let name = command.words.join(" ");
    // A line may be long; nobody means a command by so much.
    let short: String = wanted.chars().take(60).collect();
    (differs, strsim::osa_distance(&short, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_command_is_found() {
        let found = |words: &[&str]| {
            find(COMMANDS, words).map(|(command, rest)| (command.usage, rest.len()))
        };
        assert_eq!(
            found(&["show", "servers", "state", "be"]),
            Some(("show servers state [<backend>]", 1))
        );
        assert_eq!(found(&["show"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn help_has_haproxys_columns_and_keeps_to_the_level() {
        let all = help(entries(), &[], Admin);
        assert!(all.contains("\n  show backend                            : list the backends\n"));
        assert!(all.ends_with("  quit                                    : end the visit\n"));
        assert!(!help(entries(), &[], User).contains("show env"));
        assert_eq!(
            help(entries(), &["show", "cli"], User).lines().count(),
            1 + 2 + 3
        );
    }

    #[test]
    fn an_unknown_command_gets_the_nearest_ones() {
        let answer = unknown(entries(), &["show", "foo"], Admin);
        assert!(answer.starts_with(
            "Unknown command: 'show', but maybe one of the following ones is a better match:\n  show "
        ));
        assert_eq!(answer.lines().count(), 1 + MOST_GUESSES + ALWAYS);
        assert!(unknown(entries(), &["sho", "stat"], Admin).contains("  show stat "));
    }
}
