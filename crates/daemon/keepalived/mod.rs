//! `evenkeel keepalived`: prints a keepalived.conf for this node of a pair that shares addresses.
//! What the operator wants and what the machine has become a plan; the plan is printed.

mod plan;
mod print;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use evenkeel_config::{BindAddress, IpVersions};
use nix::ifaddrs::getifaddrs;
use nix::unistd::User;

use crate::cli::Options;
use crate::diagnostics::{print as show, say};
use crate::{Exit, files, prepare};

/// Who asks where the package is installed.
const OWN_USER: &str = "evenkeel";
/// Who asks elsewhere.
const ANY_USER: &str = "nobody";

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) interface: String,
    pub(crate) peers: Vec<IpAddr>,
    pub(crate) vips: Vec<Vip>,
    /// Own ones, at most one of a family.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) priority: Option<u8>,
    pub(crate) router_id: Option<u8>,
    pub(crate) files: Vec<PathBuf>,
    /// Arguments of `evenkeel health`.
    pub(crate) health: Vec<String>,
    pub(crate) user: Option<String>,
}

/// An address that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vip {
    pub(crate) ip: IpAddr,
    pub(crate) prefix: u8,
}

impl Vip {
    /// The address alone, without a network: that comes with the node's own address.
    fn alone(ip: IpAddr) -> Self {
        let prefix = Self::bits(ip);
        Self { ip, prefix }
    }

    pub(crate) fn bits(ip: IpAddr) -> u8 {
        if ip.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// What is known of the machine and of the balancer's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// Every address of every interface; one without any has none here.
    interfaces: Vec<Interface>,
    /// What the file binds, and whether a file was given.
    binds: Option<Vec<IpAddr>>,
    /// One of these is every IPv6 address, and takes clients of IPv4, too.
    has_dual_bind: bool,
    /// Arguments of `evenkeel health` that the file gives.
    health: Vec<String>,
    /// The path of this program.
    program: String,
    user: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    addresses: Vec<Vip>,
}

/// Prints the file, or says what keeps it from being printed.
pub(crate) fn run(wanted: &Wanted) -> Exit {
    let facts = match facts(wanted) {
        Ok(facts) => facts,
        Err(exit) => return exit,
    };
    match plan::plan(wanted, &facts) {
        Ok(plan) => {
            for warning in &plan.warnings {
                say(format!("warning: {warning}"));
            }
            show(print::print(&plan));
            Exit::Code(0)
        }
        Err(mistakes) => {
            for mistake in mistakes {
                say(format!("evenkeel keepalived: {mistake}"));
            }
            Exit::Code(1)
        }
    }
}

fn facts(wanted: &Wanted) -> Result<Facts, Exit> {
    let program = std::env::current_exe()
        .unwrap_or_else(|_| Path::new("/usr/sbin/evenkeel").to_owned())
        .display()
        .to_string();
    let has_own = User::from_name(OWN_USER).is_ok_and(|user| user.is_some());
    let mut facts = Facts {
        interfaces: interfaces(),
        program,
        user: if has_own { OWN_USER } else { ANY_USER }.to_owned(),
        ..Facts::default()
    };
    if wanted.files.is_empty() {
        return Ok(facts);
    }
    // Neither the servers' names nor who else listens matter here.
    let options = Options {
        files: wanted.files.clone(),
        ignore_resolution_failures: true,
        ..Options::default()
    };
    let loaded = files::load(&options).map_err(|problems| {
        prepare::report(&problems);
        Exit::Code(1)
    })?;
    let mut binds = Vec::new();
    for frontend in loaded
        .config
        .frontends
        .iter()
        .filter(|front| !front.disabled)
    {
        for bind in &frontend.binds {
            let BindAddress::Inet(address) = bind.address else {
                continue;
            };
            if address.ip() == Ipv6Addr::UNSPECIFIED && bind.ip_versions != IpVersions::V6Only {
                facts.has_dual_bind = true;
            }
            if !binds.contains(&address.ip()) {
                binds.push(address.ip());
            }
        }
    }
    facts.binds = Some(binds);
    if let Some(admin) = loaded.config.global.admin {
        facts.health = vec!["--admin".to_owned(), admin.to_string()];
    }
    Ok(facts)
}

fn interfaces() -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    for entry in getifaddrs().into_iter().flatten() {
        let index = match found.iter().position(|i| i.name == entry.interface_name) {
            Some(index) => index,
            None => {
                found.push(Interface {
                    name: entry.interface_name.clone(),
                    addresses: Vec::new(),
                });
                found.len() - 1
            }
        };
        let (Some(address), mask) = (entry.address, entry.netmask) else {
            continue;
        };
        if let Some(v4) = address.as_sockaddr_in() {
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in());
            let prefix = mask.map_or(32, |mask| u32::from(mask.ip()).count_ones());
            found[index].addresses.push(Vip {
                ip: v4.ip().into(),
                prefix: u8::try_from(prefix).unwrap_or(32),
            });
        } else if let Some(v6) = address.as_sockaddr_in6() {
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in6());
            let prefix = mask.map_or(128, |mask| u128::from(mask.ip()).count_ones());
            found[index].addresses.push(Vip {
                ip: v6.ip().into(),
                prefix: u8::try_from(prefix).unwrap_or(128),
            });
        }
    }
    found
}
