//! What root may do is given up once everything stands and before any thread exists: root
//! directory, groups, user, capabilities. A thread has rights of its own on Linux, so that none
//! may have been started by then.

use std::io;
use std::path::Path;

use evenkeel_config::{
    Account, Capability, Config, ConnectFrom, Identity, Instead, Jail, Problem, Server,
};
use evenkeel_proxy::{group_id, user_id};
use nix::unistd::{Gid, Uid, chroot, getgroups, getresgid, getresuid, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use crate::service;

/// What the process is to become.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    /// Number and how it is named.
    user: Option<(u32, Identity)>,
    group: Option<(u32, Identity)>,
    jail: Option<Jail>,
    kept: CapabilitySet,
    dumpable: bool,
    setuid_programs: bool,
    /// Whether there are rights to lose.
    was_root: bool,
}

impl Rights {
    /// Finds the accounts that `config` names.
    ///
    /// # Errors
    /// Every account that this machine does not have, of Unix sockets, too.
    pub(crate) fn of(config: &Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let privileges = &config.global.privileges;
        let mut find = |identity: &Option<Identity>, find: fn(&Account) -> io::Result<u32>| {
            let identity = identity.as_ref()?;
            match find(&identity.account) {
                // HAProxy's zero: nothing changes.
                Ok(0) => None,
                Ok(id) => Some((id, identity.clone())),
                Err(error) => {
                    problems.push(Problem::error(identity.place.clone(), error.to_string()));
                    None
                }
            }
        };
        let user = find(&privileges.user, user_id);
        let group = find(&privileges.group, group_id);
        let binds = config.frontends.iter().flat_map(|frontend| &frontend.binds);
        let runtime = &config.global.runtime;
        let sockets = runtime.sockets.iter().chain(&runtime.master_sockets);
        for bind in binds.chain(sockets.map(|socket| &socket.bind)) {
            let user = bind.access.user.as_ref().map(user_id);
            let group = bind.access.group.as_ref().map(group_id);
            let unknown = user.into_iter().chain(group).filter_map(Result::err);
            problems
                .extend(unknown.map(|error| Problem::error(bind.place.clone(), error.to_string())));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            user,
            group,
            jail: privileges.chroot.clone(),
            kept: kept(config),
            dumpable: privileges.dumpable,
            setuid_programs: privileges.setuid_programs,
            was_root: Uid::effective().is_root(),
        })
    }

    /// Whether files and ports may be out of reach afterwards.
    pub(crate) fn lose_something(&self) -> bool {
        let changes_user = |(id, _): &(u32, Identity)| Uid::effective().as_raw() != *id;
        self.jail.is_some() || self.user.as_ref().is_some_and(changes_user)
    }

    /// Whether this process may become that; to be asked before anything is opened.
    ///
    /// # Errors
    /// Each step that the system would refuse.
    pub(crate) fn attainable(&self) -> Result<(), Vec<Problem>> {
        let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let lacks = |capability| !effective.contains(capability);
        let not_permitted = || io::Error::from_raw_os_error(rustix::io::Errno::PERM.raw_os_error());
        let mut problems = Vec::new();
        if let Some(jail) = self
            .jail
            .as_ref()
            .filter(|_| lacks(CapabilitySet::SYS_CHROOT))
        {
            problems.push(no_jail(jail, not_permitted()));
        }
        if let Some((id, user)) = &self.user {
            let is_so = getresuid().is_ok_and(|ids| ids.effective.as_raw() == *id);
            if !is_so && lacks(CapabilitySet::SETUID) {
                problems.push(no_account("user", user, *id, not_permitted()));
            }
        }
        if let Some((id, group)) = &self.group {
            let is_so = getresgid().is_ok_and(|ids| ids.effective.as_raw() == *id);
            if !is_so && lacks(CapabilitySet::SETGID) {
                problems.push(no_account("group", group, *id, not_permitted()));
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    /// Gives everything else up, for good.
    ///
    /// # Errors
    /// The system refuses a step: the process is not root, most often. It must not serve then.
    pub(crate) fn take(&self) -> Result<(), Problem> {
        if !self.setuid_programs {
            // Costs nothing where the kernel does not know it.
            let _ = set_no_new_privs(true);
        }
        if let Some(jail) = &self.jail {
            enter(&jail.path).map_err(|error| no_jail(jail, error))?;
        }
        if let Some((id, group)) = &self.group {
            drop_groups(group)?;
            setgid(Gid::from_raw(*id))
                .map_err(|error| no_account("group", group, *id, error.into()))?;
        }
        if let Some((id, user)) = &self.user {
            self.change_user(*id, user)?;
        }
        self.verify()?;
        if self.dumpable {
            allow_core();
        }
        Ok(())
    }

    /// What `next` would take and was given up.
    ///
    /// # Errors
    /// A problem of each server that cannot be connected to as its `source` says.
    pub(crate) fn suffice(&self, next: &Config) -> Result<(), Vec<Problem>> {
        let problems: Vec<_> = needs(next)
            .filter(|(capability, _)| !self.kept.contains(set(*capability)))
            .map(|(capability, server)| {
                let name = match capability {
                    Capability::NetBindService => "cap_net_bind_service",
                    _ => "cap_net_raw",
                };
                let message = format!(
                    "the 'source' of server '{}' needs {name}, which was given up at the start \
                     because nothing needed it; restart, or have 'setcap {name}' keep it",
                    server.name
                );
                Problem::error(server.place.clone(), message)
            })
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    fn change_user(&self, id: u32, user: &Identity) -> Result<(), Problem> {
        let refuse = |error: io::Error| no_account("user", user, id, error);
        let is_root = Uid::effective().is_root();
        if is_root {
            if self.group.is_none() {
                drop_groups(user)?;
            }
            for capability in CapabilitySet::all().difference(self.kept).iter() {
                // One that the kernel does not know is none that could be gained.
                let _ = remove_capability_from_bounding_set(capability);
            }
            set_keep_capabilities(true).map_err(|error| refuse(error.into()))?;
        }
        setuid(Uid::from_raw(id)).map_err(|error| refuse(error.into()))?;
        if is_root {
            let permitted = capabilities(None).map_err(|error| refuse(error.into()))?;
            let kept = permitted.permitted & self.kept;
            let sets = CapabilitySets {
                effective: kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, sets).map_err(|error| refuse(error.into()))?;
            let _ = clear_ambient_capability_set();
        }
        Ok(())
    }

    /// What was asked for is what there is: serving on with more without knowing would be worse
    /// than not to serve.
    fn verify(&self) -> Result<(), Problem> {
        let only_a_part = || io::Error::other("the system changed only a part");
        if let Some((id, group)) = &self.group {
            let is_so = getresgid().is_ok_and(|ids| {
                let all = [ids.real, ids.effective, ids.saved];
                all.iter().all(|gid| gid.as_raw() == *id)
            });
            if !is_so || (self.was_root && !has_no_groups()) {
                return Err(no_account("group", group, *id, only_a_part()));
            }
        }
        let Some((id, user)) = &self.user else {
            return Ok(());
        };
        let is_user = getresuid().is_ok_and(|ids| {
            let all = [ids.real, ids.effective, ids.saved];
            all.iter().all(|uid| uid.as_raw() == *id)
        });
        // Who was not root before had no capabilities to lose and may keep groups, which is told.
        let is_bare = !self.was_root || (holds_only(self.kept) && has_no_groups());
        if is_user && is_bare {
            return Ok(());
        }
        Err(no_account("user", user, *id, only_a_part()))
    }
}

fn has_no_groups() -> bool {
    getgroups().is_ok_and(|groups| groups.is_empty())
}

/// Whether this thread has no other capabilities, nor any way to get them back.
fn holds_only(kept: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| {
        let all = sets.effective | sets.permitted | sets.inheritable;
        kept.contains(all)
    })
}

/// What `setcap` names, and what connections to servers take. What listening takes is not among
/// it: the keeper opens those sockets.
fn kept(config: &Config) -> CapabilitySet {
    let named = config.global.privileges.capabilities.iter().copied();
    let needed = needs(config).map(|(capability, _)| capability);
    named.chain(needed).map(set).collect()
}

/// The capabilities that `source` lines take, and the servers that they are for.
fn needs(config: &Config) -> impl Iterator<Item = (Capability, &Server)> {
    let servers = config.backends.iter().flat_map(|backend| &backend.servers);
    servers.flat_map(|server| {
        let needed = server.source.as_ref().map_or([None, None], of_source);
        needed
            .into_iter()
            .flatten()
            .map(move |capability| (capability, server))
    })
}

fn of_source(source: &ConnectFrom) -> [Option<Capability>; 2] {
    const FIRST_UNPRIVILEGED_PORT: u16 = 1024;
    // An address that is not this machine's; an interface, before Linux 5.7.
    let raw = source.instead.is_some() || source.interface.is_some();
    let ports = source.ports.as_ref();
    let low = ports.is_some_and(|ports| *ports.start() < FIRST_UNPRIVILEGED_PORT)
        || source.instead == Some(Instead::Client);
    [
        raw.then_some(Capability::NetRaw),
        low.then_some(Capability::NetBindService),
    ]
}

fn set(capability: Capability) -> CapabilitySet {
    match capability {
        Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        Capability::NetBindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::NetRaw => CapabilitySet::NET_RAW,
        Capability::SysAdmin => CapabilitySet::SYS_ADMIN,
    }
}

fn enter(jail: &Path) -> io::Result<()> {
    chroot(jail)?;
    std::env::set_current_dir("/")
}

/// Whoever is not root keeps those it has, as in HAProxy, which warns.
fn drop_groups(identity: &Identity) -> Result<(), Problem> {
    if has_no_groups() {
        return Ok(());
    }
    match setgroups(&[]) {
        Err(error) if Uid::effective().is_root() => {
            let what = "cannot give up supplementary groups";
            Err(refused(&identity.place, what, error.into(), "group"))
        }
        Err(_) => {
            tracing::warn!(
                "{}: supplementary groups are kept: only root can give them up",
                identity.place
            );
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// `set-dumpable`: a change of the user forbids cores, and so may limits.
fn allow_core() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // As far as the hard limit allows; a core is a wish.
    if setrlimit(Resource::Core, unlimited).is_err() {
        let hard = rustix::process::getrlimit(Resource::Core).maximum;
        let _ = setrlimit(
            Resource::Core,
            Rlimit {
                current: hard,
                maximum: hard,
            },
        );
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::Dumpable) {
        tracing::warn!("a crash will leave no core: {error}");
    }
}

fn named(what: &str, account: &Account, id: u32) -> String {
    match account {
        Account::Named(name) => format!("{what} '{name}' ({id})"),
        Account::Id(id) => format!("{what} {id}"),
    }
}

fn no_jail(jail: &Jail, error: io::Error) -> Problem {
    let what = format!("cannot chroot to {}", jail.path.display());
    refused(&jail.place, &what, error, "chroot")
}

fn no_account(keyword: &str, identity: &Identity, id: u32, error: io::Error) -> Problem {
    let what = format!("cannot become {}", named(keyword, &identity.account, id));
    refused(&identity.place, &what, error, keyword)
}

fn refused(place: &evenkeel_config::Place, what: &str, error: io::Error, keyword: &str) -> Problem {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => match service::as_root() {
            Some(how) => format!("; leave '{keyword}' out, or {how}"),
            None => format!("; start it as root, or leave '{keyword}' out"),
        },
        io::ErrorKind::NotFound => "; make that directory, empty and nobody's to write".to_owned(),
        _ => String::new(),
    };
    Problem::error(place.clone(), format!("{what}: {error}{advice}"))
}

/// What of `next` takes effect at the next start alone: whoever gave rights up cannot get others.
pub(crate) fn unchangeable(current: &Config, next: &Config) -> Vec<Problem> {
    let (now, then) = (&current.global.privileges, &next.global.privileges);
    let account = |identity: &Option<Identity>| identity.as_ref().map(|it| it.account.clone());
    let path = |jail: &Option<Jail>| jail.as_ref().map(|jail| jail.path.clone());
    let pairs = [
        (
            account(&now.user) != account(&then.user),
            "user",
            then.user.as_ref().map(|user| &user.place),
        ),
        (
            account(&now.group) != account(&then.group),
            "group",
            then.group.as_ref().map(|group| &group.place),
        ),
        (
            path(&now.chroot) != path(&then.chroot),
            "chroot",
            then.chroot.as_ref().map(|jail| &jail.place),
        ),
        (now.capabilities != then.capabilities, "setcap", None),
        (now.dumpable != then.dumpable, "set-dumpable", None),
        (
            now.setuid_programs != then.setuid_programs,
            "insecure-setuid-wanted",
            None,
        ),
    ];
    let whole = evenkeel_config::Place::whole_file("evenkeel");
    let changed = pairs.into_iter().filter(|(changed, ..)| *changed);
    changed
        .map(|(_, keyword, place)| {
            let message = format!(
                "the change of '{keyword}' takes effect at the next start: a running process \
                 cannot change its rights"
            );
            Problem::warning(place.unwrap_or(&whole).clone(), message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Options;
    use crate::files;

    fn config(global: &str, server: &str) -> Config {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = std::env::temp_dir().join(format!(
            "evenkeel-rights-{}-{}.cfg",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let text = format!(
            "global\n {global}\nlisten f\n mode tcp\n bind 127.0.0.1:1\n timeout client 1s\n \
             timeout server 1s\n timeout connect 1s\n server s 127.0.0.1:1 {server}\n"
        );
        std::fs::write(&file, text).unwrap();
        let options = Options {
            files: vec![file.clone()],
            ..Options::default()
        };
        let loaded = files::load(&options);
        std::fs::remove_file(&file).unwrap();
        loaded.unwrap().config
    }

    #[test]
    fn what_connections_take_is_kept_without_being_named() {
        let raw = CapabilitySet::NET_RAW;
        let low = CapabilitySet::NET_BIND_SERVICE;
        for (global, server, expected) in [
            ("uid 9", "", CapabilitySet::empty()),
            ("setcap cap_net_admin", "", CapabilitySet::NET_ADMIN),
            ("uid 9", "source 127.0.0.1", CapabilitySet::empty()),
            ("uid 9", "source 0.0.0.0 usesrc clientip", raw),
            ("uid 9", "source 0.0.0.0 usesrc client", raw | low),
            ("uid 9", "source 127.0.0.1 interface lo", raw),
            ("uid 9", "source 127.0.0.1:600-700", low),
            (
                "uid 9",
                "source 127.0.0.1:6000-7000",
                CapabilitySet::empty(),
            ),
        ] {
            assert_eq!(
                kept(&config(global, server)),
                expected,
                "{global}, {server}"
            );
        }
    }

    #[test]
    fn what_was_given_up_is_not_to_be_had_again() {
        let before = Rights::of(&config("uid 9", "")).unwrap();
        let next = config("uid 9", "source 0.0.0.0 usesrc clientip");
        let problems = before.suffice(&next).unwrap_err();
        assert!(
            problems[0].to_string().ends_with(
                ":9:2: the 'source' of server 's' needs cap_net_raw, which was given up at the \
                 start because nothing needed it; restart, or have 'setcap cap_net_raw' keep it"
            ),
            "{}",
            problems[0]
        );
        let named = Rights::of(&config("setcap cap_net_raw", "")).unwrap();
        assert!(named.suffice(&next).is_ok());
    }

    #[test]
    fn every_account_that_is_not_there_is_named_with_its_place() {
        let strange = config(
            "user no-such\n group none-such\n unix-bind user stranger",
            "",
        );
        let problems = Rights::of(&strange).unwrap_err();
        let messages: Vec<_> = problems.iter().map(|it| it.message.clone()).collect();
        assert_eq!(
            messages,
            [
                "there is no user 'no-such' on this machine",
                "there is no group 'none-such' on this machine",
            ]
        );
        assert_eq!((problems[0].place.line, problems[1].place.line), (2, 3));
    }

    #[test]
    fn a_capability_too_many_is_found_out() {
        let own = capabilities(None).unwrap().permitted;
        assert!(holds_only(own));
        for one in own.iter() {
            assert!(!holds_only(own.difference(one)), "{one:?}");
        }
    }

    #[test]
    fn a_change_of_rights_is_told_to_come_later() {
        let (before, after) = (config("uid 9", ""), config("uid 8\n chroot /x", ""));
        assert!(unchangeable(&before, &before).is_empty());
        let told: Vec<_> = unchangeable(&before, &after)
            .iter()
            .map(|problem| problem.message.split(" takes").next().unwrap().to_owned())
            .collect();
        assert_eq!(told, ["the change of 'user'", "the change of 'chroot'"]);
        let after = config("uid 9\n insecure-setuid-wanted", "");
        let told = unchangeable(&before, &after);
        assert!(told[0].message.contains("'insecure-setuid-wanted'"));
    }
}
