//! The questions that `init` asks on a terminal. Each says what happens on Enter; an answer that cannot be
//! used is told why, and the question comes again.

use super::sketch::{API_PORT, Sketch};
use super::{BufRead, InitArgs, InitError, Write, endpoint, hosts};
use crate::inventory::{Role, Version};

/// Asks for whatever `args` do not say.
pub(super) fn ask(
    args: &InitArgs,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Sketch, InitError> {
    let mut sketch = Sketch::default();
    sketch.user.clone_from(&args.user);
    let mut talk = Talk { input, output };
    talk.say("A cluster.toml from your answers; Enter takes what stands in brackets.")?;
    sketch.domain = match &args.domain {
        Some(domain) => domain.clone(),
        None => talk.ask("domain of the hosts, such as kube.com", "none", |answer| {
            Ok(answer.trim_matches('.').to_owned())
        })?,
    };
    if sketch.domain == "none" {
        sketch.domain.clear();
    }
    sketch.kubernetes = match &args.kubernetes {
        Some(release) => release.clone(),
        None => talk.ask("release of Kubernetes", &sketch.kubernetes, |answer| {
            let version: Version = answer.parse()?;
            Ok(version.to_string().trim_start_matches('v').to_owned())
        })?,
    };
    for (role, what, least) in [
        (
            Role::Balancer,
            "balancers, as NAME=ADDRESS or ADDRESS, spaces between",
            1,
        ),
        (Role::ControlPlane, "control planes, likewise", 1),
        (Role::Worker, "workers, likewise", 0),
    ] {
        let default = if least == 0 { "none" } else { "" };
        let mut filled = sketch.clone();
        sketch = talk.ask(what, default, |answer| {
            filled.clone_from(&sketch);
            let words = answer
                .split([' ', ','])
                .filter(|word| !word.is_empty() && *word != "none");
            for word in words {
                hosts::add(word, role, &mut filled)?;
            }
            match filled.of(role).count() < least {
                true => Err("one at least is needed".to_owned()),
                false => Ok(filled.clone()),
            }
        })?;
    }
    let balancers: Vec<_> = sketch.of(Role::Balancer).map(|node| node.address).collect();
    let default = match balancers.as_slice() {
        [only] => std::net::SocketAddr::new(*only, API_PORT).to_string(),
        _ => String::new(),
    };
    let vip = match &args.vip {
        Some(vip) => endpoint(vip, API_PORT),
        None => Some(
            talk.ask("VIP, where clients reach the API", &default, |answer| {
                endpoint(answer, API_PORT)
                    .ok_or_else(|| "that is no address, such as 10.0.1.10:6443".to_owned())
            })?,
        ),
    };
    sketch.vip = vip;
    if sketch.user.is_none() {
        let user = talk.ask("user that logs in by ssh", "as in ssh_config", |answer| {
            Ok(answer.to_owned())
        })?;
        sketch.user = (user != "as in ssh_config").then_some(user);
    }
    let mistakes = sketch.complete();
    match mistakes.is_empty() {
        true => Ok(sketch),
        false => Err(InitError::Mistakes { mistakes }),
    }
}

struct Talk<'t, R, W> {
    input: &'t mut R,
    output: &'t mut W,
}

impl<R: BufRead, W: Write> Talk<'_, R, W> {
    fn say(&mut self, text: &str) -> Result<(), InitError> {
        writeln!(self.output, "{text}").map_err(InitError::io("ask".to_owned()))
    }

    /// Asks until `read` takes the answer. An empty answer is `default`, or none where that is empty.
    fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, InitError> {
        let failed = || InitError::io("ask".to_owned());
        loop {
            let bracket = match default {
                "" => String::new(),
                default => format!(" [{default}]"),
            };
            write!(self.output, "{question}{bracket}: ").map_err(failed())?;
            self.output.flush().map_err(failed())?;
            let mut line = String::new();
            if self.input.read_line(&mut line).map_err(failed())? == 0 {
                let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(InitError::io("get an answer".to_owned())(ended));
            }
            let answer = match line.trim() {
                "" => default,
                answer => answer,
            };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(why) => self.say(&why)?,
            }
        }
    }
}
