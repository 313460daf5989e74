//! How servers are checked: where, how often, and the steps, with TLS ready to use.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Resolver, limit, net, value};
use crate::address::{self, Address, Host, Port};
use crate::check::{
    self, Action, CheckDraft, CheckKind, Connect, ConnectDraft, Request, Rule, RuleDraft, Script,
    Step, Template, TlsClient, TlsDraft, TlsError, TlsSettings,
};
use crate::draft::{BackendDraft, Maybe, ServerDraft, Spanned};
use crate::{AnswerSince, Check, ConnectFrom, OwnPlace, Place, ServerAddress};

const DEFAULT_INTER: Duration = Duration::from_secs(2);
const DEFAULT_RISE: u32 = 2;
const DEFAULT_FALL: u32 = 3;

/// What a backend says about the checks of its servers.
pub(super) struct CheckSettings {
    backend: String,
    kind: CheckKind,
    /// `None`: there is something wrong with them, which has been said.
    steps: Option<Vec<(u32, Rule)>>,
    disable_on_404: bool,
    send_state: bool,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) check_timeout: Option<Duration>,
    /// Where connections come from to servers that say nothing of it.
    pub(super) source: Option<ConnectFrom>,
    /// What has been made of these steps for earlier servers, by what they say of a connection.
    made: Vec<(ServerConnection, Arc<Script>)>,
}

/// What a server says of the connections of its checks.
#[derive(Clone, PartialEq)]
struct ServerConnection {
    tls: TlsDraft,
    send_proxy: bool,
}

impl Resolver<'_> {
    pub(super) fn check_settings(&mut self, draft: &BackendDraft) -> CheckSettings {
        let check = draft.check.clone().unwrap_or_else(|| {
            let plain = CheckDraft {
                kind: CheckKind::Connect,
                arguments: Vec::new(),
            };
            Spanned::new(plain, draft.place.clone())
        });
        let rules = &draft.check_rules;
        let steps = match check::compose(&check.value, rules, &check.place) {
            Ok(steps) => Some(steps),
            Err((place, message)) => {
                self.error(&place, message);
                None
            }
        };
        CheckSettings {
            backend: draft.name.value.clone(),
            kind: check.value.kind,
            steps,
            disable_on_404: rules.disable_on_404,
            send_state: rules.send_state,
            connect_timeout: limit(draft.connect_timeout.clone()),
            check_timeout: limit(draft.check_timeout.clone()),
            source: value(draft.source.clone()),
            made: Vec::new(),
        }
    }

    pub(super) fn check(
        &mut self,
        draft: &ServerDraft,
        server: &ServerAddress,
        settings: &mut CheckSettings,
    ) -> Option<Check> {
        let script = self.script(draft, settings)?;
        let (address, own) = self.check_address(draft, server, &script)?;
        let options = &draft.options;
        let inter = value(options.inter.clone()).unwrap_or(DEFAULT_INTER);
        let connect_timeout = match (settings.check_timeout, settings.connect_timeout) {
            (Some(_), Some(connect)) => connect.min(inter),
            _ => inter,
        };
        Some(Check {
            script,
            names: Arc::new((settings.backend.clone(), draft.name.value.clone())),
            address,
            own,
            inter,
            fastinter: value(options.fastinter.clone()).unwrap_or(inter),
            downinter: value(options.downinter.clone()).unwrap_or(inter),
            rise: value(options.rise.clone()).unwrap_or(DEFAULT_RISE),
            fall: value(options.fall.clone()).unwrap_or(DEFAULT_FALL),
            connect_timeout,
            read_timeout: settings.check_timeout.unwrap_or(inter),
            answer_since: match settings.check_timeout {
                Some(_) => AnswerSince::Established,
                None => AnswerSince::Start,
            },
            send_proxy: net::check_header(options),
            source: value(options.net.source.clone()).or_else(|| settings.source.clone()),
        })
    }

    fn check_address(
        &mut self,
        draft: &ServerDraft,
        server: &ServerAddress,
        script: &Script,
    ) -> Option<(ServerAddress, OwnPlace)> {
        let options = &draft.options;
        let mut own = OwnPlace::default();
        let (server_ip, server_port) = match server {
            ServerAddress::Inet(address) => (Some(address.ip()), Some(address.port())),
            ServerAddress::Mapped { ip, .. } => (Some(*ip), None),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => (None, None),
        };
        if let Some(text) = &options.check_address {
            match self.check_host(&text.value) {
                Ok((ip, port)) => (own.ip, own.port) = (Some(ip), port),
                Err(message) => {
                    self.error(&text.place, format!("'addr': {message}"));
                    return None;
                }
            }
        }
        if let Some(port) = &options.check_port {
            own.port = Some(port.value);
        }
        let first_port = script.steps.iter().find_map(|step| match &step.action {
            Action::Connect(connect) => Some(connect.port),
            _ => None,
        });
        match (own.ip.or(server_ip), own.port.or(server_port)) {
            (Some(ip), Some(port)) => Some((ServerAddress::Inet(SocketAddr::new(ip, port)), own)),
            (None, _) => Some((server.clone(), own)),
            // The first step names a port of its own.
            (Some(ip), None) if first_port.flatten().is_some() => {
                Some((ServerAddress::Mapped { ip, offset: 0 }, own))
            }
            (Some(_), None) => {
                let place = options
                    .check
                    .as_ref()
                    .map_or(&draft.place, |check| &check.place);
                let message = format!(
                    "server '{}' has neither a port nor a check port; add 'port N' to it",
                    draft.name.value
                );
                self.error(place, message);
                None
            }
        }
    }

    /// The host of `addr`, and a port if it names one.
    pub(super) fn check_host(&mut self, text: &str) -> Result<(IpAddr, Option<u16>), String> {
        // Without a port, the last colon of a bare IPv6 address is not the port's.
        if let Ok(ip) = text.parse() {
            return Ok((ip, None));
        }
        let Address::Inet { family, host, port } = address::parse(text)? else {
            return Err(format!("'{text}' is not the address of a host"));
        };
        let ip = match host {
            Host::Ip(ip) => ip,
            Host::Name(name) => self.lookup(&name, family)?,
            Host::Wildcard => return Err(format!("missing address in '{text}'")),
        };
        match port {
            Port::Missing | Port::One(0) => Ok((ip, None)),
            Port::One(port) => Ok((ip, Some(port))),
            Port::Range(..) | Port::Offset(_) => Err(format!("one port is needed in '{text}'")),
        }
    }

    /// The steps for this server: those of another one where both say the same.
    fn script(&mut self, draft: &ServerDraft, settings: &mut CheckSettings) -> Option<Arc<Script>> {
        let options = &draft.options;
        let connection = ServerConnection {
            tls: options.check_tls.clone(),
            send_proxy: net::check_header(options).is_some(),
        };
        let same = settings.made.iter().find(|(made, _)| *made == connection);
        if let Some((_, script)) = same {
            return Some(script.clone());
        }
        let rules = settings.steps.clone()?;
        let mut steps = Vec::with_capacity(rules.len());
        for (
            number,
            Rule {
                draft: rule,
                comment,
                words: _,
            },
        ) in rules
        {
            let action = match rule {
                RuleDraft::Connect(connect) => {
                    Action::Connect(self.connect_step(draft, &connection, &connect)?)
                }
                RuleDraft::Send(bytes) => Action::Send(bytes),
                RuleDraft::Request(request) => Action::Request(Request {
                    method: request.method.unwrap_or_else(|| "OPTIONS".to_owned()),
                    uri: request.uri.unwrap_or_else(|| Template::literal("/")),
                    version: request.version.unwrap_or_else(|| "HTTP/1.0".to_owned()),
                    headers: request.headers,
                    body: request.body.unwrap_or_default(),
                }),
                RuleDraft::Expect(expect) => Action::Expect(expect),
                RuleDraft::SetVariable { name, value } => Action::SetVariable { name, value },
                RuleDraft::UnsetVariable(name) => Action::UnsetVariable(name),
                // Not steps of their own.
                RuleDraft::Comment(_) | RuleDraft::DisableOn404 | RuleDraft::SendState => continue,
            };
            let comment = comment.unwrap_or_default();
            steps.push(Step {
                number,
                comment,
                action,
            });
        }
        let script = Arc::new(Script {
            kind: settings.kind,
            steps,
            disable_on_404: settings.disable_on_404,
            send_state: settings.send_state,
            node: self.environment.hostname.to_owned(),
        });
        settings.made.push((connection, script.clone()));
        Some(script)
    }

    fn connect_step(
        &mut self,
        server: &ServerDraft,
        connection: &ServerConnection,
        draft: &ConnectDraft,
    ) -> Option<Connect> {
        let own = &connection.tls;
        let is_default = draft.is_default;
        let by_server = own.on.as_ref().filter(|on| on.value && is_default);
        let tls = if draft.tls || by_server.is_some() {
            let place = by_server.map_or(&server.place, |on| &on.place);
            let sni = draft
                .sni
                .clone()
                .or_else(|| value(own.sni.clone()).filter(|_| is_default));
            let alpn = draft
                .alpn
                .clone()
                .or_else(|| value(own.alpn.clone()).filter(|_| is_default));
            Some(Arc::new(self.tls_client(server, own, sni, alpn, place)?))
        } else {
            None
        };
        Some(Connect {
            address: draft.address,
            port: draft.port,
            tls,
            send_proxy: draft.send_proxy || (is_default && connection.send_proxy),
            linger: draft.linger,
        })
    }

    fn tls_client(
        &mut self,
        server: &ServerDraft,
        draft: &TlsDraft,
        sni: Option<String>,
        alpn: Option<String>,
        place: &Place,
    ) -> Option<TlsClient> {
        let verify = value(draft.verify.clone()).unwrap_or(true);
        let mut settings = TlsSettings {
            verify,
            sni: sni.clone(),
            alpn: alpn.map(|alpn| protocols(&alpn)).unwrap_or_default(),
            verify_host: value(draft.verify_host.clone()),
            min: value(draft.min_version.clone()),
            max: value(draft.max_version.clone()),
            ..TlsSettings::default()
        };
        if verify {
            let Some(file) = &draft.ca_file else {
                let message = format!(
                    "server '{}': the check's TLS is verified by default, but there is no CA file; \
                     add 'ca-file', or 'verify none' where the network is trusted",
                    server.name.value
                );
                self.error(place, message);
                return None;
            };
            match self.ca_certificates(&file.value) {
                Ok(certificates) => settings.roots = certificates,
                Err(message) => {
                    self.error(&file.place, format!("ca-file '{}': {message}", file.value));
                    return None;
                }
            }
        }
        if let Some(file) = &draft.certificate {
            match self.identity(&file.value) {
                Ok(identity) => settings.identity = Some(identity),
                Err(message) => {
                    self.error(&file.place, format!("crt '{}': {message}", file.value));
                    return None;
                }
            }
        }
        let of = |field: Option<&Place>| field.unwrap_or(place).clone();
        match TlsClient::new(settings) {
            Ok(client) => Some(client),
            Err(error) => {
                let (place, message) = match error {
                    TlsError::Ca(message) => (place_of(&draft.ca_file), message),
                    TlsError::Identity(message) => (place_of(&draft.certificate), message),
                    TlsError::Sni(message) => (place_of(&draft.sni), message),
                    TlsError::VerifyHost(message) => (place_of(&draft.verify_host), message),
                    TlsError::Versions(message) => (
                        place_of(&draft.max_version).or(place_of(&draft.min_version)),
                        message,
                    ),
                };
                let place = of(place);
                self.error(&place, format!("server '{}': {message}", server.name.value));
                None
            }
        }
    }

    fn ca_certificates(&self, name: &str) -> Result<Vec<check::Certificate>, String> {
        check::certificates(&self.read_file(name)?)
    }

    /// A certificate, those that follow it, and its key, which may stand in a file of its own.
    fn identity(&self, name: &str) -> Result<(Vec<check::Certificate>, Vec<u8>), String> {
        let pem = self.read_file(name)?;
        let certificates = check::certificates(&pem)?;
        let has_key = pem.windows(12).any(|window| window == b"PRIVATE KEY-");
        let key = if has_key {
            pem
        } else {
            self.read_file(&format!("{name}.key"))
                .map_err(|reason| format!("it holds no key, and '{name}.key': {reason}"))?
        };
        Ok((certificates, key))
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>, String> {
        (self.environment.read)(Path::new(name)).map_err(|error| format!("cannot read it: {error}"))
    }
}

fn place_of<T>(field: &Maybe<T>) -> Option<&Place> {
    field.as_ref().map(|said| &said.place)
}

/// A list of protocols as ALPN takes it.
fn protocols(list: &str) -> Vec<Vec<u8>> {
    list.split(',')
        .filter(|name| !name.is_empty() && name.len() < 256)
        .map(|name| name.as_bytes().to_vec())
        .collect()
}
