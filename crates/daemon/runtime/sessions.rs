//! `show sess` and `shutdown session`: the established sessions, asked of the threads that carry
//! them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_proxy::{Roll, SessionSnapshot};

use super::Reply;

const INFALLIBLE: &str = "writing to a String does not fail";

/// `show sess [<id>|all|susp|older <age>]`.
pub(super) async fn show(roll: &Roll, arguments: &[&str]) -> Reply {
    let sessions = roll.list().await;
    match arguments {
        ["all", ..] => Reply::Text(sessions.iter().map(whole).collect()),
        // None is suspicious: there is no event loop of ours to lose one.
        ["susp", ..] => Reply::Done,
        ["older", age, ..] => match age_of(age) {
            Some(least) => {
                let old = sessions.iter().filter(|session| session.age >= least);
                Reply::Text(old.map(whole).collect())
            }
            None => Reply::refused("Invalid age."),
        },
        [id, ..] if id_of(id).is_some() => {
            let found = sessions
                .iter()
                .find(|session| Some(session.id) == id_of(id));
            match found {
                Some(session) => Reply::Text(whole(session)),
                None => Reply::refused("Session not found."),
            }
        }
        _ => Reply::Text(sessions.iter().map(brief).collect()),
    }
}

/// `shutdown session <id>`.
pub(super) async fn shutdown(roll: &Roll, arguments: &[&str]) -> Reply {
    match arguments.first().and_then(|word| id_of(word)) {
        None => Reply::refused("Session pointer expected (use 'show sess')."),
        Some(id) if roll.shutdown(id).await => Reply::Done,
        Some(_) => Reply::refused("No such session (use 'show sess')."),
    }
}

/// An id as `show sess` prints it.
fn id_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A bare number is in seconds.
fn age_of(text: &str) -> Option<Duration> {
    match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => evenkeel_config::parse_time(text).ok(),
    }
}

/// One line, with HAProxy's words; zeroes stand for what its own insides are.
fn brief(session: &SessionSnapshot) -> String {
    format!(
        "0x{:x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls=0 rate=0 cpu=0 lat=0 \
         rq[f=0h,i=0,an=00h,ax=] rp[f=0h,i=0,an=00h,ax=] scf=[8,0h,fd=-1,rex=,wex=] \
         scb=[8,1h,fd=-1,rex=,wex=] exp= rc={} c_exp=\n",
        session.id,
        protocol(session.source),
        address(session.source),
        session.frontend.0,
        session.backend.0,
        session.server.0,
        age(session.age),
        session.retries,
    )
}

/// All that is known of one.
fn whole(session: &SessionSnapshot) -> String {
    let accepted = jiff::Timestamp::try_from(session.accepted)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::system());
    let accepted = accepted.strftime("%d/%b/%Y:%H:%M:%S%.6f");
    let mut text = String::new();
    let (frontend, backend, server) = (&session.frontend, &session.backend, &session.server);
    writeln!(
        text,
        "0x{:x}: [{accepted}] id={} proto={} source={}\n  \
           flags=0x0, conn_retries={}, age={}, thread={}\n  \
           frontend={} (id={} mode=tcp), listener=? (id=1) addr={}\n  \
           backend={} (id={} mode=tcp)\n  \
           server={} (id={})\n  \
           req=total={} res=total={}",
        session.id,
        session.id,
        protocol(session.source),
        address(session.source),
        session.retries,
        age(session.age),
        session.thread,
        frontend.0,
        frontend.1,
        address(session.local),
        backend.0,
        backend.1,
        server.0,
        server.1,
        session.bytes.0,
        session.bytes.1,
    )
    .expect(INFALLIBLE);
    text
}

fn protocol(source: Option<SocketAddr>) -> &'static str {
    match source {
        Some(SocketAddr::V4(_)) => "tcpv4",
        Some(SocketAddr::V6(_)) => "tcpv6",
        None => "unix_stream",
    }
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "unix:1".to_owned(), |address| address.to_string())
}

/// The two largest units.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d{}h", hours % 24),
        () if hours > 0 => format!("{hours}h{}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m{}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ages() {
        assert_eq!(id_of("0x7f00"), Some(0x7f00));
        assert_eq!(id_of("7f00"), None);
        assert_eq!(age_of("90"), Some(Duration::from_secs(90)));
        assert_eq!(age_of("2m"), Some(Duration::from_secs(120)));
        assert_eq!(age(Duration::from_secs(39)), "39s");
        assert_eq!(age(Duration::from_secs(330)), "5m30s");
        assert_eq!(age(Duration::from_secs(90_000)), "1d1h");
    }
}
