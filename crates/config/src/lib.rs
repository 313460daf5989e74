//! Turns haproxy.cfg or TOML text into one [`Config`] in which every value is final.
//!
//! Two readers produce one draft; [`load`] resolves it: defaults applied, names linked, every
//! problem reported at once. Knows no sockets and no runtime: environment variables and name
//! look-ups come in through [`Environment`].

mod address;
pub mod check;
mod convert;
mod draft;
mod haproxy;
mod lint;
mod log_format;
mod model;
mod problem;
mod resolve;
pub mod rules;
mod slips;
pub mod tables;
mod toml;
mod units;
mod words;

use std::io;
use std::net::IpAddr;
use std::path::Path;

use draft::Draft;

pub use check::{CheckKind, CheckStatus};
pub use convert::convert;
pub use haproxy::{evaluate_condition, keywords_markdown, master_sockets};
pub use lint::{Finding, Harm, lines_of, lint, lint_markdown};
pub use model::*;
pub use problem::{Place, Problem, Severity};
pub use toml::toml_markdown;
pub use units::parse_time;

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
    /// What a file holds that a configuration names: patterns, certificates, states. Nothing is
    /// read in another way: the process that serves may have neither the rights nor the files.
    /// [`SYSTEM_CA`] stands for the certificates that the system trusts, as PEM.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// This machine's name: HAPROXY_LOCALPEER, and the default of `node`.
    pub hostname: &'a str,
    /// Whether a server whose name does not resolve starts in maintenance, as if its line ended
    /// its `init-addr` with `none` (HAProxy's `-dr`); otherwise it is an error.
    pub allow_unresolved_servers: bool,
}

/// The name of the certificates that the system trusts.
pub const SYSTEM_CA: &str = "@system-ca";

/// A configuration that loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// What the operator should know, sorted by place.
    pub warnings: Vec<Problem>,
    /// Lines that were accepted and change nothing: where, and the line as it was written.
    pub without_effect: Vec<(Place, String)>,
    /// What the text itself wants to be told (`.notice`).
    pub notices: Vec<(Place, String)>,
}

/// Loads all `sources` as one configuration, in the given order.
///
/// # Errors
/// Every problem of every file, errors and warnings, sorted by file and place.
pub fn load(sources: &[Source], environment: &Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let loaded = read(sources, environment)
        .and_then(|draft| resolve::resolve(draft, environment))
        .map_err(|problems| in_order(problems, sources))?;
    Ok(Loaded {
        warnings: in_order(loaded.warnings, sources),
        ..loaded
    })
}

/// What `sources` say, in whichever of the two languages they are written.
fn read(sources: &[Source], environment: &Environment<'_>) -> Result<Draft, Vec<Problem>> {
    let (toml, haproxy): (Vec<&Source>, Vec<&Source>) = sources
        .iter()
        .partition(|source| source.name.ends_with(".toml"));
    match (toml.first(), haproxy.first()) {
        (Some(first), Some(_)) => Err(vec![Problem::error(
            Place::whole_file(&first.name),
            "a configuration is either TOML or haproxy.cfg, not both; 'evenkeel convert' turns \
             haproxy.cfg into TOML"
                .to_owned(),
        )]),
        (Some(_), None) => Ok(toml::read(&toml)),
        (None, _) => Ok(haproxy::read(&haproxy, environment)),
    }
}

/// `problems` as an operator reads them: file by file, from top to bottom.
fn in_order(mut problems: Vec<Problem>, sources: &[Source]) -> Vec<Problem> {
    problems.sort_by_key(|problem| {
        let file = sources
            .iter()
            .position(|source| *source.name == *problem.place.file);
        (file, problem.place.line, problem.place.column)
    });
    problems
}
