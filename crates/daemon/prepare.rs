//! Everything that a start needs and that can be refused: loading, limits, sockets, files. It is
//! done before the process goes to the background, and nothing is served until all of it stands.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use evenkeel_config::{Config, Loaded, Place, Problem};
use evenkeel_proxy::{Handed, Ownership, SavedServer, Sockets};

use crate::admin::Bound;
use crate::background::Pidfile;
use crate::bind_report::Moment;
use crate::cli::{Farewell, Options, Replaces};
use crate::diagnostics::{caution, say_problem};
use crate::handover::Heir;
use crate::limits::Limits;
use crate::rights::Rights;
use crate::runtime::saved;
use crate::{bind_report, fd_store, files, foreign, inherit, limits, notify};

const NO_LISTENER: &str = "no enabled listener found; a 'bind' line makes one";

/// All that was loaded, bound and opened.
pub(crate) struct Prepared {
    pub(crate) options: Options,
    pub(crate) loaded: Loaded,
    pub(crate) limits: Limits,
    pub(crate) rights: Rights,
    pub(crate) sockets: Sockets,
    /// The descriptors `fd@N` that were taken over.
    pub(crate) claimed: BTreeSet<i32>,
    pub(crate) admin: Option<Bound>,
    pub(crate) pidfile: Option<Pidfile>,
    /// What an earlier process wrote down of servers.
    pub(crate) saved: Vec<(usize, usize, SavedServer)>,
    /// What the process before listens on and this one does not.
    pub(crate) surplus: BTreeSet<String>,
}

/// Loads what the options name and tells the warnings.
///
/// # Errors
/// Every problem of every file; or the warnings' presence, with `-dW`.
pub(crate) fn load(options: &Options) -> Result<Loaded, Vec<Problem>> {
    if let Some(directory) = &options.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            whole(
                options,
                format!("cannot change to {}: {error}", directory.display()),
            )
        })?;
    }
    let mut loaded = files::load(options)?;
    match Rights::of(&loaded.config) {
        Ok(_) => {}
        // A file is most often checked on another machine than the one that it is for.
        Err(strangers) if options.check => {
            let told = strangers.into_iter().map(|stranger| {
                let message = format!("{}; it would not start here", stranger.message);
                Problem::warning(stranger.place, message)
            });
            loaded.warnings.extend(told);
        }
        Err(strangers) => return Err(strangers),
    }
    report(&loaded.warnings);
    report(&idle_options(options));
    accept_warnings(options, &loaded)?;
    Ok(loaded)
}

/// A warning for each option without effect. HAProxy has none to give, so that `-dW` does not
/// count them.
fn idle_options(options: &Options) -> Vec<Problem> {
    let idle: BTreeSet<_> = options.without_effect.iter().collect();
    let warn = |(option, why): &(&str, &str)| {
        let message = format!("option '{option}' has no effect: {why}");
        Problem::warning(Place::whole_file("evenkeel"), message)
    };
    idle.into_iter().map(warn).collect()
}

/// # Errors
/// There are warnings, and `-dW` forbids them.
pub(crate) fn accept_warnings(options: &Options, loaded: &Loaded) -> Result<(), Vec<Problem>> {
    if options.warnings_are_errors && !loaded.warnings.is_empty() {
        return Err(whole(
            options,
            "warnings were found, and -dW makes them errors",
        ));
    }
    Ok(())
}

/// Settles the limits, claims what was inherited, binds and opens.
///
/// # Errors
/// What the system refuses; every address that cannot be bound.
pub(crate) fn open(
    options: Options,
    loaded: Loaded,
    mut heir: Option<&mut Heir>,
) -> Result<Prepared, Vec<Problem>> {
    let config = &loaded.config;
    let refuse = |error: &dyn Display| whole(&options, error);
    if !listens(config) && config.global.admin.is_none() {
        return Err(refuse(&NO_LISTENER));
    }
    let rights = Rights::of(config)?;
    rights.attainable()?;
    foreign::allowed(config)?;
    let limits = limits::settle(config).map_err(|error| refuse(&error))?;
    let (ownership, moment) = match options.replaces.is_some() || heir.is_some() {
        true => (Ownership::Shared, Moment::TakeOver),
        false => (Ownership::Exclusive, Moment::Start),
    };
    let numbered = heir.as_mut().map(|heir| heir.take_numbered());
    let inherited = inherit::claim(config, numbered.unwrap_or_default())?;
    let claimed = inherited.keys().copied().collect();
    let kept = match heir {
        Some(_) => Vec::new(),
        None => inherit::listeners(&inherited),
    };
    let mut sockets = Sockets::new(inherited);
    let mut kept_admin = None;
    let mut surplus: BTreeSet<String> = match &mut heir {
        Some(heir) => {
            sockets.leave_shut(heir.take_shut());
            let surplus = sockets.adopt(heir.take_sockets(), config);
            surplus.iter().map(|one| one.name().to_owned()).collect()
        }
        None => {
            kept_admin = adopt_kept(&mut sockets, kept, config);
            BTreeSet::new()
        }
    };
    let absent = sockets
        .bind(config, limits.threads, ownership)
        .map_err(|errors| {
            let refused = errors
                .iter()
                .map(|error| bind_report::refused(error, moment));
            refused.collect::<Vec<_>>()
        })?;
    absent
        .iter()
        .map(bind_report::absent)
        .for_each(|warning| say_problem(&warning));
    let admin = config
        .global
        .admin
        .map(|address| {
            let handed = heir.as_mut().and_then(|heir| heir.take_admin(address));
            if let Some(listener) = handed.or(kept_admin.take()) {
                return Ok(Bound::from_listener(address, listener));
            }
            Bound::bind(address, ownership)
                .map_err(|error| refuse(&bind_report::refused_admin(address, &error, moment)))
        })
        .transpose()?;
    if heir.as_ref().is_some_and(|heir| heir.has_admin()) {
        surplus.insert(fd_store::ADMIN.to_owned());
    }
    let pidfile = config
        .global
        .pidfile
        .as_deref()
        .map(|path| Pidfile::open(path, heir.is_some()))
        .transpose()
        .map_err(|error| refuse(&error))?;
    let (saved, damaged) = match heir {
        // The process before knows better.
        Some(_) => (Vec::new(), Vec::new()),
        None => saved::read(&loaded.config, |path| std::fs::read(path)),
    };
    report(&damaged);
    Ok(Prepared {
        options,
        loaded,
        limits,
        rights,
        sockets,
        claimed,
        admin,
        pidfile,
        saved,
        surplus,
    })
}

/// Takes what the service manager kept or opened, as far as `config` wants it; the rest it is to keep
/// no longer: whoever connects there would wait for nobody. What it had for the admin address is
/// returned.
fn adopt_kept(
    sockets: &mut Sockets,
    kept: Vec<(String, OwnedFd)>,
    config: &Config,
) -> Option<TcpListener> {
    if kept.is_empty() {
        return None;
    }
    let mut handed = Vec::new();
    let mut admin = None;
    let mut useless = BTreeSet::new();
    for (name, descriptor) in kept {
        match Handed::new(name.clone(), descriptor) {
            Ok(one) if config.global.admin.is_some() && one.address() == config.global.admin => {
                // The manager may have it twice.
                admin = Some(one);
            }
            Ok(one) => handed.push(one),
            Err(why) => {
                caution(format!(
                    "what the service manager hands over as '{name}' is of no use: {why}"
                ));
                useless.insert(name);
            }
        }
    }
    for one in sockets.adopt(handed, config) {
        caution(format!(
            "{one}, which the service manager hands over, is neither a 'bind' nor the admin address \
             of any file: closed"
        ));
        useless.insert(one.name().to_owned());
    }
    if notify::keeps_descriptors() && !useless.is_empty() {
        useless.iter().for_each(|name| notify::unstore(name));
        // It must be gone before anything is bound that overlaps.
        notify::settle();
    }
    admin.map(TcpListener::from)
}

/// Tells the processes that this one replaces to go.
pub(crate) fn dismiss(replaces: &Replaces) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match replaces.how {
        Farewell::Finish => Signal::USR1,
        Farewell::Terminate => Signal::TERM,
    };
    for pid in replaces.pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        if let Err(error) = kill_process(pid, signal) {
            // Most often it is gone already, which is what was wanted.
            tracing::debug!(
                "cannot signal the process {}: {error}",
                pid.as_raw_nonzero()
            );
        }
    }
}

/// A reload must not leave clients alone: an empty file is a mistake, not a wish. `--admin` alone
/// is no reason to take it, unless nothing else was served before.
///
/// # Errors
/// Nothing would be listened on.
pub(crate) fn keeps_serving(next: &Config, current: &Config) -> Result<(), &'static str> {
    let has_admin_alone = !listens(current) && next.global.admin.is_some();
    if listens(next) || has_admin_alone {
        Ok(())
    } else {
        Err(NO_LISTENER)
    }
}

/// A stats socket is enough, as for HAProxy.
fn listens(config: &Config) -> bool {
    !config.global.runtime.sockets.is_empty()
        || config
            .frontends
            .iter()
            .any(|frontend| !frontend.disabled && !frontend.binds.is_empty())
}

/// Prints problems one a line, as editors and people expect them.
pub(crate) fn report(problems: &[Problem]) {
    problems.iter().for_each(say_problem);
}

/// A problem that no line of the files is to blame for.
pub(crate) fn whole(options: &Options, error: impl Display) -> Vec<Problem> {
    let file = options
        .files
        .first()
        .map_or_else(|| "evenkeel".to_owned(), |file| file.display().to_string());
    vec![Problem::error(Place::whole_file(&file), error.to_string())]
}
