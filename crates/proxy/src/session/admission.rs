//! What rules make of a connection on its way: let in or denied, to which backend and server.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime};

use evenkeel_config::rules::TcpAction;
use rustix::event::epoll::EventFlags;

use super::Place;
use crate::backend::Backend;
use crate::end::End;
use crate::greeting::{self, Ends, Refusal};
use crate::inspect::{Look, Sent};
use crate::log::{self, Level, Peer};
use crate::reactor::{ENDED, READABLE};
use crate::relay::Stream;
use crate::rules::{self, Arrival, Scene};

/// A client, by its addresses.
pub(crate) struct Guest {
    /// Where it came from, as far as it has said so or is known.
    pub(crate) peer: Option<SocketAddr>,
    /// Where it said it went to.
    pub(crate) told: Option<SocketAddr>,
    /// Where its connection comes from, whatever it says.
    pub(crate) source: Option<SocketAddr>,
    pub(crate) accepted: SystemTime,
    /// What it has sent, as far as rules looked into it.
    pub(crate) sent: Sent,
    /// Which of the process's sessions it is, from 0.
    pub(crate) session: u64,
}

pub(super) fn scene<'a>(place: &'a Place, stream: &'a Stream, guest: &'a Guest) -> Scene<'a> {
    Scene {
        frontend: &place.frontend,
        bind: place.bind,
        arrival: Arrival::At(stream),
        peer: guest.peer,
        told: guest.told,
        source: guest.source,
        accepted: guest.accepted,
        sent: &guest.sent,
        backend: None,
        reached: None,
    }
}

/// A connection that does not become a session.
pub(super) enum Denial {
    /// By `tcp-request connection reject`.
    Connection,
    /// By `tcp-request session reject`.
    Session,
    /// By either's `silent-drop`.
    Silently,
}

/// Asks the rules that come first of all; whether they want a PROXY protocol header.
pub(super) fn admit(place: &Place, stream: &Stream, guest: &Guest) -> Result<bool, Denial> {
    let rules = &place.frontend.config.rules.connection;
    if rules.is_empty() {
        return Ok(false);
    }
    let scene = scene(place, stream, guest);
    match rules::verdict(rules, &scene) {
        Some((TcpAction::Reject, _)) => Err(Denial::Connection),
        Some((TcpAction::SilentDrop, _)) => Err(Denial::Silently),
        Some((TcpAction::Accept | TcpAction::ExpectProxy, expects_proxy)) => Ok(expects_proxy),
        // Nothing is waited for here.
        None => Ok(false),
    }
}

/// Asks the rules that come before a connection counts as a session.
pub(super) fn admit_session(place: &Place, stream: &Stream, guest: &Guest) -> Result<(), Denial> {
    let rules = &place.frontend.config.rules.session;
    if rules.is_empty() {
        return Ok(());
    }
    let scene = scene(place, stream, guest);
    match rules::verdict(rules, &scene) {
        Some((TcpAction::Reject, _)) => Err(Denial::Session),
        Some((TcpAction::SilentDrop, _)) => Err(Denial::Silently),
        Some((TcpAction::Accept | TcpAction::ExpectProxy, _)) | None => Ok(()),
    }
}

/// Closes a connection that is no session, and counts it.
pub(super) fn deny(denial: Denial, place: &Place, stream: &Stream) {
    let frontend = &place.frontend;
    let (stats, epoch) = (&frontend.stats, frontend.shared.stats.epoch);
    frontend.shared.stats.connections.fetch_add(1, Relaxed);
    frontend.shared.stats.connection_rate.hit(epoch);
    stats.denied.refuse(&stats.session_rate, epoch);
    match denial {
        Denial::Connection => {
            stats.denied.connections.fetch_add(1, Relaxed);
            stream.reset_on_close();
        }
        Denial::Session => {
            stats.denied.sessions.fetch_add(1, Relaxed);
            stream.discard_pending();
        }
        Denial::Silently => {
            stats.denied.requests.fetch_add(1, Relaxed);
            stream.forget_on_close();
        }
    }
}

/// Waits for the header that comes before the client's own bytes.
pub(super) async fn greet(place: &Place, stream: &Stream) -> Result<Option<Ends>, Refusal> {
    let frontend = &place.frontend;
    tokio::select! {
        biased;
        () = frontend.kill.wait() => Err(Refusal::Closed),
        greeted = greeting::receive(stream, frontend.config.client_timeout) => greeted,
    }
}

/// Logs a connection that did not come to a session, as HAProxy does.
pub(super) fn refuse(place: &Place, peer: Option<SocketAddr>, at: SystemTime, refusal: Refusal) {
    let frontend = &place.frontend;
    let connections = &frontend.shared.stats.connections;
    connections.fetch_add(1, Relaxed);
    let is_silent = frontend.config.log.skip_null && refusal.is_null();
    if frontend.log.is_empty() || is_silent {
        return;
    }
    let bind = place.bind();
    let record = log::RefusalRecord {
        client: Peer::new(peer, bind.id),
        accepted: at,
        frontend: &frontend.config.name,
        bind: &bind.name,
        bind_id: bind.id,
        why: &refusal,
    };
    frontend.log.send(Level::Info, &record.to_string());
}

/// Why a session does not go on.
pub(super) enum Halt {
    /// A rule says so.
    Rule(TcpAction),
    /// It ended while rules waited for what the client sends.
    End(End),
}

/// Where a session goes; `Ok(None)`: nowhere.
pub(super) async fn choose_route(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
) -> Result<Option<usize>, Halt> {
    let frontend = &place.frontend;
    let rules = &frontend.config.rules;
    if rules.content.is_empty() && rules.backends.is_empty() {
        return Ok(frontend.default_route);
    }
    if rules.reads_content {
        // In a box: other connections are not to carry the room for it.
        Box::pin(inspect(place, stream, guest, None)).await?;
    } else {
        let scene = scene(place, stream, guest);
        decide(rules::verdict(&rules.content, &scene))?;
    }
    let scene = scene(place, stream, guest);
    Ok(rules::route(&scene).or(frontend.default_route))
}

/// Which server a rule of the backend wants, if any.
pub(super) async fn choose_server(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
    backend: &Backend,
) -> Result<Option<usize>, Halt> {
    let rules = &backend.config.rules;
    if rules.is_empty() {
        return Ok(None);
    }
    // The rules of a `listen` section were asked already.
    let is_own = backend.config.id == place.frontend.config.id;
    if rules.reads_content && !is_own {
        Box::pin(inspect(place, stream, guest, Some(backend))).await?;
    }
    let scene = Scene {
        backend: Some(backend),
        ..scene(place, stream, guest)
    };
    if !rules.reads_content && !is_own {
        decide(rules::verdict(&rules.content, &scene))?;
    }
    Ok(rules::wanted_server(&scene, backend))
}

/// What a decision on a session's content comes to.
fn decide(verdict: Option<(TcpAction, bool)>) -> Result<(), Halt> {
    match verdict {
        None | Some((TcpAction::Accept | TcpAction::ExpectProxy, _)) => Ok(()),
        Some((action, _)) => Err(Halt::Rule(action)),
    }
}

/// Asks rules on content of the frontend, or of `backend`, as often as the client sends more, until
/// they are decided or `inspect-delay` is over. A client that is silent for `timeout client`
/// meanwhile reaches no server.
async fn inspect(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
    backend: Option<&Backend>,
) -> Result<(), Halt> {
    let frontend = &place.frontend;
    let (rules, delay) = match backend {
        Some(backend) => {
            let rules = &backend.config.rules;
            (&rules.content, rules.inspect_delay)
        }
        None => {
            let rules = &frontend.config.rules;
            (&rules.content, rules.inspect_delay)
        }
    };
    let Ok(source) = stream.watch(EventFlags::empty()) else {
        return Err(Halt::End(End::ConnectResource));
    };
    let deadline = delay
        .filter(|_| !rules.is_empty())
        .map(|delay| Instant::now() + delay);
    let (mut heard, mut heard_bytes) = (Instant::now(), guest.sent.len());
    loop {
        source.clear(EventFlags::IN);
        let look = guest.sent.look(stream);
        if guest.sent.len() != heard_bytes {
            (heard, heard_bytes) = (Instant::now(), guest.sent.len());
        }
        let is_ended = source.ready().intersects(ENDED);
        let has_time = deadline.is_some_and(|deadline| Instant::now() < deadline);
        if look == Look::More && has_time && !is_ended {
            guest.sent.begin_to_wait();
        } else {
            guest.sent.stop_waiting();
        }
        // The bytes that were looked at are still to be read, of which no event tells again.
        if look == Look::Reset {
            return Err(Halt::End(End::ClientGoneSending));
        }
        let scene = Scene {
            backend,
            ..scene(place, stream, guest)
        };
        if let Some(verdict) = rules::verdict(rules, &scene) {
            guest.sent.stop_waiting();
            source.assume(EventFlags::IN | EventFlags::OUT);
            return decide(Some(verdict));
        }
        let now = Instant::now();
        let patience = frontend
            .config
            .client_timeout
            .map(|patience| heard + patience);
        if patience.is_some_and(|patience| patience <= now) {
            return Err(Halt::End(End::ClientSilentSending));
        }
        let wake = deadline.into_iter().chain(patience).min().unwrap_or(now);
        tokio::select! {
            biased;
            () = frontend.kill.wait() => return Err(Halt::End(End::Killed)),
            () = source.wait(READABLE) => {}
            () = tokio::time::sleep(wake.saturating_duration_since(now)) => {}
        }
    }
}
