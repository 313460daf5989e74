//! What a health check does, step by step: connect, send, expect (HAProxy manual, `tcp-check`,
//! `http-check` and the checks that are made of fixed steps). Both languages are read into a
//! [`Script`]; nothing is left to be read or looked up when a check runs.

mod common_name;
mod compose;
mod draft;
mod rule;
mod services;
mod status;
mod template;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use compose::compose;
pub(crate) use draft::{CheckDraft, ConnectDraft, Rule, RuleDraft, Rules, TlsDraft};
pub(crate) use rule::rule;
pub use status::CheckStatus;
pub use template::{Converter, Expression, Piece, Sample, Template};
pub(crate) use tls::{Certificate, TlsError, TlsSettings, certificates};
pub use tls::{TlsClient, TlsVersion};

/// What a check asks, and how it is called in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// `check` alone: the port accepts.
    Connect,
    /// `option tcp-check`: without rules the same, told as a step of tcp-check in messages.
    TcpCheck,
    /// `option httpchk`.
    Http,
    /// `option ssl-hello-chk`.
    SslHello,
    /// `option smtpchk`.
    Smtp,
    /// `option mysql-check`.
    Mysql,
    /// `option pgsql-check`.
    Pgsql,
    /// `option redis-check`.
    Redis,
    /// `option ldap-check`.
    Ldap,
}

/// The steps of a check, in order; the first that does anything connects.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// What kind of check it is.
    pub kind: CheckKind,
    /// In the order in which they are made.
    pub steps: Vec<Step>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
    /// This machine's name.
    pub node: String,
}

impl Script {
    /// Whether all it does is to see that the port accepts.
    #[must_use]
    pub fn is_plain_connect(&self) -> bool {
        matches!(
            self.steps.as_slice(),
            [Step { action: Action::Connect(connect), .. }]
                if connect.tls.is_none() && !connect.send_proxy && connect.port.is_none()
                    && connect.address.is_none()
        )
    }
}

/// One step of a [`Script`].
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How messages count it, from 1; 0: the connect that no rule asks for.
    pub number: u32,
    /// What messages about it end with; empty: nothing.
    pub comment: String,
    /// What it does.
    pub action: Action,
}

/// What a [`Step`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Opens a connection and closes the one before.
    Connect(Connect),
    /// Sends bytes.
    Send(Bytes),
    /// Sends an HTTP request.
    Request(Request),
    /// Waits for an answer and judges it.
    Expect(Box<Expect>),
    /// Sets a variable of the check.
    SetVariable {
        /// Its name, scope included.
        name: String,
        /// Its value.
        value: Template,
    },
    /// Forgets a variable.
    UnsetVariable(String),
}

/// A connection that a check opens.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// Another address than the check's.
    pub address: Option<IpAddr>,
    /// Another port than the check's.
    pub port: Option<u16>,
    /// TLS over it.
    pub tls: Option<Arc<TlsClient>>,
    /// Whether a PROXY protocol header goes first.
    pub send_proxy: bool,
    /// Whether it is closed with FIN rather than with a reset.
    pub linger: bool,
}

/// Bytes, some of which may be known only when the check runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes {
    /// What they are made from.
    pub template: Template,
    /// Whether that gives hexadecimal digits.
    pub is_hex: bool,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The method as written.
    pub method: String,
    /// The target.
    pub uri: Template,
    /// `HTTP/1.0` and the like.
    pub version: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, Template)>,
    /// The body; empty: none.
    pub body: Template,
}

/// How an answer is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// `min-recv`; `None`: an answer may always grow into one that matches.
    pub min_recv: Option<usize>,
    /// What it is compared with.
    pub matcher: Matcher,
    /// `!`.
    pub is_negated: bool,
    /// The verdict if it is the last step and matches.
    pub ok_status: CheckStatus,
    /// The verdict if it does not match; `None`: what suits the matcher.
    pub error_status: Option<CheckStatus>,
    /// The verdict if nothing that matches comes in time.
    pub timeout_status: CheckStatus,
    /// What is said of a match; `None`: the usual.
    pub on_success: Option<Template>,
    /// What is said of an answer that does not match; `None`: the usual.
    pub on_error: Option<Template>,
    /// The code in messages; `None`: HTTP's status.
    pub status_code: Option<Expression>,
    /// Whether a connection that ends without a byte is told as such, whatever `on_error` says.
    pub tells_empty: bool,
}

/// What an answer is compared with: the bytes received, or the body of an HTTP answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Matcher {
    /// `string`, `binary`.
    Bytes {
        /// To be found anywhere.
        wanted: Vec<u8>,
        /// Whether it was written as hexadecimal digits.
        is_hex: bool,
    },
    /// `rstring`.
    Regex(Pattern),
    /// `rbinary`: on the answer's hexadecimal digits, in capitals.
    HexRegex(Pattern),
    /// `string-lf`, `binary-lf`.
    Template(Bytes),
    /// `status`: any of these ranges.
    Status(Vec<(u32, u32)>),
    /// `rstatus`.
    StatusRegex(Pattern),
    /// `hdr` and `fhdr`.
    Header {
        /// On the names.
        name: TextMatch,
        /// On the values; `None`: the header's presence is enough.
        value: Option<TextMatch>,
        /// `fhdr`: commas do not part a value.
        is_whole: bool,
    },
    /// An LDAP bind response.
    LdapBind,
    /// A MySQL handshake; whether it is the last step.
    MysqlHandshake,
    /// A MySQL OK after the handshake.
    MysqlOk,
}

/// How a text of an HTTP header is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum TextMatch {
    /// `str`.
    Exact(Template),
    /// `beg`.
    Begin(Template),
    /// `end`.
    End(Template),
    /// `sub`.
    Contains(Template),
    /// `reg`.
    Regex(Pattern),
}

/// A regular expression on bytes.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// The expression, ready to use.
    pub regex: regex::bytes::Regex,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = regex::bytes::RegexBuilder::new(text)
            .unicode(false)
            .size_limit(MOST_REGEX_BYTES)
            .build();
        match regex {
            Ok(regex) => Ok(Self {
                text: text.to_owned(),
                regex,
            }),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                Err(format!(
                    "the regular expression '{text}' is wrong: {reason}"
                ))
            }
        }
    }
}

/// A compiled expression that is larger was not meant for a health check.
const MOST_REGEX_BYTES: usize = 1 << 20;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
