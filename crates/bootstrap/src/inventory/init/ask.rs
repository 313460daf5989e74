//! The questions that `init` asks on a terminal. Each says what happens on Enter; an answer that cannot be
//! used is told why, and the question comes again.

use std::net::SocketAddr;
use std::path::Path;

use super::sketch::Sketch;
use super::{BufRead, InitArgs, InitError, Write, endpoint, hosts, judge};
use crate::inventory::{Role, Version};

/// Asks for whatever is not known yet. Where hosts were named, or a haproxy.cfg, only for what the file
/// cannot do without.
pub(super) fn ask(
    args: &InitArgs,
    path: &Path,
    sketch: &mut Sketch,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<(), InitError> {
    let is_whole = args.names_nobody();
    let lacks = |sketch: &Sketch, role| sketch.of(role).next().is_none();
    let is_complete = !lacks(sketch, Role::Balancer)
        && !lacks(sketch, Role::ControlPlane)
        && (sketch.vip.is_some() || sketch.of(Role::Balancer).count() == 1);
    if !is_whole && (is_complete || sketch.untold.is_none() && args.from_haproxy.is_some()) {
        return Ok(());
    }
    let mut talk = Talk {
        input,
        output,
        path,
    };
    match &sketch.untold {
        Some(why) => talk.say(why)?,
        None => {
            talk.say("A cluster.toml from your answers; Enter takes what stands in brackets.")?
        }
    }
    if is_whole {
        names(args, sketch, &mut talk)?;
    }
    let is_new = is_whole || args.from_haproxy.is_some();
    for (role, what, is_needed) in [
        (
            Role::Balancer,
            "balancers, as NAME=ADDRESS or ADDRESS, spaces between",
            true,
        ),
        (Role::ControlPlane, "control planes, likewise", true),
        (Role::Worker, "workers, likewise", false),
    ] {
        if lacks(sketch, role) && (is_needed || is_new) {
            several(sketch, role, what, is_needed, &mut talk)?;
        }
    }
    if sketch.vip.is_none() {
        vip(sketch, &mut talk)?;
    }
    if is_whole && sketch.user.is_none() {
        talk.ask(
            sketch,
            "user that logs in by ssh",
            "as in ssh_config",
            |answer, sketch| {
                sketch.user = (answer != "as in ssh_config").then(|| answer.to_owned());
                Ok(())
            },
        )?;
    }
    Ok(())
}

fn names<R: BufRead, W: Write>(
    args: &InitArgs,
    sketch: &mut Sketch,
    talk: &mut Talk<'_, R, W>,
) -> Result<(), InitError> {
    if args.domain.is_none() {
        talk.ask(
            sketch,
            "domain of the hosts, such as kube.com",
            "none",
            |answer, sketch| {
                sketch.domain = match answer {
                    "none" => String::new(),
                    domain => domain.trim_matches('.').to_owned(),
                };
                Ok(())
            },
        )?;
    }
    if args.kubernetes.is_none() {
        let usual = sketch.kubernetes.clone();
        talk.ask(sketch, "release of Kubernetes", &usual, |answer, sketch| {
            let version: Version = answer.parse()?;
            let plain = answer.trim_start_matches('v');
            // What is more than a version is told by the judge.
            sketch.kubernetes = match plain.contains(['-', '+']) {
                true => plain.to_owned(),
                false => version.to_string().trim_start_matches('v').to_owned(),
            };
            Ok(())
        })?;
    }
    Ok(())
}

fn several<R: BufRead, W: Write>(
    sketch: &mut Sketch,
    role: Role,
    what: &str,
    is_needed: bool,
    talk: &mut Talk<'_, R, W>,
) -> Result<(), InitError> {
    let default = match (role, &sketch.vip) {
        (Role::Balancer, Some(vip)) => format!("{}={}", sketch.next_name(role), vip.vip),
        _ if is_needed => String::new(),
        _ => "none".to_owned(),
    };
    talk.ask(sketch, what, &default, |answer, sketch| {
        let words = answer
            .split([' ', ','])
            .filter(|word| !word.is_empty() && *word != "none");
        for word in words {
            hosts::add(word, role, sketch)?;
        }
        match is_needed && sketch.of(role).next().is_none() {
            true => Err("one at least is needed".to_owned()),
            false => Ok(()),
        }
    })
}

fn vip<R: BufRead, W: Write>(
    sketch: &mut Sketch,
    talk: &mut Talk<'_, R, W>,
) -> Result<(), InitError> {
    let port = sketch.port;
    let balancers: Vec<_> = sketch.of(Role::Balancer).map(|node| node.address).collect();
    let default = match balancers.as_slice() {
        [only] => SocketAddr::new(*only, port).to_string(),
        _ => String::new(),
    };
    talk.ask(
        sketch,
        "VIP, where clients reach the API",
        &default,
        |answer, sketch| {
            sketch.vip = Some(
                endpoint(answer, port)
                    .ok_or_else(|| "that is no address, such as 10.0.1.10:6443".to_owned())?,
            );
            Ok(())
        },
    )
}

struct Talk<'t, R, W> {
    input: &'t mut R,
    output: &'t mut W,
    /// The file that is to be.
    path: &'t Path,
}

impl<R: BufRead, W: Write> Talk<'_, R, W> {
    fn say(&mut self, text: &str) -> Result<(), InitError> {
        writeln!(self.output, "{text}").map_err(InitError::io("ask".to_owned()))
    }

    /// Asks until `take` can use the answer and the reader of the file has nothing against what is known
    /// then. An empty answer is `default`, or none where that is empty.
    fn ask(
        &mut self,
        sketch: &mut Sketch,
        question: &str,
        default: &str,
        take: impl Fn(&str, &mut Sketch) -> Result<(), String>,
    ) -> Result<(), InitError> {
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
            let mut tried = sketch.clone();
            if let Err(why) = take(answer, &mut tried) {
                self.say(&why)?;
                continue;
            }
            let mistakes = judge(&tried, self.path);
            if mistakes.is_empty() {
                *sketch = tried;
                return Ok(());
            }
            for mistake in mistakes {
                self.say(&mistake)?;
            }
        }
    }
}
