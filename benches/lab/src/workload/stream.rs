//! Short connections at a steady pace, whatever becomes of those before: who comes while a server
//! is dead, or while the balancer reloads, comes all the same.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::churn::Visit;
use crate::part::exchange::{ANSWER_BYTES, answers};
use crate::part::load::Load;

/// What became of one connection.
pub(super) struct Seen {
    /// Since the beginning of the window, in seconds; below 0 before it.
    pub(super) began: f64,
    pub(super) took: Duration,
    pub(super) failed: bool,
}

/// Begins a connection every `gap` until the window is over, and sees all of them through, each for
/// `patience` at most. What fails before the window is an error of the load; what fails later is
/// returned.
pub(super) fn visit(load: &mut Load, gap: Duration, patience: Duration) -> Result<Vec<Seen>> {
    let mut visits: Vec<Option<Visit>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut ended: Vec<(Instant, Duration, bool)> = Vec::new();
    let mut tokens = Vec::new();
    let mut number = 0;
    let mut next = Instant::now();
    let mut comes = true;
    while comes || free.len() < visits.len() {
        let pause = next.saturating_duration_since(Instant::now());
        if comes {
            comes = load.turn(&mut tokens, pause)?;
        } else {
            load.wait(&mut tokens, Duration::from_millis(50))?;
        }
        let mut end = |load: &mut Load, visit: &Visit, failure: Option<String>| {
            let took = visit.began.elapsed();
            match &failure {
                None => load.answered(took, ANSWER_BYTES),
                Some(why) if load.window_began().is_none() => load.failed(why),
                Some(_) => {}
            }
            ended.push((visit.began, took, failure.is_some()));
        };
        for token in tokens.drain(..) {
            let Some(visit) = &mut visits[token] else {
                continue;
            };
            let failure = match visit.go_on() {
                Ok(false) => continue,
                Ok(true) if answers(&visit.answer, visit.number) => None,
                Ok(true) => Some("another request's answer".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            end(load, visit, failure);
            visits[token] = None;
            free.push(token);
        }
        for (token, slot) in visits.iter_mut().enumerate() {
            if let Some(visit) = slot
                && visit.began.elapsed() >= patience
            {
                end(load, visit, Some("no answer".to_owned()));
                *slot = None;
                free.push(token);
            }
        }
        while comes && next <= Instant::now() {
            next += gap;
            number += 1;
            let token = free.pop().unwrap_or_else(|| {
                visits.push(None);
                visits.len() - 1
            });
            match Visit::begin(load, number, token) {
                Ok(visit) => visits[token] = Some(visit),
                // The balancer itself is not there.
                Err(error) => {
                    let began = Instant::now();
                    match load.window_began() {
                        None => load.failed(error),
                        Some(_) => ended.push((began, Duration::ZERO, true)),
                    }
                    free.push(token);
                }
            }
        }
    }
    let zero = load.window_began().unwrap_or(next);
    let since = |at: Instant| match at.checked_duration_since(zero) {
        Some(after) => after.as_secs_f64(),
        None => -(zero - at).as_secs_f64(),
    };
    Ok(ended
        .into_iter()
        .map(|(began, took, failed)| Seen {
            began: since(began),
            took,
            failed,
        })
        .collect())
}
