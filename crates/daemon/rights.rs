//! What root may do is given up once everything stands and before any thread exists: root
//! directory, groups, user, capabilities. A thread has rights of its own on Linux, so that none
//! may have been started by then.

use std::io;
use std::path::Path;

use evenkeel_config::{Account, Capability, Config, Identity, Jail, Privileges, Problem};
use evenkeel_proxy::{group_id, user_id};
use nix::unistd::{Gid, Uid, chroot, getgroups, getresuid, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

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
        for bind in config.frontends.iter().flat_map(|frontend| &frontend.binds) {
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
            kept: kept(privileges),
            dumpable: privileges.dumpable,
            setuid_programs: privileges.setuid_programs,
        })
    }

    /// Whether files and ports may be out of reach afterwards.
    pub(crate) fn lose_something(&self) -> bool {
        let changes_user = |(id, _): &(u32, Identity)| Uid::effective().as_raw() != *id;
        self.jail.is_some() || self.user.as_ref().is_some_and(changes_user)
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
            enter(&jail.path).map_err(|error| {
                let path = jail.path.display();
                refused(
                    &jail.place,
                    &format!("cannot chroot to {path}"),
                    error,
                    "chroot",
                )
            })?;
        }
        if let Some((id, group)) = &self.group {
            drop_groups(group)?;
            setgid(Gid::from_raw(*id)).map_err(|error| {
                let what = format!("cannot become {}", named("group", &group.account, *id));
                refused(&group.place, &what, error.into(), "group")
            })?;
        }
        if let Some((id, user)) = &self.user {
            self.change_user(*id, user)?;
        }
        if self.dumpable {
            allow_core();
        }
        Ok(())
    }

    fn change_user(&self, id: u32, user: &Identity) -> Result<(), Problem> {
        let what = format!("cannot become {}", named("user", &user.account, id));
        let refuse = |error: io::Error| refused(&user.place, &what, error, "user");
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
        verify(id).map_err(refuse)
    }
}

/// What was asked for is what there is: serving on as root without knowing would be worse than not
/// to serve.
fn verify(id: u32) -> io::Result<()> {
    let ids = getresuid()?;
    let all = [ids.real, ids.effective, ids.saved];
    if all.iter().all(|uid| uid.as_raw() == id) {
        Ok(())
    } else {
        Err(io::Error::other("the system changed only a part"))
    }
}

fn kept(privileges: &Privileges) -> CapabilitySet {
    let set = |capability: &Capability| match capability {
        Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        Capability::NetBindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::NetRaw => CapabilitySet::NET_RAW,
        Capability::SysAdmin => CapabilitySet::SYS_ADMIN,
    };
    privileges.capabilities.iter().map(set).collect()
}

fn enter(jail: &Path) -> io::Result<()> {
    chroot(jail)?;
    std::env::set_current_dir("/")
}

/// Whoever is not root keeps those it has, as in HAProxy, which warns.
fn drop_groups(identity: &Identity) -> Result<(), Problem> {
    if getgroups().is_ok_and(|groups| groups.is_empty()) {
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
    if setrlimit(Resource::Core, unlimited.clone()).is_err() {
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

fn refused(place: &evenkeel_config::Place, what: &str, error: io::Error, keyword: &str) -> Problem {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("; start it as root, or leave '{keyword}' out")
        }
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
