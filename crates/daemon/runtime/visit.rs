//! One visit: lines in, answers out, each bounded in time and size. A visitor that does not read
//! waits for itself alone.

use std::time::{Duration, Instant};

use evenkeel_config::AccessLevel;
use evenkeel_proxy::Level;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::line::{Line, Words};
use super::talk::{LONGEST_BYTES, Over, Talk};
use super::{Ask, Own, Reply, Run, Scene, Sessions, sessions, table};

/// What a visit begins with.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) level: AccessLevel,
    pub(crate) timeout: Duration,
    pub(crate) ask: mpsc::Sender<Ask>,
    /// When the process started, for `prompt timed`.
    pub(crate) started: Instant,
}

/// Answers on `stream` until the visitor has what it wanted, leaves or dawdles.
pub(crate) async fn visit<S: AsyncRead + AsyncWrite + Unpin>(stream: S, terms: Terms) {
    let mut visit = Visit {
        talk: Talk::new(stream),
        terms,
        prompt: Prompting::No,
        severity: Severity::None,
        has_quit: false,
    };
    // Whatever ends it, there is nobody left to tell.
    let _ = visit.run().await;
    visit.talk.end().await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompting {
    /// One line is answered.
    No,
    Yes,
    /// With the time since the process began.
    Timed,
}

/// What stands before messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    None,
    Number,
    Text,
}

struct Visit<S> {
    talk: Talk<S>,
    terms: Terms,
    prompt: Prompting,
    severity: Severity,
    has_quit: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Visit<S> {
    async fn run(&mut self) -> Result<(), Over> {
        loop {
            let line = self.talk.line(self.terms.timeout).await?;
            let line = Line::parse(&line);
            if let Some(end) = &line.payload_end {
                // No command here takes one; it is read so that it is not taken for commands.
                self.payload(end).await?;
            }
            for command in &line.commands {
                let answer = self.answer(command).await?;
                if self.has_quit {
                    return Ok(());
                }
                self.talk.send(&answer, self.terms.timeout).await?;
            }
            if self.prompt == Prompting::No {
                return Ok(());
            }
        }
    }

    async fn payload(&mut self, end: &str) -> Result<(), Over> {
        let mut bytes = 0;
        loop {
            let line = self.talk.line(self.terms.timeout).await?;
            if line.strip_suffix(b"\r").unwrap_or(&line) == end.as_bytes() {
                return Ok(());
            }
            bytes += line.len();
            if bytes > LONGEST_BYTES {
                return Err(Over);
            }
        }
    }

    /// What is sent for one command: its reply, an empty line, and a prompt where there is one.
    async fn answer(&mut self, command: &Words) -> Result<Vec<u8>, Over> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let mut text = if words.is_empty() {
            String::new()
        } else {
            let reply = self.reply(&words).await?;
            self.shown(reply)
        };
        text.push('\n');
        match self.prompt {
            Prompting::No => {}
            Prompting::Yes => text.push_str("> "),
            Prompting::Timed => {
                text.push_str(&timed_prompt(self.terms.started.elapsed()));
                text.push_str("> ");
            }
        }
        Ok(text.into_bytes())
    }

    fn shown(&self, reply: Reply) -> String {
        match reply {
            Reply::Done => String::new(),
            Reply::Text(text) => text,
            Reply::Message(level, message) => match self.severity {
                Severity::None => message + "\n",
                Severity::Number => format!("[{}]: {message}\n", level as u8),
                Severity::Text => format!("[{}]: {message}\n", word(level)),
            },
        }
    }

    async fn reply(&mut self, words: &[&str]) -> Result<Reply, Over> {
        let level = self.terms.level;
        let Some((command, arguments)) = table::find(table::COMMANDS, words) else {
            return Ok(Reply::Text(table::unknown(table::entries(), words, level)));
        };
        if command.level > level {
            return Ok(Reply::refused("Permission denied"));
        }
        match command.run {
            Run::Visit(own) => Ok(self.own(own, arguments)),
            Run::Look(look) => self.look(look, arguments).await,
            Run::Sessions(what) => {
                let (answer, roll) = oneshot::channel();
                self.terms
                    .ask
                    .send(Ask::Sessions(answer))
                    .await
                    .map_err(|_| Over)?;
                let roll = roll.await.map_err(|_| Over)?;
                Ok(match what {
                    Sessions::Show => sessions::show(&roll, arguments).await,
                    Sessions::Shutdown => sessions::shutdown(&roll, arguments).await,
                })
            }
            Run::Vitals => {
                let (answer, vitals) = oneshot::channel();
                let ask = Ask::Vitals(answer);
                self.terms.ask.send(ask).await.map_err(|_| Over)?;
                let verdict = vitals.await.map_err(|_| Over)?.verdict().await;
                Ok(Reply::Text(format!("{verdict}\n")))
            }
            Run::Change(change) => {
                let (answer, reply) = oneshot::channel();
                let ask = Ask::Change {
                    change,
                    arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
                    level,
                    answer,
                };
                self.terms.ask.send(ask).await.map_err(|_| Over)?;
                reply.await.map_err(|_| Over)
            }
        }
    }

    /// Printed on a thread that may block: thousands of servers make megabytes.
    async fn look(
        &self,
        look: fn(&Scene<'_>, &[&str]) -> Reply,
        arguments: &[&str],
    ) -> Result<Reply, Over> {
        let (answer, seen) = oneshot::channel();
        let ask = Ask::Look(answer);
        self.terms.ask.send(ask).await.map_err(|_| Over)?;
        let (view, facts) = seen.await.map_err(|_| Over)?;
        let level = self.terms.level;
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let printed = tokio::task::spawn_blocking(move || {
            let scene = Scene {
                view: &view,
                facts: &facts,
                level,
            };
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            look(&scene, &arguments)
        });
        printed.await.map_err(|_| Over)
    }

    fn own(&mut self, own: Own, arguments: &[&str]) -> Reply {
        match own {
            Own::Help => {
                return Reply::Text(table::help(table::entries(), arguments, self.terms.level));
            }
            Own::Prompt => {
                self.prompt = match (self.prompt, arguments.first()) {
                    (_, Some(&"timed")) => Prompting::Timed,
                    (Prompting::No, _) => Prompting::Yes,
                    (_, _) => Prompting::No,
                };
            }
            Own::Quit => self.has_quit = true,
            Own::LowerTo(level) => self.terms.level = self.terms.level.min(level),
            Own::ShowLevel => return Reply::Text(format!("{}\n", self.terms.level.name())),
            Own::Timeout => return self.set_timeout(arguments),
            Own::Severity => {
                self.severity = match arguments.first() {
                    Some(&"none") => Severity::None,
                    Some(&"number") => Severity::Number,
                    Some(&"string") => Severity::Text,
                    _ => {
                        let message = "one of 'none', 'number', 'string' is a required argument";
                        return Reply::refused(message);
                    }
                };
            }
            Own::Nothing => {}
        }
        Reply::Done
    }

    /// `set timeout cli DELAY`; a bare number is in seconds.
    fn set_timeout(&mut self, arguments: &[&str]) -> Reply {
        let delay = match arguments {
            ["cli", delay, ..] => *delay,
            ["cli"] => return Reply::refused("Expects an integer value."),
            _ => return Reply::refused("'set timeout' only supports 'cli'."),
        };
        let delay = match delay.parse::<u32>() {
            Ok(seconds) => Some(Duration::from_secs(seconds.into())),
            Err(_) => evenkeel_config::parse_time(delay).ok(),
        };
        match delay.filter(|delay| !delay.is_zero()) {
            Some(delay) => {
                self.terms.timeout = delay;
                Reply::Done
            }
            None => Reply::refused("Invalid timeout value."),
        }
    }
}

/// `[days:hours:minutes:seconds]`.
pub(crate) fn timed_prompt(since: Duration) -> String {
    let seconds = since.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "[{}:{:02}:{:02}:{:02}]",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}

/// Syslog's word.
fn word(level: Level) -> &'static str {
    match level {
        Level::Emerg => "emerg",
        Level::Alert => "alert",
        Level::Crit => "crit",
        Level::Err => "err",
        Level::Warning => "warning",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}
