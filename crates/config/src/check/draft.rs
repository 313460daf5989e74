//! What a reader found about checks, before a [`Script`](super::Script) is made of it.

use std::net::IpAddr;

use super::{Bytes, CheckKind, Expect, Template, TlsVersion};
use crate::draft::{Maybe, Spanned};

/// What a backend says about its checks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckDraft {
    pub(crate) kind: CheckKind,
    /// What follows the option's name.
    pub(crate) arguments: Vec<Spanned<String>>,
}

/// Rules of `tcp-check` or `http-check`, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    pub(crate) steps: Vec<Spanned<Rule>>,
    pub(crate) disable_on_404: bool,
    pub(crate) send_state: bool,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// As written, from the action on; empty for steps that no file asks for.
    pub(crate) words: Vec<String>,
    pub(crate) draft: RuleDraft,
    pub(crate) comment: Option<String>,
}

impl Rule {
    /// One that no file asks for.
    pub(crate) fn implied(draft: RuleDraft) -> Self {
        Self {
            words: Vec::new(),
            draft,
            comment: None,
        }
    }
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RuleDraft {
    Connect(ConnectDraft),
    Send(Bytes),
    Request(RequestDraft),
    Expect(Box<Expect>),
    Comment(String),
    SetVariable { name: String, value: Template },
    UnsetVariable(String),
    DisableOn404,
    SendState,
}

/// See [`super::Connect`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConnectDraft {
    /// Whether what the server says about its check's connection holds for this one.
    pub(crate) is_default: bool,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) tls: bool,
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) send_proxy: bool,
    pub(crate) linger: bool,
}

/// See [`super::Request`]; what is not said is `option httpchk`'s.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestDraft {
    pub(crate) method: Option<String>,
    pub(crate) uri: Option<Template>,
    pub(crate) version: Option<String>,
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) body: Option<Template>,
}

/// What a server says about TLS in its checks; see [`super::TlsClient`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsDraft {
    pub(crate) on: Maybe<bool>,
    /// Whether the server's certificate has to be valid.
    pub(crate) verify: Maybe<bool>,
    pub(crate) ca_file: Maybe<String>,
    /// A certificate and its key, to present.
    pub(crate) certificate: Maybe<String>,
    pub(crate) sni: Maybe<String>,
    /// Protocols, separated by commas.
    pub(crate) alpn: Maybe<String>,
    pub(crate) verify_host: Maybe<String>,
    pub(crate) min_version: Maybe<TlsVersion>,
    pub(crate) max_version: Maybe<TlsVersion>,
}
