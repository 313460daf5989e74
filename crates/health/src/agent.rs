//! Asks the agent beside a server how fit it is (HAProxy manual, `agent-check`).

use std::convert::Infallible;
use std::io;

use evenkeel_config::{Agent, CheckStatus, ServerAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::CheckOutcome;
use crate::connect::{Wire, open};
use crate::outcome::{cut, readable};
use crate::schedule::{Beat, Spread};

/// What an agent says; what it does not say stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSaid {
    /// `ready`, `drain`, `maint`: the last of them.
    pub admin: Option<AgentAdmin>,
    /// `75%`: of the weight that the file gives.
    pub weight_percent: Option<u32>,
    /// `maxconn:30`.
    pub maxconn: Option<u32>,
    /// `up`, `down`, `fail`, `stopped`: the last of them, with what it is about.
    pub health: Option<(CheckStatus, String)>,
}

/// The administrative states that an agent can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAdmin {
    /// Out of drain and maintenance.
    Ready,
    /// No new clients.
    Drain,
    /// No clients, no checks.
    Maint,
}

/// What came of asking an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentReport {
    /// What it said.
    pub said: AgentSaid,
    /// What is told of it: of its verdict, or why it gave none. `None`: it has no verdict to tell.
    pub outcome: Option<CheckOutcome>,
}

/// Reads an agent's answer: its first line, words apart by spaces, tabs or commas, and what is
/// behind a `#`, or a word that means nothing, which then tells what a bad verdict is about.
#[must_use]
pub fn parse_agent(answer: &[u8]) -> AgentSaid {
    let end = answer.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = &answer[..end.unwrap_or(answer.len())];
    let hash = line.iter().position(|byte| *byte == b'#');
    let (words, about) = match hash {
        Some(hash) => (&line[..hash], line[hash + 1..].trim_ascii()),
        None => (line, &line[..0]),
    };
    let words = String::from_utf8_lossy(words);
    let mut said = AgentSaid::default();
    let mut other_word = None;
    let mut verdict = None;
    for word in words
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
    {
        let status = match word.to_ascii_lowercase().as_str() {
            "ready" => {
                said.admin = Some(AgentAdmin::Ready);
                continue;
            }
            "drain" => {
                said.admin = Some(AgentAdmin::Drain);
                continue;
            }
            "maint" => {
                said.admin = Some(AgentAdmin::Maint);
                continue;
            }
            "up" => CheckStatus::L7Ok,
            "down" | "fail" | "stopped" => CheckStatus::L7Status,
            other => {
                if let Some(percent) = other.strip_suffix('%') {
                    said.weight_percent = percent.parse().ok().or(said.weight_percent);
                } else if let Some(number) = other.strip_prefix("maxconn:") {
                    said.maxconn = number.parse().ok().or(said.maxconn);
                } else {
                    other_word.get_or_insert(word);
                }
                continue;
            }
        };
        verdict = Some((status, word));
    }
    if let Some((status, word)) = verdict {
        let mut info = format!("via agent : {}", readable(word.as_bytes()));
        let about = match other_word {
            Some(word) if about.is_empty() => word.as_bytes(),
            _ => about,
        };
        if status == CheckStatus::L7Status && !about.is_empty() {
            info.push_str(&format!(" ({})", readable(about)));
        }
        said.health = Some((status, cut(info)));
    }
    said
}

/// Asks `agent` for ever, the first time after `first_delay`. `publish` is called after every
/// answer, and after every question that got none.
pub async fn watch_agent(
    agent: Agent,
    first_delay: std::time::Duration,
    mut spread: Spread,
    beat: Beat,
    mut publish: impl FnMut(AgentReport),
) -> Infallible {
    sleep(first_delay).await;
    loop {
        // Asking needs much more room than waiting: it has it while it lasts.
        if let Some(report) = Box::pin(ask(&agent)).await {
            publish(report);
        }
        let wait = spread.apply(agent.inter);
        sleep_until(beat.nearest(Instant::now(), wait)).await;
    }
}

/// Asks once; `None`: this machine lacked what it takes.
async fn ask(agent: &Agent) -> Option<AgentReport> {
    let start = Instant::now();
    let silent = |status: CheckStatus, info: String| AgentReport {
        said: AgentSaid::default(),
        outcome: Some(CheckOutcome {
            status,
            info,
            code: None,
            duration: start.elapsed(),
            // Nobody asks: whether it is held in use is for its checks to say.
            has_connected: false,
            cause: None,
        }),
    };
    let address = ServerAddress::Inet(agent.address);
    let deadline = start + agent.connect_timeout;
    let wire = match timeout_at(deadline, open(&address, None, true)).await {
        Ok(Ok(wire)) => wire,
        Ok(Err(failure)) if failure.is_shortage() => return None,
        Ok(Err(failure)) => {
            return Some(silent(failure.status(&address), failure.words(&address)));
        }
        Err(_) => return Some(silent(CheckStatus::L4Timeout, String::new())),
    };
    let deadline = Instant::now() + agent.read_timeout;
    let answer = timeout_at(deadline, converse(wire, &agent.send)).await;
    Some(match answer {
        Ok(Ok(answer)) if answer.is_empty() => {
            let info = "TCPCHK got an empty response at step 2".to_owned();
            silent(CheckStatus::L7Response, info)
        }
        Ok(Ok(answer)) if answer.contains(&b'\n') || answer.contains(&b'\r') => {
            let said = parse_agent(&answer);
            let outcome = said.health.clone().map(|(status, info)| CheckOutcome {
                status,
                info,
                code: Some(0),
                duration: start.elapsed(),
                has_connected: true,
                cause: None,
            });
            AgentReport { said, outcome }
        }
        // A line that does not end says nothing.
        Ok(Ok(_)) | Err(_) => silent(CheckStatus::L7Timeout, String::new()),
        Ok(Err(_)) => silent(CheckStatus::SocketError, String::new()),
    })
}

/// As much as an agent has to say.
const MOST_ANSWER_BYTES: usize = 1024;

/// Says `first`, and takes in the answer up to the end of its line.
async fn converse(mut wire: Wire, first: &[u8]) -> io::Result<Vec<u8>> {
    wire.write_all(first).await?;
    let mut answer = Vec::new();
    let mut some = [0; 256];
    while answer.len() < MOST_ANSWER_BYTES
        && !answer.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    {
        let count = wire.read(&mut some).await?;
        if count == 0 {
            break;
        }
        answer.extend(&some[..count]);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each as HAProxy 3.0 takes it.
    #[test]
    fn words_of_agents() {
        use CheckStatus::{L7Ok, L7Status};
        let health = |line: &str| parse_agent(line.as_bytes()).health;
        let said = |status, info: &str| Some((status, info.to_owned()));
        assert_eq!(health("up\n"), said(L7Ok, "via agent : up"));
        assert_eq!(health("UP\r\n"), said(L7Ok, "via agent : UP"));
        assert_eq!(
            health("down # so it is\n"),
            said(L7Status, "via agent : down (so it is)")
        );
        assert_eq!(
            health("stopped # \"q\"\n"),
            said(L7Status, "via agent : stopped (<22>q<22>)")
        );
        assert_eq!(health("fail\n"), said(L7Status, "via agent : fail"));
        assert_eq!(health("down up\n"), said(L7Ok, "via agent : up"));
        assert_eq!(
            health("hello down\n"),
            said(L7Status, "via agent : down (hello)")
        );
        for nothing in ["failed\n", "hello\n", "\n", "# down\n"] {
            assert_eq!(
                parse_agent(nothing.as_bytes()),
                AgentSaid::default(),
                "{nothing}"
            );
        }
        let many = parse_agent(b"ready,up\t75% maxconn:10 drain\nmaint");
        assert_eq!(many.admin, Some(AgentAdmin::Drain));
        assert_eq!((many.weight_percent, many.maxconn), (Some(75), Some(10)));
        assert_eq!(parse_agent(b"abc% maxconn:x").weight_percent, None);
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_it(answer: Vec<u8>) {
            let said = parse_agent(&answer);
            prop_assert!(said.health.is_none_or(|(_, info)| info.len() <= 127));
        }
    }
}
