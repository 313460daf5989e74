//! `stats admin`: what the form on the statistics page asks for, and how it is done on the control
//! thread. Who may ask is decided elsewhere.

use evenkeel_proxy::{AdminState, Proxy, SaidHealth, ServerAt};
use hyper::header::{HOST, HeaderMap, ORIGIN};

/// What is done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    State(AdminState),
    /// `disable`, `enable`: in and out of maintenance; `stop`, `start`: of drain.
    Old(AdminState, bool),
    Health(SaidHealth),
    Checks(bool),
    Agent(bool),
    AgentChecks(bool),
    Shutdown,
}

/// Each action, as forms and scripts name it, and what the page calls it; the old ones it does not
/// offer.
pub(super) const ACTIONS: &[(&str, &str, Action)] = &[
    ("ready", "ready", Action::State(AdminState::Ready)),
    ("drain", "drain", Action::State(AdminState::Drain)),
    ("maint", "maintenance", Action::State(AdminState::Maint)),
    ("dhlth", "checks off", Action::Checks(false)),
    ("ehlth", "checks on", Action::Checks(true)),
    (
        "hrunn",
        "up, as if a check said so",
        Action::Health(SaidHealth::Up),
    ),
    (
        "hnolb",
        "no new sessions, as if a check said so",
        Action::Health(SaidHealth::Stopping),
    ),
    (
        "hdown",
        "down, as if a check said so",
        Action::Health(SaidHealth::Down),
    ),
    ("dagent", "agent off", Action::AgentChecks(false)),
    ("eagent", "agent on", Action::AgentChecks(true)),
    ("arunn", "up, as if the agent said so", Action::Agent(true)),
    (
        "adown",
        "down, as if the agent said so",
        Action::Agent(false),
    ),
    ("shutdown", "end its sessions", Action::Shutdown),
    ("disable", "", Action::Old(AdminState::Maint, true)),
    ("enable", "", Action::Old(AdminState::Maint, false)),
    ("stop", "", Action::Old(AdminState::Drain, true)),
    ("start", "", Action::Old(AdminState::Drain, false)),
];

/// What became of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Nothing was asked for, or everything is so already.
    None,
    /// There are no such servers, backend or action.
    Wrong,
    /// Some of the servers are not there.
    Part,
    /// Whoever asked may not.
    Denied,
    /// The form is too long.
    TooLong,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Done,
        Self::None,
        Self::Wrong,
        Self::Part,
        Self::Denied,
        Self::TooLong,
    ];

    /// HAProxy's word for it in the address that the browser is sent to.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::None => "NONE",
            Self::Wrong => "ERRP",
            Self::Part => "PART",
            Self::Denied => "DENY",
            Self::TooLong => "EXCD",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }

    /// What the page says, and in which colour.
    pub(super) fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::Done => ("up", "Done."),
            Self::None => ("going-down", "Nothing has changed."),
            Self::Wrong => (
                "down",
                "Nothing was done: there is no such action, backend or server.",
            ),
            Self::Part => (
                "going-down",
                "Done for some: others are not in that backend.",
            ),
            Self::Denied => (
                "down",
                "Denied: this page does not let you change anything.",
            ),
            Self::TooLong => ("down", "Nothing was done: choose fewer servers at a time."),
        }
    }
}

/// A form that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    action: Option<String>,
    backend: Option<String>,
    servers: Vec<String>,
}

impl Form {
    /// Reads `s=SERVER&action=ACTION&b=BACKEND`, in any order; of a backend, `#` and its number.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut form = Self::default();
        let body = String::from_utf8_lossy(body);
        for pair in body.split('&') {
            let Some((key, value)) = pair.split_once('=') else {
                continue;
            };
            let value = decoded(value);
            match key {
                "s" => form.servers.push(value),
                "action" => form.action = Some(value),
                "b" => form.backend = Some(value),
                _ => {}
            }
        }
        form
    }

    /// Does it.
    pub(crate) fn apply(&self, proxy: &mut Proxy) -> Outcome {
        let (Some(action), Some(backend)) = (&self.action, &self.backend) else {
            return Outcome::None;
        };
        let known = ACTIONS.iter().find(|(word, ..)| word == action);
        let found = match backend.strip_prefix('#') {
            Some(id) => id.parse().ok().and_then(|id| proxy.backend_numbered(id)),
            None => proxy.backend_named(backend),
        };
        let (Some((.., action)), Some(backend)) = (known, found) else {
            return Outcome::Wrong;
        };
        if self.servers.is_empty() {
            return Outcome::None;
        }
        let (mut there, mut changed) = (0, 0);
        for name in &self.servers {
            if let Some(at) = proxy.server_named(backend, name) {
                there += 1;
                changed += usize::from(change(proxy, at, *action));
            }
        }
        match (there, changed) {
            (0, _) => Outcome::Wrong,
            (_, 0) => Outcome::None,
            _ if there < self.servers.len() => Outcome::Part,
            _ => Outcome::Done,
        }
    }
}

/// Does `action`; whether there was something to do.
fn change(proxy: &mut Proxy, at: ServerAt, action: Action) -> bool {
    match action {
        Action::State(state) => proxy.set_admin(at, state),
        Action::Old(state, wanted) => {
            let (is_maint, is_drain) = proxy.admin(at);
            let is_now = match state {
                AdminState::Maint => is_maint,
                _ => is_drain,
            };
            if is_now == wanted {
                return false;
            }
            proxy.set_admin(at, if wanted { state } else { AdminState::Ready });
        }
        Action::Health(_) if proxy.tracks(at) => return false,
        Action::Health(health) => proxy.set_health(at, health),
        Action::Checks(on) if proxy.is_checked(at) && proxy.runs_checks(at) != on => {
            proxy.enable_checks(at, on);
        }
        Action::AgentChecks(on) if proxy.has_agent(at) && proxy.asks_agent(at) != on => {
            proxy.enable_agent(at, on);
        }
        Action::Agent(is_up) if proxy.asks_agent(at) => proxy.set_agent(at, is_up),
        Action::Checks(_) | Action::AgentChecks(_) | Action::Agent(_) => return false,
        Action::Shutdown => proxy.shutdown_sessions(at),
    }
    true
}

/// Whether a browser says that another site made it ask: such a form is not its user's wish.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.to_str().ok().and_then(|origin| {
        let (_, authority) = origin.split_once("://")?;
        Some(authority)
    });
    own.is_none() || own != host
}

/// A value of a form (`+` and `%2C` undone); what is no escape stands for itself.
fn decoded(value: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push((high * 16 + low) as u8);
                    rest = after;
                }
                _ => bytes.push(byte),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_in_any_order() {
        let form = Form::parse(b"b=%23%34&s=a&x&s=b%2Cc+d&action=drain&y=1&s=%zz%4");
        let expected = Form {
            action: Some("drain".to_owned()),
            backend: Some("#4".to_owned()),
            servers: vec!["a".to_owned(), "b,c d".to_owned(), "%zz%4".to_owned()],
        };
        assert_eq!(form, expected);
        assert_eq!(Form::parse(b""), Form::default());
        assert!(Form::parse(&[0xff, b'=', b'&', b'%']).servers.is_empty());
    }

    #[test]
    fn outcomes_are_found_by_their_words() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.word()), Some(outcome));
        }
        assert_eq!(Outcome::parse("XXXX"), None);
    }

    #[test]
    fn a_form_of_another_site_is_known_as_such() {
        let check = |origin: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "lb:8404".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_foreign(&headers), expected, "{origin:?}");
        };
        check(None, false);
        check(Some("http://lb:8404"), false);
        check(Some("http://evil.example"), true);
        check(Some("null"), true);
    }
}
