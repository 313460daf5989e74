//! From names on the command line to a loaded [`Config`]: directories become their files, files
//! become text, text becomes the model, and options that override it are put on top.

use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use evenkeel_config::{
    Bind, Config, Environment, Finding, Loaded, Place, Problem, RelayMethod, SYSTEM_CA, Source,
    StatsSocket,
};

use crate::cli::Options;
use crate::lookups::Lookups;

/// Reads and loads what the options name. Blocks: files are read and names looked up.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load(options: &Options) -> Result<Loaded, Vec<Problem>> {
    load_with(options, &read(&options.files)?, &MACHINE)
}

/// The same with all names looked up at once: for a process that may start threads.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load_at_once(options: &Options) -> Result<Loaded, Vec<Problem>> {
    let sources = read(&options.files)?;
    let lookups = Lookups::of(options, &sources);
    let machine = Machine {
        read: &content_of,
        lookup: &|name| lookups.addresses_of(name),
    };
    load_with(options, &sources, &machine)
}

/// Loads what was read already, by asking `machine` for whatever else it takes.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load_with(
    options: &Options,
    sources: &[Source],
    machine: &Machine<'_>,
) -> Result<Loaded, Vec<Problem>> {
    let (mut loaded, master) = on_machine(options, machine, |environment| {
        let loaded = evenkeel_config::load(sources, environment);
        let master = master_sockets(options, environment);
        match (loaded, master) {
            (Ok(loaded), Ok(master)) => Ok((loaded, master)),
            (loaded, master) => {
                let problems = loaded.err().into_iter().chain(master.err());
                Err(problems.flatten().collect::<Vec<_>>())
            }
        }
    })?;
    put_on_top(&mut loaded.config, options);
    admit(master, &mut loaded, options)?;
    Ok(loaded)
}

/// What each `-S` says.
fn master_sockets(
    options: &Options,
    environment: &Environment<'_>,
) -> Result<Vec<StatsSocket>, Vec<Problem>> {
    let mut sockets = Vec::new();
    let mut problems = Vec::new();
    for argument in &options.master_sockets {
        match evenkeel_config::master_sockets(argument, environment) {
            Ok(found) => sockets.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    match problems.is_empty() {
        true => Ok(sockets),
        false => Err(problems),
    }
}

/// Puts the master's sockets beside what the files listen on.
///
/// # Errors
/// There is no master, or somebody else listens there.
fn admit(
    master: Vec<StatsSocket>,
    loaded: &mut Loaded,
    options: &Options,
) -> Result<(), Vec<Problem>> {
    let makes_master = |(_, line): &(Place, String)| {
        let mut words = line.split_whitespace();
        words.next() == Some("master-worker")
    };
    let is_master = options.master || loaded.without_effect.iter().any(makes_master);
    let config = &loaded.config;
    let sockets = &config.global.runtime.sockets;
    let frontends = config.frontends.iter();
    let mut taken: Vec<&Bind> = frontends
        .flat_map(|frontend| &frontend.binds)
        .chain(sockets.iter().map(|socket| &socket.bind))
        .collect();
    let mut problems = Vec::new();
    for socket in &master {
        let place = socket.bind.place.clone();
        if !is_master {
            let message = "there is a master with -W or -Ws alone; add one of them".to_owned();
            problems.push(Problem::error(place, message));
        } else if let Some(other) = taken
            .iter()
            .find(|other| other.address == socket.bind.address)
        {
            let message = format!("{} listens on the same address", other.place);
            problems.push(Problem::error(place, message));
        }
        taken.push(&socket.bind);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    loaded.config.global.runtime.master_sockets = master;
    Ok(())
}

/// What is asked of the machine while a configuration is loaded, besides its own files.
pub(crate) struct Machine<'m> {
    /// The content of a file that a configuration names.
    pub(crate) read: &'m dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The addresses of a name.
    pub(crate) lookup: &'m dyn Fn(&str) -> io::Result<Vec<IpAddr>>,
}

/// This very machine.
const MACHINE: Machine<'static> = Machine {
    read: &content_of,
    lookup: &addresses_of,
};

/// Reads `names` and writes them as TOML.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn convert(names: &[PathBuf]) -> Result<String, Vec<Problem>> {
    let sources = read(names)?;
    // Where files are converted the servers' names need not be known.
    let options = Options {
        ignore_resolution_failures: true,
        ..Options::default()
    };
    with_environment(&options, |environment| {
        evenkeel_config::convert(&sources, environment)
    })
}

/// Reads and loads `names` and looks for what will hurt a control plane.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn lint(names: &[PathBuf]) -> Result<Vec<Finding>, Vec<Problem>> {
    let sources = read(names)?;
    let loaded = load_anywhere(&sources)?;
    // Only an address of this machine can be bound.
    let is_local = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    Ok(evenkeel_config::lint(&sources, &loaded.config, &is_local))
}

/// Loads `sources` though a name may not be known here that is known where they are used.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load_anywhere(sources: &[Source]) -> Result<Loaded, Vec<Problem>> {
    let options = Options {
        ignore_resolution_failures: true,
        ..Options::default()
    };
    with_environment(&options, |environment| {
        evenkeel_config::load(sources, environment)
    })
}

/// Runs `work` with what configurations may ask of this machine.
pub(crate) fn with_environment<T>(
    options: &Options,
    work: impl FnOnce(&Environment<'_>) -> T,
) -> T {
    on_machine(options, &MACHINE, work)
}

fn on_machine<T>(
    options: &Options,
    machine: &Machine<'_>,
    work: impl FnOnce(&Environment<'_>) -> T,
) -> T {
    let hostname = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let variable = |name: &str| match (name, &options.local_peer) {
        ("HAPROXY_LOCALPEER", Some(peer)) => Some(peer.clone()),
        _ => std::env::var(name).ok(),
    };
    work(&Environment {
        variable: &variable,
        lookup: machine.lookup,
        read: machine.read,
        hostname: &hostname,
        allow_unresolved_servers: options.ignore_resolution_failures,
    })
}

/// What the command line says has precedence over the files.
fn put_on_top(config: &mut Config, options: &Options) {
    config.global.maxconn = options.maxconn.or(config.global.maxconn);
    config.global.admin = options.admin.or(config.global.admin);
    if let Some(pidfile) = &options.pidfile {
        config.global.pidfile = Some(pidfile.clone());
    }
    if options.no_splice {
        config.global.relay = RelayMethod::Copy;
    }
    for frontend in &mut config.frontends {
        frontend.maxconn = frontend.maxconn.or(options.frontend_maxconn);
    }
}

/// Reads `names`, directories as their files.
///
/// # Errors
/// Every one that cannot be read.
pub(crate) fn read(names: &[PathBuf]) -> Result<Vec<Source>, Vec<Problem>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        let files = if name.is_dir() {
            files_of(name)
        } else {
            Ok(vec![name.clone()])
        };
        let files = files.unwrap_or_else(|error| {
            problems.push(unreadable("directory", name, &error));
            Vec::new()
        });
        for file in files {
            match fs::read(&file) {
                Ok(text) => sources.push(Source {
                    name: file.display().to_string(),
                    text,
                }),
                Err(error) => problems.push(unreadable("file", &file, &error)),
            }
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

pub(crate) fn unreadable(what: &str, name: &Path, error: &io::Error) -> Problem {
    let place = Place::whole_file(&name.display().to_string());
    Problem::error(place, format!("cannot read this {what}: {error}"))
}

/// The visible *.cfg files of a directory, in the order of their bytes; at least one.
fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "cfg")
            && !is_hidden
            && path.is_file()
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other("it holds no *.cfg file"));
    }
    Ok(files)
}

/// What a file holds that a configuration names.
pub(crate) fn content_of(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new(SYSTEM_CA) {
        system_certificates()
    } else {
        fs::read(path)
    }
}

/// The certificates that this system trusts, as one PEM file.
fn system_certificates() -> io::Result<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let message = "this system has no CA certificates; install ca-certificates";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let mut pem = String::new();
    for certificate in found.certs {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&BASE64_STANDARD.encode(certificate));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    Ok(pem.into_bytes())
}

/// What the system's resolver says, in its order of preference (RFC 6724).
pub(crate) fn addresses_of(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0)
        .to_socket_addrs()?
        .map(|address| address.ip())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_cfg_files_in_byte_order() {
        let directory = std::env::temp_dir().join(format!("evenkeel-files-{}", std::process::id()));
        fs::create_dir_all(directory.join("sub.cfg")).unwrap();
        for name in ["b.cfg", "B.cfg", "a.cfg", ".hidden.cfg", "a.txt"] {
            fs::write(directory.join(name), "\n").unwrap();
        }
        let found = files_of(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            found,
            ["B.cfg", "a.cfg", "b.cfg"].map(|name| directory.join(name))
        );
    }

    #[test]
    fn a_directory_without_cfg_files_is_an_error() {
        let directory = std::env::temp_dir().join(format!("evenkeel-none-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let problems = read(std::slice::from_ref(&directory)).unwrap_err();
        fs::remove_dir_all(&directory).unwrap();
        let expected = format!(
            "{}: cannot read this directory: it holds no *.cfg file",
            directory.display()
        );
        assert_eq!(problems[0].to_string(), expected);
    }

    #[test]
    fn what_the_system_trusts_reads_as_pem() {
        match content_of(Path::new(SYSTEM_CA)) {
            Ok(pem) => {
                let text = String::from_utf8(pem).unwrap();
                let begins = text.matches("-----BEGIN CERTIFICATE-----\n").count();
                let ends = text.matches("\n-----END CERTIFICATE-----\n").count();
                assert!(begins > 0 && begins == ends);
            }
            Err(error) => assert!(error.to_string().contains("install ca-certificates")),
        }
    }

    #[test]
    fn every_unreadable_file_is_named() {
        let problems =
            read(&["/nonexistent/x.cfg".into(), "/nonexistent/y.cfg".into()]).unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "/nonexistent/x.cfg: cannot read this file: No such file or directory (os error 2)",
                "/nonexistent/y.cfg: cannot read this file: No such file or directory (os error 2)",
            ]
        );
    }
}
