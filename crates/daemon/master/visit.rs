//! One visit to the master: lines in, answers out, until the visitor has no more to say. What is for
//! a worker is answered as its stats socket would.

use std::time::{Duration, Instant};

use evenkeel_config::AccessLevel;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::table::{COMMANDS, Deed};
use super::target::{Target, commands, exists, prefix, target, words};
use super::{Ask, Outcome, State};
use crate::runtime::{self, LONGEST_BYTES, Line, Over, Talk, table, timed_prompt};

/// An operator may think between two commands, but not for ever. Where places are short, whoever is
/// silent for longest goes sooner.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
/// What a worker's answer is passed on through.
const PIECE_BYTES: usize = 16_384;

/// What a visit begins with.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) level: AccessLevel,
    pub(super) ask: mpsc::Sender<runtime::Ask>,
    /// When the process started.
    pub(super) started: Instant,
}

/// Answers on `stream` until the visitor leaves.
pub(super) async fn visit<S: AsyncRead + AsyncWrite + Unpin>(stream: S, terms: Terms) {
    let mut visit = Visit {
        talk: Talk::new(stream),
        terms,
        target: Target::Master,
        prompt: Prompting::No,
        is_expert: false,
        is_experimental: false,
        is_debugging: false,
    };
    // Whatever ends it, there is nobody left to tell.
    let _ = visit.run().await;
    visit.talk.end().await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompting {
    No,
    Yes,
    /// With the time since whoever is talked to began.
    Timed,
}

/// What is to be sent for a command.
enum Answer {
    /// The visit itself changed: nothing but a prompt.
    Nothing,
    /// It ends in an empty line.
    Text(String),
    /// As it is; what else stands in the line is left out.
    Refusal(String),
    /// It was sent already.
    Sent,
}

struct Visit<S> {
    talk: Talk<S>,
    terms: Terms,
    target: Target,
    prompt: Prompting,
    is_expert: bool,
    is_experimental: bool,
    /// The master takes a worker's commands, too.
    is_debugging: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Visit<S> {
    async fn run(&mut self) -> Result<(), Over> {
        loop {
            let line = self.talk.line(LONGEST_SILENCE).await?;
            let payload = match Line::parse(&line).payload_end {
                Some(end) => self.payload(&end).await?,
                None => String::new(),
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            let line = line.split('\0').next().unwrap_or_default();
            let line = line.strip_suffix('\r').unwrap_or(line);
            let commands = commands(line);
            let last = commands.len() - 1;
            for (index, command) in commands.into_iter().enumerate() {
                let payload = if index == last { payload.as_str() } else { "" };
                let answer = self.obey(command, payload).await?;
                let is_refused = matches!(answer, Answer::Refusal(_));
                let text = match answer {
                    Answer::Nothing | Answer::Sent => String::new(),
                    Answer::Text(text) | Answer::Refusal(text) => text + "\n",
                };
                let text = text + &self.shown_prompt().await?;
                self.talk.send(text.as_bytes(), LONGEST_SILENCE).await?;
                if words(command).first().is_some_and(|word| word == "quit") {
                    return Ok(());
                }
                if is_refused {
                    break;
                }
            }
        }
    }

    /// The lines up to `end`, with it.
    async fn payload(&mut self, end: &str) -> Result<String, Over> {
        let mut payload = String::new();
        loop {
            let line = self.talk.line(LONGEST_SILENCE).await?;
            payload.push_str(&String::from_utf8_lossy(&line));
            payload.push('\n');
            if line.strip_suffix(b"\r").unwrap_or(&line) == end.as_bytes() {
                return Ok(payload);
            }
            if payload.len() > LONGEST_BYTES {
                return Err(Over);
            }
        }
    }

    async fn obey(&mut self, command: &str, payload: &str) -> Result<Answer, Over> {
        if let Some((prefix, rest)) = prefix(command) {
            let state = self.state().await?;
            let Some(target) = target(prefix, std::process::id(), &state) else {
                let message = format!("Can't find the target PID matching the prefix '{prefix}'");
                return Ok(Answer::Refusal(message));
            };
            if rest.is_empty() {
                self.target = target;
                return Ok(Answer::Nothing);
            }
            return self.pass_on(target, rest, payload).await;
        }
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(answer) = self.about_the_visit(&words) {
            return Ok(answer);
        }
        let state = self.state().await?;
        if !exists(self.target, &state) {
            let target = std::mem::take(&mut self.target);
            let Target::Old(number) = target else {
                return Ok(Answer::Nothing);
            };
            let message = format!("Can't find the target PID matching the prefix '@!{number}'");
            return Ok(Answer::Refusal(message));
        }
        self.pass_on(self.target, command, payload).await
    }

    /// What is understood whoever the visitor talks to; `None`: it is a command.
    fn about_the_visit(&mut self, words: &[&str]) -> Option<Answer> {
        let switch = |flag: &mut bool| match words.get(1) {
            Some(&"on") => *flag = true,
            Some(&"off") => *flag = false,
            _ => {}
        };
        let needed = match words.first().copied()? {
            "operator" => AccessLevel::Operator,
            "expert-mode" | "experimental-mode" | "mcli-debug-mode" => AccessLevel::Admin,
            "user" | "prompt" | "quit" => AccessLevel::User,
            _ => return None,
        };
        if self.terms.level < needed {
            return Some(Answer::Refusal("Permission denied!".to_owned()));
        }
        match words[0] {
            "operator" => self.terms.level = AccessLevel::Operator,
            "user" => self.terms.level = AccessLevel::User,
            "expert-mode" => switch(&mut self.is_expert),
            "experimental-mode" => switch(&mut self.is_experimental),
            "mcli-debug-mode" => switch(&mut self.is_debugging),
            "prompt" => {
                self.prompt = match (self.prompt, words.get(1)) {
                    (Prompting::Timed, Some(&"timed")) => Prompting::Yes,
                    (_, Some(&"timed")) => Prompting::Timed,
                    (Prompting::No, _) => Prompting::Yes,
                    (_, _) => Prompting::No,
                };
            }
            _ => {}
        }
        Some(Answer::Nothing)
    }

    async fn pass_on(
        &mut self,
        target: Target,
        command: &str,
        payload: &str,
    ) -> Result<Answer, Over> {
        if target != Target::Master {
            return self.worker(command, payload).await;
        }
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            return Ok(Answer::Text(String::new()));
        }
        let level = self.terms.level;
        let known = table::find(COMMANDS, &words);
        let Some((known, arguments)) = known.filter(|(known, _)| known.run != Deed::Prefix) else {
            if self.is_debugging && table::find(table::COMMANDS, &words).is_some() {
                return self.worker(command, payload).await;
            }
            return Ok(Answer::Text(table::unknown(self.listed(), &words, level)));
        };
        if known.level > level {
            return Ok(Answer::Text("Permission denied\n".to_owned()));
        }
        let text = match known.run {
            Deed::Reload(how) => return self.told(|answer| Ask::Reload(how, answer)).await,
            Deed::Upgrade => return self.told(Ask::Upgrade).await,
            Deed::ShowProc => self.state().await?.processes,
            Deed::ShowLog => self.state().await?.log,
            Deed::ShowVersion => format!("{}\n", env!("CARGO_PKG_VERSION")),
            Deed::ShowLevel => format!("{}\n", level.name()),
            Deed::ShowSockets | Deed::Prefix => String::new(),
            Deed::Help => table::help(self.listed(), arguments, level),
        };
        Ok(Answer::Text(text))
    }

    /// What the master's lists show.
    fn listed(&self) -> Vec<table::Entry> {
        let own = COMMANDS.iter().map(runtime::Command::entry);
        if !self.is_debugging {
            return own.collect();
        }
        // The last three of either are the same.
        own.take(COMMANDS.len() - 3)
            .chain(table::entries())
            .collect()
    }

    /// One that is in force or one that drains: either is this process, and knows of all sessions.
    async fn worker(&mut self, command: &str, payload: &str) -> Result<Answer, Over> {
        let (here, there) = tokio::io::duplex(PIECE_BYTES);
        let terms = runtime::Terms {
            level: self.terms.level,
            timeout: LONGEST_SILENCE,
            ask: self.terms.ask.clone(),
            started: self.terms.started,
        };
        let answering = tokio::spawn(runtime::visit(there, terms));
        let (mut answers, mut orders) = tokio::io::split(here);
        let order = format!("{command}\n{payload}");
        let ordering = async move {
            // One that is not read ends the answers, too.
            let _ = orders.write_all(order.as_bytes()).await;
            let _ = orders.shutdown().await;
        };
        let passing = async {
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match answers.read(&mut piece).await {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(read) => self.talk.send(&piece[..read], LONGEST_SILENCE).await?,
                }
            }
        };
        let ((), passed) = tokio::join!(ordering, passing);
        drop(answering);
        passed.map(|()| Answer::Sent)
    }

    /// The last that is done on this visit.
    async fn told(
        &mut self,
        ask: impl FnOnce(oneshot::Sender<Outcome>) -> Ask,
    ) -> Result<Answer, Over> {
        let (answer, outcome) = oneshot::channel();
        self.ask(ask(answer)).await?;
        let outcome = outcome.await.map_err(|_| Over)?;
        let success = u8::from(outcome.is_success);
        let text = format!("Success={success}\n--\n{}\n", outcome.log);
        self.talk.send(text.as_bytes(), LONGEST_SILENCE).await?;
        Err(Over)
    }

    async fn state(&self) -> Result<State, Over> {
        let (answer, state) = oneshot::channel();
        self.ask(Ask::State(answer)).await?;
        state.await.map_err(|_| Over)
    }

    async fn ask(&self, ask: Ask) -> Result<(), Over> {
        let ask = runtime::Ask::Master(ask);
        self.terms.ask.send(ask).await.map_err(|_| Over)
    }

    /// `[0:00:00:58] master[ReloadFailed](xed)> `.
    async fn shown_prompt(&self) -> Result<String, Over> {
        if self.prompt == Prompting::No {
            return Ok(String::new());
        }
        let state = self.state().await?;
        let (name, since) = match self.target {
            Target::Master if state.has_failed => {
                ("master[ReloadFailed]".to_owned(), self.terms.started)
            }
            Target::Master => ("master".to_owned(), self.terms.started),
            Target::Current => (std::process::id().to_string(), state.current),
            Target::Old(number) => {
                let old = state.old.iter().find(|(old, _)| *old == number);
                let began = old.map_or(self.terms.started, |(_, began)| *began);
                (number.to_string(), began)
            }
        };
        let flags: String = [
            (self.is_experimental, 'x'),
            (self.is_expert, 'e'),
            (self.is_debugging, 'd'),
        ]
        .iter()
        .filter_map(|(is_on, flag)| is_on.then_some(*flag))
        .collect();
        let flags = match flags.is_empty() {
            true => flags,
            false => format!("({flags})"),
        };
        let time = match self.prompt {
            Prompting::Timed => timed_prompt(since.elapsed()) + " ",
            _ => String::new(),
        };
        Ok(format!("{time}{name}{flags}> "))
    }
}
