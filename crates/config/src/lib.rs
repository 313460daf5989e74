//! Turns haproxy.cfg or TOML text into one [`Config`] in which every value is final.
//!
//! Two readers produce one draft; [`load`] resolves it: defaults applied, names linked, every
//! problem reported at once. Knows no sockets and no runtime: environment variables and name
//! look-ups come in through [`Environment`].

mod address;
mod draft;
mod haproxy;
mod model;
mod problem;
mod resolve;
mod toml;
mod units;

use std::io;
use std::net::IpAddr;

pub use haproxy::{evaluate_condition, keywords_markdown};
pub use model::*;
pub use problem::{Place, Problem, Severity};
pub use toml::toml_markdown;

/// One configuration file, read but not understood yet.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name as the operator gave it; `.toml` at its end makes it TOML, anything else
    /// haproxy.cfg.
    pub name: String,
    /// Its content.
    pub text: Vec<u8>,
}

/// What loading may ask of the world outside.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The addresses of a host name, the preferred one first.
    pub lookup: &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>,
    /// This machine's name: HAPROXY_LOCALPEER, and the default of `node`.
    pub hostname: &'a str,
}

/// A configuration that loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// What the operator should know, sorted by place.
    pub warnings: Vec<Problem>,
    /// Lines that were accepted and change nothing: where, and the line as it was written.
    pub without_effect: Vec<(Place, String)>,
}

/// Loads all `sources` as one configuration, in the given order.
///
/// # Errors
/// Every problem of every file, errors and warnings, sorted by file and place.
pub fn load(sources: &[Source], environment: &Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let (toml, haproxy): (Vec<&Source>, Vec<&Source>) = sources
        .iter()
        .partition(|source| source.name.ends_with(".toml"));
    let order: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let loaded = match (toml.first(), haproxy.first()) {
        (Some(first), Some(_)) => Err(vec![Problem::error(
            Place::whole_file(&first.name),
            "a configuration is either TOML or haproxy.cfg, not both; 'evenkeel convert' turns \
             haproxy.cfg into TOML"
                .to_owned(),
        )]),
        (Some(_), None) => resolve::resolve(toml::read(&toml), environment),
        (None, _) => resolve::resolve(haproxy::read(&haproxy, environment), environment),
    };
    let rank = |problem: &Problem| {
        let file = order.iter().position(|name| **name == *problem.place.file);
        (file, problem.place.line, problem.place.column)
    };
    match loaded {
        Ok(mut loaded) => {
            loaded.warnings.sort_by_key(rank);
            Ok(loaded)
        }
        Err(mut problems) => {
            problems.sort_by_key(rank);
            Err(problems)
        }
    }
}
