//! The command line, one long table: HAProxy's options and evenkeel's own, from which parsing and
//! the help are made. Knows nothing of files or sockets: text in, a [`Request`] out.

mod choice;
mod health;
mod keepalived;
mod operands;
mod order;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::manual::completions::{SHELLS, Shell};
use crate::manual::{PAGES, Page};

use crate::health::{Door, Health};
use crate::keepalived::Wanted;

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Load the files, then check or run them.
    Load(Options),
    /// `-cc`: say whether a condition holds.
    Condition(String),
    /// `-v`, `-vv` and kin.
    Version(VersionDetail),
    /// `-h`, `help`.
    Help,
    /// `--help` behind this command.
    HelpOf(&'static str),
    /// `demo`: two masters and a balancer in one process.
    Demo,
    /// `health`: ask a running process whether it serves.
    Health(Health),
    /// `keepalived`: print the configuration of a node of a pair.
    Keepalived(Wanted),
    /// `convert FILE...`: print them as one TOML file of the same meaning.
    Convert(Vec<PathBuf>),
    /// `lint FILE...`: say which lines will hurt a control plane; without files, what is looked for.
    Lint(Vec<PathBuf>, Output),
    /// `compatibility FILE|DIR...`: count which of them load.
    Compatibility(Survey),
    /// `keywords`: print which of HAProxy's keywords do what.
    Keywords,
    /// `metrics`: print what is measured.
    Metrics,
    /// `reload`, `upgrade`: have a running process do that, and say what came of it.
    Order(Order),
    /// `man`: a page of the manual, in roff.
    Man(Page),
    /// `completions`: what a shell offers after `evenkeel`.
    Completions(Shell),
}

/// What a running process is asked to do on its master's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The master's command.
    pub(crate) command: &'static str,
    pub(crate) socket: Door,
}

/// Where the unit that comes with the package has the master's socket.
const MASTER_SOCKET: &str = "/run/evenkeel/master.sock";

/// For whom something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// People.
    #[default]
    Text,
    /// Programs: an object a line.
    Json,
    /// docs/.
    Markdown,
}

/// Which files `compatibility` looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) output: Output,
    /// A HAProxy whose verdict on each file is compared with ours.
    pub(crate) haproxy: Option<PathBuf>,
    /// Files, and directories with *.cfg and *.toml files in them.
    pub(crate) files: Vec<PathBuf>,
}

/// How much of the version is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionDetail {
    /// `-v`: one line.
    Line,
    /// `-vq`: the version alone.
    Full,
    /// `-vqb`: its first two numbers.
    Branch,
    /// `-vv`: all that a bug report needs.
    Build,
}

/// How to load, check and run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-f` and `--`, in the order given; a directory stands for its *.cfg files.
    pub(crate) files: Vec<PathBuf>,
    /// `-c`: check, do not run.
    pub(crate) check: bool,
    /// `-q`, `-V`, `-d`.
    pub(crate) verbosity: Verbosity,
    /// `--log-format`: how that is written.
    pub(crate) log_format: LogFormat,
    /// `-D`: go to the background.
    pub(crate) daemon: bool,
    /// `-db`, `-d`: stay in the foreground whatever the file says.
    pub(crate) foreground: bool,
    /// `-W`, `-Ws`: behave as HAProxy's master toward whoever started it.
    pub(crate) master: bool,
    /// `-S`: where the master's commands are taken.
    pub(crate) master_sockets: Vec<String>,
    /// `-p`: overrides `pidfile`.
    pub(crate) pidfile: Option<PathBuf>,
    /// `-C`: where relative names start.
    pub(crate) directory: Option<PathBuf>,
    /// `-n`: overrides `maxconn` of the global section.
    pub(crate) maxconn: Option<u32>,
    /// `-N`: `maxconn` of frontends that set none.
    pub(crate) frontend_maxconn: Option<u32>,
    /// `-sf`, `-st`: processes to replace.
    pub(crate) replaces: Option<Replaces>,
    /// `--stop-limit`: how long a drain may take.
    pub(crate) stop_limit: Option<Duration>,
    /// `--drain-limit`: how long one may take after an upgrade.
    pub(crate) drain_limit: Option<Duration>,
    /// `-dW`: a warning is a reason not to start.
    pub(crate) warnings_are_errors: bool,
    /// `-dr`: servers whose name does not resolve do not stop the start.
    pub(crate) ignore_resolution_failures: bool,
    /// `-dS`: relay by copy only.
    pub(crate) no_splice: bool,
    /// `-L`: `$HAPROXY_LOCALPEER`.
    pub(crate) local_peer: Option<String>,
    /// `--admin`: overrides the file's.
    pub(crate) admin: Option<SocketAddr>,
    /// Options given that have no effect, with the reason.
    pub(crate) without_effect: Vec<(&'static str, &'static str)>,
}

/// How much is said on the standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// `-q`: nothing.
    Quiet,
    /// What an operator wants to know.
    #[default]
    Normal,
    /// `-V`: good news too.
    Verbose,
    /// `-d`: everything.
    Debug,
}

/// How what is said on the standard error is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people, and for the journal.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Which processes give way to this one, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaces {
    /// What they are told to do.
    pub(crate) how: Farewell,
    /// Their process ids; may be empty.
    pub(crate) pids: Vec<i32>,
}

/// What replaced processes are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// `-sf`: SIGUSR1, finish what is open.
    Finish,
    /// `-st`: SIGTERM, stop at once.
    Terminate,
}

/// One option: its spelling, what follows it, what it does and what the help says.
struct Flag {
    name: &'static str,
    /// As the help shows it; empty when nothing follows.
    argument: &'static str,
    help: &'static str,
    effect: Effect,
}

/// What an option does.
enum Effect {
    Set(fn(&mut Options)),
    Take(fn(&mut Options, &str) -> Result<(), String>),
    /// Accepted without effect, for the given reason; takes an argument when the flag shows one.
    None(&'static str),
    /// As `None`, with the argument glued to the name: `-dM0x50`.
    NoneGlued(&'static str),
    Pids(Farewell),
    Files,
    Ask(fn() -> Request),
    Condition,
}

const ONE_POLLER: &str = "there is one poller here, epoll";
const NOTHING_TO_DEBUG: &str = "nothing here is debugged this way; see -d";

/// Every option, in the order of the help.
const FLAGS: &[Flag] = &[
    take(
        "-f",
        "FILE|DIR",
        "load this file, or all *.cfg of this directory; may be repeated",
        |o, v| {
            o.files.push(v.into());
            Ok(())
        },
    ),
    Flag {
        name: "--",
        argument: "FILE...",
        help: "load all the files that follow",
        effect: Effect::Files,
    },
    set(
        "-c",
        "check the files and exit: 0 good, 1 not, 2 good but nothing would listen",
        |o| o.check = true,
    ),
    Flag {
        name: "-cc",
        argument: "CONDITION",
        help: "evaluate a condition as in .if: exit 0 true, 1 false, 2 not understood",
        effect: Effect::Condition,
    },
    take(
        "--admin",
        "ADDRESS",
        "serve /metrics, /healthz, /readyz and /serving here, e.g. 127.0.0.1:9101",
        |o, v| {
            o.admin = Some(admin_address(v)?);
            Ok(())
        },
    ),
    set("-D", "go to the background once everything is bound", |o| {
        o.daemon = true
    }),
    set(
        "-W",
        "as HAProxy's master-worker mode: stay in the foreground, exit 0 on SIGTERM",
        |o| o.master = true,
    ),
    set(
        "-Ws",
        "as -W, for Type=notify units (any start tells systemd when asked to)",
        |o| o.master = true,
    ),
    take(
        "-S",
        "ADDRESS[,OPTION...]",
        "with -W: take HAProxy's master commands here (reload, show proc, @1 ...), \
         e.g. /run/evenkeel-master.sock,mode,600,level,operator",
        |o, v| {
            o.master_sockets.push(v.to_owned());
            Ok(())
        },
    ),
    take("-p", "FILE", "write the process id here", |o, v| {
        o.pidfile = Some(v.into());
        Ok(())
    }),
    take(
        "-C",
        "DIR",
        "change to this directory before loading",
        |o, v| {
            o.directory = Some(v.into());
            Ok(())
        },
    ),
    take(
        "-n",
        "COUNT",
        "limit the process to so many connections; overrides maxconn of global",
        |o, v| {
            o.maxconn = positive(v)?;
            Ok(())
        },
    ),
    take(
        "-N",
        "COUNT",
        "maxconn of frontends that set none",
        |o, v| {
            o.frontend_maxconn = positive(v)?;
            Ok(())
        },
    ),
    Flag {
        name: "-sf",
        argument: "PID...",
        help: "share ports with these processes, then let them finish (SIGUSR1)",
        effect: Effect::Pids(Farewell::Finish),
    },
    Flag {
        name: "-st",
        argument: "PID...",
        help: "share ports with these processes, then stop them (SIGTERM)",
        effect: Effect::Pids(Farewell::Terminate),
    },
    take(
        "--stop-limit",
        "TIME",
        "a drain (SIGUSR1) ends after so long, e.g. 30s: what is open then is cut",
        |o, v| {
            o.stop_limit = Some(evenkeel_config::parse_time(v)?);
            Ok(())
        },
    ),
    take(
        "--drain-limit",
        "TIME",
        "after an upgrade the process before ends after so long, 24h without this: what is open then is cut",
        |o, v| {
            o.drain_limit = Some(evenkeel_config::parse_time(v)?);
            Ok(())
        },
    ),
    set("-q", "be quiet: exit codes speak", |o| {
        o.verbosity = Verbosity::Quiet
    }),
    set("-V", "be verbose; undoes -q", |o| {
        o.verbosity = Verbosity::Verbose
    }),
    set("-d", "debug: stay in the foreground, say everything", |o| {
        o.verbosity = Verbosity::Debug;
        o.foreground = true;
    }),
    take(
        "--log-format",
        "text|json",
        "how messages are written on the standard error; json: an object a line",
        |o, v| {
            o.log_format = match v {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(format!("'{v}' is no format of messages: text or json")),
            };
            Ok(())
        },
    ),
    set("-db", "stay in the foreground", |o| o.foreground = true),
    set(
        "-dW",
        "refuse to start when the files give a warning",
        |o| o.warnings_are_errors = true,
    ),
    set(
        "-dr",
        "start even though a server's name does not resolve",
        |o| o.ignore_resolution_failures = true,
    ),
    set("-dS", "relay without splice(2)", |o| o.no_splice = true),
    take(
        "-L",
        "NAME",
        "the value of $HAPROXY_LOCALPEER in the files",
        |o, v| {
            o.local_peer = Some(v.to_owned());
            Ok(())
        },
    ),
    ask("-v", "print the version", || {
        Request::Version(VersionDetail::Line)
    }),
    ask("--version", "print the version", || {
        Request::Version(VersionDetail::Line)
    }),
    ask("-vv", "print version and build", || {
        Request::Version(VersionDetail::Build)
    }),
    ask("-vq", "print the version's number alone", || {
        Request::Version(VersionDetail::Full)
    }),
    ask("-vqs", "print the version's number alone", || {
        Request::Version(VersionDetail::Full)
    }),
    ask("-vqb", "print the version's first two numbers", || {
        Request::Version(VersionDetail::Branch)
    }),
    ask("-h", "print this", || Request::Help),
    ask("--help", "print this", || Request::Help),
    none(
        "-x",
        "SOCKET",
        "ports are shared with the old process (-sf, -st), not handed over",
    ),
    none(
        "-m",
        "MEGABYTES",
        "memory is bounded by maxconn; limit it with MemoryMax= of the unit",
    ),
    none("-4", "", "names are looked up by the system's resolver"),
    none("-dD", "", "every doubtful line is told anyway"),
    none("-de", "", ONE_POLLER),
    none("-dp", "", ONE_POLLER),
    none("-dk", "", ONE_POLLER),
    none("-dG", "", "names are looked up by the system's resolver"),
    none("-dR", "", "ports are never shared by accident here"),
    none(
        "-dV",
        "",
        "servers' certificates are not looked at in TCP mode",
    ),
    none("-dF", "", NOTHING_TO_DEBUG),
    none("-dI", "", NOTHING_TO_DEBUG),
    none("-dL", "", NOTHING_TO_DEBUG),
    none("-dT", "", NOTHING_TO_DEBUG),
    none("-dZ", "", NOTHING_TO_DEBUG),
    none("-dc", "", NOTHING_TO_DEBUG),
    glued("-dA", "[FILE]"),
    glued("-dC", "[KEY]"),
    glued("-dK", "[CLASS,...]"),
    glued("-dM", "[BYTE,...]"),
    glued("-dt", "[TRACE,...]"),
];

const fn set(name: &'static str, help: &'static str, effect: fn(&mut Options)) -> Flag {
    Flag {
        name,
        argument: "",
        help,
        effect: Effect::Set(effect),
    }
}

const fn take(
    name: &'static str,
    argument: &'static str,
    help: &'static str,
    effect: fn(&mut Options, &str) -> Result<(), String>,
) -> Flag {
    Flag {
        name,
        argument,
        help,
        effect: Effect::Take(effect),
    }
}

const fn ask(name: &'static str, help: &'static str, request: fn() -> Request) -> Flag {
    Flag {
        name,
        argument: "",
        help,
        effect: Effect::Ask(request),
    }
}

const fn none(name: &'static str, argument: &'static str, why: &'static str) -> Flag {
    Flag {
        name,
        argument,
        help: why,
        effect: Effect::None(why),
    }
}

const fn glued(name: &'static str, argument: &'static str) -> Flag {
    Flag {
        name,
        argument,
        help: NOTHING_TO_DEBUG,
        effect: Effect::NoneGlued(NOTHING_TO_DEBUG),
    }
}

/// The words that may stand instead of options.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "demo",
        "",
        "run two masters and a balancer in this process, on loopback",
    ),
    (
        "health",
        "[--admin ADDRESS] [-S SOCKET] [--timeout TIME] [-q]",
        "ask the running process whether it serves (exit code 1 if not); without options at \
         /run/evenkeel/master.sock, or else at 127.0.0.1:9101",
    ),
    (
        "keepalived",
        "--interface NAME --peer ADDRESS [-f FILE] [OPTION...]",
        "print a keepalived.conf for this node of a pair that shares the addresses which FILE binds",
    ),
    (
        "convert",
        "FILE...",
        "print a haproxy.cfg as TOML of the same meaning",
    ),
    (
        "lint",
        "[--json] FILE...",
        "say which lines will hurt a control plane (exit code 1 if any, 2 if it does not load); \
         without files: what is looked for",
    ),
    (
        "compatibility",
        "[--json|--markdown] [--haproxy PROGRAM] FILE|DIR...",
        "say of each file whether it loads, and compare with that HAProxy's verdict (exit code 1 if \
         one does not load)",
    ),
    (
        "keywords",
        "",
        "print which of HAProxy's keywords work, and which do not, and why",
    ),
    (
        "metrics",
        "",
        "print which metrics there are and what they mean",
    ),
    (
        "reload",
        "[-S SOCKET]",
        "have the running process load its files again; exit code 1, and why, if it does not",
    ),
    (
        "upgrade",
        "[-S SOCKET]",
        "have the running process give way to the program that is installed now; exit code 1, and \
         why, if it stays",
    ),
    (
        "man",
        "[evenkeel.8|evenkeel.toml.5|evenkeel-haproxy.cfg.5]",
        "print a page of the manual, for man -l -",
    ),
    (
        "completions",
        "bash|zsh|fish",
        "print what this shell needs to complete evenkeel's options",
    ),
    ("help", "", "print this"),
];

/// Reads the arguments that follow the program's name. The error is one line for the operator;
/// an empty one means that nothing was asked for.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut arguments = Vec::from_iter(arguments)
        .into_iter()
        .map(|argument| {
            argument
                .into_string()
                .map_err(|raw| format!("argument {raw:?} is not UTF-8"))
        })
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .peekable();
    let mut options = Options::default();
    let mut first = true;
    while let Some(argument) = arguments.next() {
        if std::mem::take(&mut first) && !argument.starts_with('-') {
            return command(&argument, &arguments.collect::<Vec<_>>());
        }
        let flag = find(&argument)?;
        let mut value = |argument: &str| {
            arguments
                .next()
                .ok_or_else(|| format!("option '{}' needs an argument: {argument}", flag.name))
        };
        match &flag.effect {
            Effect::Set(effect) => effect(&mut options),
            Effect::Take(effect) => {
                let value = value(flag.argument)?;
                effect(&mut options, &value)
                    .map_err(|why| format!("option '{}': {why}", flag.name))?;
            }
            Effect::None(why) => {
                if !flag.argument.is_empty() {
                    value(flag.argument)?;
                }
                options.without_effect.push((flag.name, why));
            }
            Effect::NoneGlued(why) => options.without_effect.push((flag.name, why)),
            Effect::Pids(how) => {
                let mut pids = Vec::new();
                while let Some(pid) = arguments.next_if(|next| !next.starts_with('-')) {
                    pids.push(
                        process_id(&pid).map_err(|why| format!("option '{}': {why}", flag.name))?,
                    );
                }
                options.replaces = Some(Replaces { how: *how, pids });
            }
            Effect::Files => options.files.extend(arguments.by_ref().map(PathBuf::from)),
            Effect::Ask(request) => return Ok(request()),
            Effect::Condition => return Ok(Request::Condition(value(flag.argument)?)),
        }
    }
    if options.files.is_empty() {
        return Err(if first {
            String::new()
        } else {
            "no configuration file: give one with -f".to_owned()
        });
    }
    Ok(Request::Load(options))
}

/// What the process that follows this one is started with: the same, but it replaces nobody else and
/// does not go to the background.
pub(crate) fn heir_arguments(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.peekable();
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        let flag = argument.to_str().and_then(|argument| find(argument).ok());
        match flag.map(|flag| (flag, &flag.effect)) {
            Some((_, Effect::Pids(_))) => {
                let is_pid = |next: &OsString| !next.as_encoded_bytes().starts_with(b"-");
                while arguments.next_if(is_pid).is_some() {}
            }
            Some((flag, _)) if flag.name == "-D" => {}
            Some((_, Effect::Files)) => {
                kept.push(argument);
                kept.extend(arguments.by_ref());
            }
            Some((flag, Effect::Take(_) | Effect::None(_))) => {
                kept.push(argument);
                if !flag.argument.is_empty() {
                    kept.extend(arguments.next());
                }
            }
            _ => kept.push(argument),
        }
    }
    kept
}

fn find(argument: &str) -> Result<&'static Flag, String> {
    let named = |name: &str| FLAGS.iter().find(|flag| flag.name == name);
    let glued = || {
        FLAGS.iter().find(|flag| {
            matches!(flag.effect, Effect::NoneGlued(_)) && argument.starts_with(flag.name)
        })
    };
    // `-cV`: HAProxy looks at the first letter of these and at no further one.
    let led = || {
        let (first, _) = argument.split_at_checked(2)?;
        named(first).filter(|flag| matches!(flag.name, "-c" | "-D" | "-q" | "-V"))
    };
    named(argument)
        .or_else(glued)
        .or_else(led)
        .ok_or_else(|| format!("unknown option '{argument}'"))
}

fn command(word: &str, rest: &[String]) -> Result<Request, String> {
    let options = rest.iter().take_while(|word| *word != "--");
    if options
        .into_iter()
        .any(|word| word == "-h" || word == "--help")
        && let Some((name, ..)) = COMMANDS.iter().find(|(name, ..)| *name == word)
    {
        return Ok(Request::HelpOf(name));
    }
    match (word, rest) {
        ("demo", []) => Ok(Request::Demo),
        ("health", rest) => {
            choice::choose("health", health::CHOICES, None, rest).map(Request::Health)
        }
        ("keepalived", rest) => {
            choice::choose("keepalived", keepalived::CHOICES, None, rest).map(Request::Keepalived)
        }
        ("convert", rest) => convert(rest),
        ("lint", rest) => lint(rest),
        ("compatibility", rest) => survey(rest).map(Request::Compatibility),
        ("keywords", []) => Ok(Request::Keywords),
        ("metrics", []) => Ok(Request::Metrics),
        ("man", rest) => manual_page(rest),
        ("completions", rest) => completions(rest),
        ("help", []) => Ok(Request::Help),
        ("reload", rest) => order("reload", rest).map(Request::Order),
        ("upgrade", rest) => order("upgrade", rest).map(Request::Order),
        ("demo" | "keywords" | "metrics" | "help", [extra, ..]) => {
            Err(format!("{word} takes no argument, got '{extra}'"))
        }
        _ => Err(format!(
            "unknown command '{word}'; a configuration file is given with -f"
        )),
    }
}

fn order(command: &'static str, words: &[String]) -> Result<Order, String> {
    let asked = choice::choose(command, order::CHOICES, None, words)?;
    Ok(Order {
        command,
        socket: asked
            .socket
            .unwrap_or_else(|| Door::Unix(MASTER_SOCKET.into())),
    })
}

fn manual_page(words: &[String]) -> Result<Request, String> {
    let page = match words {
        [] => Some(Page::Program),
        [name] => PAGES.into_iter().find(|page| page.name() == name),
        _ => None,
    };
    page.map(Request::Man).ok_or_else(|| {
        let names = PAGES.map(Page::name);
        format!("man takes one of {}", names.join(", "))
    })
}

fn completions(words: &[String]) -> Result<Request, String> {
    let shell = match words {
        [name] => SHELLS.into_iter().find(|(shell, _)| shell == name),
        _ => None,
    };
    shell
        .map(|(_, shell)| Request::Completions(shell))
        .ok_or_else(|| {
            let names = SHELLS.map(|(name, _)| name);
            format!("completions takes one of {}", names.join(", "))
        })
}

fn convert(words: &[String]) -> Result<Request, String> {
    let take = |files: &mut Vec<PathBuf>, file: &str| files.push(file.into());
    let files = choice::choose("convert", operands::CONVERT, Some(take), words)?;
    match files.is_empty() {
        true => Err("convert takes files: evenkeel convert haproxy.cfg".to_owned()),
        false => Ok(Request::Convert(files)),
    }
}

fn lint(words: &[String]) -> Result<Request, String> {
    let take = |lint: &mut operands::Lint, file: &str| lint.files.push(file.into());
    let lint = choice::choose("lint", operands::LINT, Some(take), words)?;
    Ok(Request::Lint(lint.files, lint.output))
}

fn survey(words: &[String]) -> Result<Survey, String> {
    let take = |survey: &mut Survey, file: &str| survey.files.push(file.into());
    let survey = choice::choose("compatibility", operands::SURVEY, Some(take), words)?;
    if survey.files.is_empty() {
        return Err(
            "compatibility takes files and directories: evenkeel compatibility /etc/haproxy"
                .to_owned(),
        );
    }
    Ok(survey)
}

fn positive(text: &str) -> Result<Option<u32>, String> {
    match text.parse::<u32>() {
        // 0 is HAProxy's way to say "not limited here".
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!("'{text}' is not a number of connections")),
    }
}

fn process_id(text: &str) -> Result<i32, String> {
    // 0 and negative numbers would signal whole process groups.
    text.parse()
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| format!("'{text}' is not a process id"))
}

fn admin_address(text: &str) -> Result<SocketAddr, String> {
    let all = text
        .strip_prefix('*')
        .filter(|rest| rest.starts_with(':'))
        .or(text.strip_prefix(':').map(|_| text));
    match all {
        Some(port) => format!("0.0.0.0{port}").parse(),
        None => text.parse(),
    }
    .map_err(|_| format!("'{text}' is not an address with a port, e.g. 127.0.0.1:9101"))
}

/// What the manual and shells are told of an option or a command.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Empty when nothing follows.
    pub(crate) argument: &'static str,
    /// Whether the argument stands right behind the name.
    pub(crate) glued: bool,
    pub(crate) help: &'static str,
}

/// The options: those with an effect, or those that are accepted without one.
pub(crate) fn options(idle: bool) -> impl Iterator<Item = Entry> {
    let chosen =
        move |flag: &&Flag| idle == matches!(flag.effect, Effect::None(_) | Effect::NoneGlued(_));
    FLAGS.iter().filter(chosen).map(|flag| Entry {
        name: flag.name,
        argument: flag.argument,
        glued: matches!(flag.effect, Effect::NoneGlued(_)),
        help: flag.help,
    })
}

/// The commands.
pub(crate) fn commands() -> impl Iterator<Item = Entry> {
    COMMANDS.iter().map(|(name, argument, help)| Entry {
        name,
        argument,
        glued: false,
        help,
    })
}

/// The options of a command.
pub(crate) fn options_of(command: &str) -> Vec<Entry> {
    let shown = match command {
        "health" => choice::shown(health::CHOICES),
        "keepalived" => choice::shown(keepalived::CHOICES),
        "lint" => choice::shown(operands::LINT),
        "compatibility" => choice::shown(operands::SURVEY),
        "reload" | "upgrade" => choice::shown(order::CHOICES),
        _ => Vec::new(),
    };
    let entry = |(name, argument, help)| Entry {
        name,
        argument,
        glued: false,
        help,
    };
    shown.into_iter().map(entry).collect()
}

fn put_line(text: &mut String, left: &str, argument: &str, right: &str) {
    let left = if argument.is_empty() {
        left.to_owned()
    } else {
        format!("{left} {argument}")
    };
    let _ = writeln!(text, "  {left:<18} {right}");
}

/// The help of one command.
pub(crate) fn help_of(command: &str) -> String {
    let mut text = String::new();
    for (name, argument, help) in COMMANDS.iter().filter(|(name, ..)| *name == command) {
        let _ = writeln!(
            text,
            "Usage: {}",
            format!("evenkeel {name} {argument}").trim_end()
        );
        let _ = writeln!(text, "\n{help}");
    }
    let options = options_of(command);
    if !options.is_empty() {
        text.push_str("\nOptions:\n");
    }
    for entry in options {
        put_line(&mut text, entry.name, entry.argument, entry.help);
    }
    text
}

/// The help, made from the tables.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "Usage: evenkeel [-f FILE|DIR]... [OPTION]...\n       evenkeel COMMAND\n\nCommands:\n",
    );
    let mut line = |left: &str, argument: &str, right: &str| {
        put_line(&mut text, left, argument, right);
    };
    for (word, argument, help) in COMMANDS {
        line(word, argument, help);
    }
    line("", "", "");
    for (command, ..) in COMMANDS {
        let options = options_of(command);
        if options.is_empty() {
            continue;
        }
        line("Options of", command, "");
        for entry in options {
            line(entry.name, entry.argument, entry.help);
        }
        line("", "", "");
    }
    let idle = |flag: &&Flag| matches!(flag.effect, Effect::None(_) | Effect::NoneGlued(_));
    for flag in FLAGS.iter().filter(|flag| !idle(flag)) {
        line(flag.name, flag.argument, flag.help);
    }
    line("", "", "");
    text.push_str("Accepted because HAProxy has them, without effect here:\n");
    for flag in FLAGS.iter().filter(idle) {
        let glue = if matches!(flag.effect, Effect::NoneGlued(_)) || flag.argument.is_empty() {
            ""
        } else {
            " "
        };
        let _ = writeln!(
            text,
            "  {:<18} {}",
            format!("{}{glue}{}", flag.name, flag.argument),
            flag.help
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Door;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[track_caller]
    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Request::Load(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn debian_unit_starts_and_checks() {
        let run = options(
            "-Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S /run/haproxy-master.sock",
        );
        assert!(run.master);
        assert_eq!(run.files, [PathBuf::from("/etc/haproxy/haproxy.cfg")]);
        assert_eq!(run.pidfile, Some("/run/haproxy.pid".into()));
        assert_eq!(run.master_sockets, ["/run/haproxy-master.sock"]);
        assert!(run.without_effect.is_empty());
        let check = options("-Ws -f /etc/haproxy/haproxy.cfg -c -q -S /run/haproxy-master.sock");
        assert!(check.check);
        assert_eq!(check.verbosity, Verbosity::Quiet);
    }

    #[test]
    fn a_successor_is_started_alike_but_stays_and_replaces_nobody() {
        let kept = |line: &str| {
            let words = line.split_whitespace().map(OsString::from);
            let kept = heir_arguments(words);
            let kept: Vec<_> = kept.iter().filter_map(|word| word.to_str()).collect();
            kept.join(" ")
        };
        assert_eq!(
            kept("-Ws -f -D -p /run/pid -sf 1 2 -D -x /run/old -st -- -D b"),
            "-Ws -f -D -p /run/pid -x /run/old -- -D b"
        );
    }

    #[test]
    fn lint_and_compatibility_take_files_and_say_how() {
        assert_eq!(
            parsed("lint --json a b"),
            Ok(Request::Lint(vec!["a".into(), "b".into()], Output::Json))
        );
        assert_eq!(parsed("lint"), Ok(Request::Lint(vec![], Output::Text)));
        assert_eq!(
            parsed("compatibility --markdown --haproxy /bin/h d"),
            Ok(Request::Compatibility(Survey {
                output: Output::Markdown,
                haproxy: Some("/bin/h".into()),
                files: vec!["d".into()],
            }))
        );
        for (line, expected) in [
            ("lint --yaml a", "lint has no option '--yaml'"),
            ("compatibility", "takes files and directories"),
            (
                "compatibility --haproxy",
                "option '--haproxy' needs an argument: PROGRAM",
            ),
            ("lint -x", "lint has no option '-x'; it has --json"),
            (
                "convert --json a",
                "convert has no option '--json'; it has none",
            ),
            ("compatibility --csv a", "has no option '--csv'"),
        ] {
            let mistake = parsed(line).unwrap_err();
            assert!(mistake.contains(expected), "{line}: {mistake}");
        }
    }

    #[test]
    fn the_manual_and_completions_are_asked_for_by_name() {
        assert_eq!(parsed("man"), Ok(Request::Man(Page::Program)));
        assert_eq!(parsed("man evenkeel.toml.5"), Ok(Request::Man(Page::Toml)));
        assert_eq!(
            parsed("completions zsh"),
            Ok(Request::Completions(Shell::Zsh))
        );
        for (line, expected) in [
            ("man evenkeel", "man takes one of evenkeel.8, "),
            ("completions", "completions takes one of bash, zsh, fish"),
        ] {
            let mistake = parsed(line).unwrap_err();
            assert!(mistake.contains(expected), "{line}: {mistake}");
        }
        // The help, and so the completions, know the names that are taken.
        for (command, names) in [
            ("man", PAGES.map(Page::name)),
            ("completions", SHELLS.map(|(name, _)| name)),
        ] {
            let entry = commands().find(|entry| entry.name == command).unwrap();
            let shown = entry.argument.trim_matches(['[', ']']);
            assert_eq!(shown, names.join("|"));
        }
    }

    #[test]
    fn pids_end_at_the_next_option() {
        let finish = options("-f a -sf 12 34 -D");
        assert_eq!(
            finish.replaces,
            Some(Replaces {
                how: Farewell::Finish,
                pids: vec![12, 34]
            })
        );
        assert!(finish.daemon);
        let nobody = options("-f a -st");
        assert_eq!(
            nobody.replaces,
            Some(Replaces {
                how: Farewell::Terminate,
                pids: vec![]
            })
        );
        for group in ["0", "x"] {
            assert!(
                parsed(&format!("-f a -sf {group}"))
                    .unwrap_err()
                    .contains("not a process id")
            );
        }
    }

    #[test]
    fn files_keep_their_order() {
        assert_eq!(
            options("-f b -f a -- d -c").files,
            ["b", "a", "d", "-c"].map(PathBuf::from)
        );
    }

    #[test]
    fn every_flag_parses_alone() {
        assert!(FLAGS.len() > 40);
        for flag in FLAGS {
            let value = match flag.name {
                "-n" | "-N" | "-m" | "--stop-limit" | "--drain-limit" => "5",
                "--admin" => "127.0.0.1:0",
                "--log-format" => "json",
                _ if matches!(flag.effect, Effect::NoneGlued(_)) || flag.argument.is_empty() => "",
                "-sf" | "-st" => "7",
                _ => "x",
            };
            let line = format!("-f a {} {value}", flag.name);
            assert!(parsed(&line).is_ok(), "{line}: {:?}", parsed(&line));
            assert!(
                help().contains(flag.name),
                "{} is missing in the help",
                flag.name
            );
        }
    }

    #[test]
    fn every_command_is_understood() {
        for (word, argument, _) in COMMANDS {
            // `[a|b] C...`: one of them, and what may be left out, too.
            let argument = sample(argument).replace(['[', ']'], "");
            let typed = argument.split(' ').map(|word| word.split('|').next());
            let line = format!("{word} {}", typed.flatten().collect::<Vec<_>>().join(" "));
            assert!(parsed(&line).is_ok(), "{line}: {:?}", parsed(&line));
        }
    }

    /// What could stand for the arguments that the help shows.
    fn sample(argument: &str) -> String {
        argument
            .replace("[OPTION...]", "")
            .replace("--peer ADDRESS", "--peer 10.0.1.9")
            .replace("--interface NAME", "--interface eth0")
            .replace("--admin ADDRESS", "--admin 127.0.0.1:9101")
            .replace("-S SOCKET", "-S /run/lb.sock")
            .replace("--timeout TIME", "--timeout 1s")
    }

    #[test]
    fn every_command_has_help_of_its_own() {
        for (word, argument, help) in COMMANDS {
            for asked in ["--help", "-h"] {
                let line = format!("{word} {asked}");
                assert_eq!(parsed(&line), Ok(Request::HelpOf(word)), "{line}");
            }
            let text = help_of(word);
            assert!(text.contains(argument) && text.contains(help), "{text}");
            for entry in options_of(word) {
                assert!(text.contains(entry.help), "{text}");
            }
        }
        assert_eq!(
            parsed("lint -- --help"),
            Ok(Request::Lint(vec!["--help".into()], Output::Text))
        );
    }

    #[test]
    fn a_socket_is_written_alike_for_every_command() {
        for (written, door) in [
            ("/run/a.sock,mode,600", Door::Unix("/run/a.sock".into())),
            ("unix@run/a.sock", Door::Unix("run/a.sock".into())),
            ("run/a.sock", Door::Unix("run/a.sock".into())),
            ("./a.sock", Door::Unix("./a.sock".into())),
            ("127.0.0.1:99", Door::Inet("127.0.0.1:99".parse().unwrap())),
        ] {
            for command in ["reload", "upgrade"] {
                let socket = door.clone();
                assert_eq!(
                    parsed(&format!("{command} -S {written}")),
                    Ok(Request::Order(Order { command, socket }))
                );
            }
            let doors = vec![door];
            assert_eq!(
                parsed(&format!("health -S {written}")),
                Ok(Request::Health(Health {
                    doors,
                    ..Health::default()
                }))
            );
        }
        let mistake = parsed("reload -S run").unwrap_err();
        assert!(mistake.contains("neither a path"), "{mistake}");
    }

    #[test]
    fn health_is_asked_at_doors_in_their_order() {
        let Ok(Request::Health(health)) = parsed(
            "health -S /run/a.sock,level,user --admin :9101 -S 127.0.0.1:99 --timeout=2s --for 750ms -q",
        ) else {
            panic!("not understood");
        };
        assert_eq!(
            health,
            Health {
                doors: vec![
                    Door::Unix("/run/a.sock".into()),
                    Door::Admin("0.0.0.0:9101".parse().unwrap()),
                    Door::Inet("127.0.0.1:99".parse().unwrap()),
                ],
                patience: std::time::Duration::from_secs(2),
                span: std::time::Duration::from_millis(750),
                is_quiet: true,
            }
        );
        assert_eq!(parsed("health"), Ok(Request::Health(Health::default())));
        for (line, expected) in [
            (
                "health --admin",
                "option '--admin' needs an argument: ADDRESS",
            ),
            ("health --admin 9101", "not an address with a port"),
            ("health -S run", "neither a path"),
            ("health -S unix@", "missing path"),
            ("health --timeout 0", "not between 1ms and 60s"),
            ("health --timeout x", "option '--timeout'"),
            ("health --for 61s", "more than 60s"),
            (
                "health -q=1",
                "health has no option '-q=1'; it has --admin, -S",
            ),
            ("health masters", "health has no option 'masters'"),
        ] {
            let mistake = parsed(line).unwrap_err();
            assert!(mistake.contains(expected), "{line}: {mistake}");
        }
    }

    #[test]
    fn values_of_keepalived_are_looked_at_one_by_one() {
        let Ok(Request::Keepalived(wanted)) = parsed(
            "keepalived --interface eth0 --peer 10.0.1.9 --vip 10.0.1.10/24 --vip fd00::10 -f a \
             --address 10.0.1.8 --priority 7 --router-id 9 --admin :9101 -S /run/m,level,user --user lb",
        ) else {
            panic!("not understood");
        };
        assert_eq!(wanted.health, ["--admin", "0.0.0.0:9101", "-S", "/run/m"]);
        let vips: Vec<String> = wanted.vips.iter().map(ToString::to_string).collect();
        assert_eq!(vips, ["10.0.1.10/24", "fd00::10/128"]);
        assert_eq!((wanted.priority, wanted.router_id), (Some(7), Some(9)));
        for (line, expected) in [
            (
                "--interface a-name-that-is-too-long",
                "no name of an interface",
            ),
            ("--peer lb2", "'lb2' is not an IP address"),
            ("--peer 127.0.0.1", "no address of one node"),
            ("--vip 0.0.0.0", "no address of one node"),
            (
                "--vip 10.0.1.10/33",
                "'/33' is no prefix of 10.0.1.10: 1 to 32",
            ),
            ("--priority 255", "not a number from 1 to 254"),
            ("--router-id 0", "not a number from 1 to 255"),
            ("--user a#b", "is not one word"),
            (
                "--nic eth0",
                "keepalived has no option '--nic'; it has --interface",
            ),
        ] {
            let mistake = parsed(&format!("keepalived {line}")).unwrap_err();
            assert!(mistake.contains(expected), "{line}: {mistake}");
        }
    }

    #[test]
    fn letters_after_a_switch_are_ignored_as_haproxy_does() {
        let checked = options("-cV -f a");
        assert!(checked.check);
        assert_eq!(checked.verbosity, Verbosity::Normal);
        assert!(parsed("-fx").is_err());
    }

    #[test]
    fn glued_arguments_belong_to_their_option() {
        let noted = options("-f a -dM0x50,no-merge -dKall").without_effect;
        assert_eq!(
            noted.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["-dM", "-dK"]
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (line, message) in [
            ("-zz", "unknown option '-zz'"),
            ("-f", "option '-f' needs an argument: FILE|DIR"),
            ("-c", "no configuration file: give one with -f"),
            (
                "haproxy.cfg",
                "unknown command 'haproxy.cfg'; a configuration file is given with -f",
            ),
            (
                "-f a -n many",
                "option '-n': 'many' is not a number of connections",
            ),
            (
                "-f a --admin 9101",
                "option '--admin': '9101' is not an address with a port, e.g. 127.0.0.1:9101",
            ),
            (
                "-f a --log-format xml",
                "option '--log-format': 'xml' is no format of messages: text or json",
            ),
            (
                "convert",
                "convert takes files: evenkeel convert haproxy.cfg",
            ),
            ("help me", "help takes no argument, got 'me'"),
            ("", ""),
        ] {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn admin_address_forms() {
        for (text, address) in [
            ("127.0.0.1:9101", "127.0.0.1:9101"),
            (":9101", "0.0.0.0:9101"),
            ("*:9101", "0.0.0.0:9101"),
            ("[::1]:9101", "[::1]:9101"),
        ] {
            assert_eq!(
                options(&format!("-f a --admin {text}")).admin,
                Some(address.parse().unwrap())
            );
        }
    }

    #[test]
    fn conditions_and_versions_end_the_parse() {
        assert_eq!(
            parsed("-cc streq(a,b)"),
            Ok(Request::Condition("streq(a,b)".to_owned()))
        );
        assert_eq!(parsed("-vv -f"), Ok(Request::Version(VersionDetail::Build)));
        assert_eq!(parsed("-vqb"), Ok(Request::Version(VersionDetail::Branch)));
    }
}
