//! Makes the steps of a check, one after the other.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evenkeel_config::check::{
    Action, Bytes, CheckKind, CheckStatus, Connect, Matcher, Request, Script, Step,
};
use evenkeel_config::{AnswerSince, Check, SendProxy, ServerAddress};
use rustix::io::Errno;
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::CheckOutcome;
use crate::connect::{Failure, Wire, knock, open, system_text};
use crate::header::{Behalf, proxy_header};
use crate::judge::{Circumstances, Finding, Judgement, judge};
use crate::probe::Situation;
use crate::request;
use crate::values::Values;

/// As much of an answer as is looked at (HAProxy's `tune.bufsize`).
const MOST_ANSWER_BYTES: usize = 16384;

/// Why a check ends before its last step.
enum Halt {
    /// With this verdict.
    Verdict(Finding),
    /// This machine lacks what it takes.
    Shortage,
}

impl From<Finding> for Halt {
    fn from(finding: Finding) -> Self {
        Self::Verdict(finding)
    }
}

/// Runs a check that is more than a plain connect.
pub(crate) async fn run(check: &Check, situation: Situation<'_>) -> Option<CheckOutcome> {
    let start = Instant::now();
    let mut runner = Runner {
        check,
        script: &check.script,
        situation,
        connection: None,
        deadline: start + check.read_timeout,
        received: Vec::new(),
        is_closed: false,
        has_body: true,
        variables: HashMap::new(),
        has_connected: false,
        cause: None,
    };
    let finding = match runner.steps().await {
        Ok(finding) | Err(Halt::Verdict(finding)) => finding,
        Err(Halt::Shortage) => return None,
    };
    let duration = start.elapsed();
    runner.close().await;
    Some(CheckOutcome {
        status: finding.status,
        info: crate::outcome::cut(finding.info),
        code: finding.status.has_code().then_some(finding.code),
        duration,
        has_connected: runner.has_connected,
        cause: runner.cause,
    })
}

struct Runner<'r> {
    check: &'r Check,
    script: &'r Script,
    situation: Situation<'r>,
    connection: Option<Connection>,
    /// When reading ends.
    deadline: Instant,
    received: Vec<u8>,
    /// Whether nothing more will come in.
    is_closed: bool,
    /// Whether the answer has a body: the request was no HEAD.
    has_body: bool,
    variables: HashMap<String, Vec<u8>>,
    /// Whether the last connect succeeded.
    has_connected: bool,
    /// What broke, where that says more than the verdict.
    cause: Option<String>,
}

impl Runner<'_> {
    async fn steps(&mut self) -> Result<Finding, Halt> {
        let script = self.script;
        let mut last = passed(CheckStatus::L4Ok, String::new());
        for (index, step) in script.steps.iter().enumerate() {
            last = match &step.action {
                Action::Connect(connect) => {
                    let next = script.steps[index + 1..].first();
                    let is_last_word =
                        next.is_none_or(|next| matches!(next.action, Action::Connect(_)));
                    self.connect(step, connect, is_last_word).await?
                }
                Action::Send(bytes) => self.send(step, bytes).await?,
                Action::Request(request) => self.request(step, request).await?,
                Action::Expect(expect) => {
                    let judgement = self.expect(step, expect).await?;
                    match judgement {
                        Judgement::Pass(finding) => finding,
                        Judgement::Fail(finding) => return Err(finding.into()),
                        Judgement::Wait => {
                            let status = expect.timeout_status;
                            return Err(self.broken(status, "", step).into());
                        }
                    }
                }
                Action::SetVariable { name, value } => {
                    let text = self.values().text(value);
                    self.variables.insert(name.clone(), text);
                    self.done()
                }
                Action::UnsetVariable(name) => {
                    self.variables.remove(name);
                    self.done()
                }
            };
            // Whoever wants no new clients has said so, whatever else is asked.
            if last.status == CheckStatus::L7OkConditional && self.stops_on_404() {
                break;
            }
        }
        Ok(last)
    }

    fn values(&self) -> Values<'_> {
        let (backend, server) = &*self.check.names;
        Values {
            backend,
            server,
            node: &self.script.node,
            variables: Some(&self.variables),
            received: &self.received,
            answer: None,
        }
    }

    fn tells_steps(&self) -> bool {
        self.script.kind == CheckKind::TcpCheck
    }

    fn stops_on_404(&self) -> bool {
        self.script.disable_on_404 && self.situation.is_up
    }

    /// A step that is not an answer's, done.
    fn done(&self) -> Finding {
        let info = if self.tells_steps() {
            "(tcp-check)"
        } else {
            ""
        };
        passed(CheckStatus::L7Ok, info.to_owned())
    }

    /// A step that something broke.
    fn broken(&self, status: CheckStatus, words: &str, step: &Step) -> Finding {
        let info = if self.tells_steps() {
            at_step(words, step)
        } else {
            words.to_owned()
        };
        passed(status, info)
    }

    /// The verdict on a connection that broke.
    fn error(&self, error: &io::Error, step: &Step) -> Finding {
        let words = match Errno::from_io_error(error) {
            Some(Errno::CONNRESET) => format!("ECONNRESET returned by OS ({})", system_text(error)),
            Some(Errno::PIPE) => format!("EPIPE returned by OS ({})", system_text(error)),
            _ => String::new(),
        };
        self.broken(CheckStatus::SocketError, &words, step)
    }

    async fn connect(
        &mut self,
        step: &Step,
        connect: &Connect,
        is_last_word: bool,
    ) -> Result<Finding, Halt> {
        self.close().await;
        self.received.clear();
        self.is_closed = false;
        let address = self.address(connect);
        self.has_connected = false;
        let start = Instant::now();
        let deadline = start + self.check.connect_timeout;
        let source = self.check.source.as_ref();
        let is_plain = connect.tls.is_none() && !connect.send_proxy;
        let opened = async {
            if is_last_word && is_plain {
                knock(&address, source).await.map(|()| None)
            } else {
                // TLS ends in an orderly way of its own.
                let linger = connect.linger || connect.tls.is_some();
                open(&address, source, linger).await.map(Some)
            }
        };
        let wire = match timeout_at(deadline, opened).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(failure)) => return Err(self.not_connected(&failure, &address, step)),
            Err(_) => return Err(self.broken(CheckStatus::L4Timeout, "", step).into()),
        };
        self.has_connected = true;
        self.expect_answer(start);
        let Some(mut wire) = wire else {
            return Ok(passed(CheckStatus::L4Ok, String::new()));
        };
        if connect.send_proxy {
            let kind = self.check.send_proxy.unwrap_or(SendProxy::V1);
            let header = proxy_header(kind, Behalf::Own(wire.ends()));
            let sent = timeout_at(deadline, wire.write_all(&header)).await;
            if let Ok(Err(error)) = sent {
                return Err(self.error(&error, step).into());
            }
        }
        let Some(tls) = &connect.tls else {
            self.connection = Some(Connection::Plain(wire));
            return Ok(passed(CheckStatus::L4Ok, String::new()));
        };
        // Sessions are resumed by this name, which is not sent unless one is asked for.
        let name = tls.server_name.clone().unwrap_or(match &address {
            ServerAddress::Inet(address) => ServerName::IpAddress(address.ip().into()),
            _ => ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        });
        let connector = TlsConnector::from(tls.config.clone());
        match timeout_at(deadline, connector.connect(name, wire)).await {
            Ok(Ok(stream)) => {
                self.connection = Some(Connection::Tls(Box::new(stream)));
                self.expect_answer(start);
                Ok(passed(CheckStatus::L6Ok, String::new()))
            }
            Ok(Err(error)) => {
                self.cause = Some(error.to_string());
                let words = tls_words(&error, tls.has_verify_host);
                Err(self.broken(CheckStatus::L6Response, words, step).into())
            }
            Err(_) => Err(self.broken(CheckStatus::L6Timeout, "", step).into()),
        }
    }

    /// Says until when an answer may come over a connection whose connect began at `start` and
    /// which is established now.
    fn expect_answer(&mut self, start: Instant) {
        let since = match self.check.answer_since {
            AnswerSince::Start => start,
            AnswerSince::Established => Instant::now(),
        };
        self.deadline = since + self.check.read_timeout;
    }

    fn address(&self, connect: &Connect) -> ServerAddress {
        let own = match &self.check.address {
            ServerAddress::Inet(address) => Some((address.ip(), Some(address.port()))),
            ServerAddress::Mapped { ip, .. } => Some((*ip, None)),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
        };
        let ip = connect.address.or(own.map(|(ip, _)| ip));
        let port = connect.port.or(own.and_then(|(_, port)| port));
        match (ip, port) {
            (Some(ip), Some(port)) => ServerAddress::Inet(SocketAddr::new(ip, port)),
            _ => self.check.address.clone(),
        }
    }

    fn not_connected(&self, failure: &Failure, address: &ServerAddress, step: &Step) -> Halt {
        if failure.is_shortage() {
            return Halt::Shortage;
        }
        let words = failure.words(address);
        self.broken(failure.status(address), &words, step).into()
    }

    async fn send(&mut self, step: &Step, bytes: &Bytes) -> Result<Finding, Halt> {
        let bytes = self.values().bytes(bytes);
        self.write(step, &bytes).await
    }

    async fn request(&mut self, step: &Step, request: &Request) -> Result<Finding, Halt> {
        let state = self.script.send_state.then(|| (self.situation.state)());
        let bytes = request::bytes(request, state.as_deref(), &self.values());
        self.has_body = request.method != "HEAD";
        self.write(step, &bytes).await
    }

    /// Sends, and begins to wait for another answer.
    async fn write(&mut self, step: &Step, bytes: &[u8]) -> Result<Finding, Halt> {
        self.received.clear();
        let Some(connection) = &mut self.connection else {
            return Ok(self.done());
        };
        let sent = async {
            connection.write_all(bytes).await?;
            connection.flush().await
        };
        match timeout_at(self.deadline, sent).await {
            Ok(Ok(())) => Ok(self.done()),
            // What the server said before it closed is looked at, if it is asked for.
            Ok(Err(error)) if is_closing(&error) => Ok(self.done()),
            Ok(Err(error)) => Err(self.error(&error, step).into()),
            Err(_) => Err(self.broken(CheckStatus::L7Timeout, "", step).into()),
        }
    }

    async fn expect(
        &mut self,
        step: &Step,
        expect: &evenkeel_config::check::Expect,
    ) -> Result<Judgement, Halt> {
        let deadline = self.deadline;
        loop {
            if !self.received.is_empty() || self.is_closed {
                let judgement = self.judge(step, expect);
                if judgement != Judgement::Wait {
                    return Ok(judgement);
                }
            }
            if self.is_closed {
                // HAProxy's patience with what is no answer.
                tokio::time::sleep_until(deadline).await;
                return Ok(Judgement::Wait);
            }
            match timeout_at(deadline, self.read()).await {
                Err(_) => return Ok(Judgement::Wait),
                Ok(Ok(())) => {}
                Ok(Err(error)) if self.received.is_empty() => {
                    return Err(self.error(&error, step).into());
                }
                Ok(Err(_)) => self.is_closed = true,
            }
        }
    }

    fn judge(&self, step: &Step, expect: &evenkeel_config::check::Expect) -> Judgement {
        let about = Circumstances {
            is_http: self.script.kind == CheckKind::Http,
            has_body: self.has_body,
            is_closed: self.is_closed,
            is_full: self.received.len() >= MOST_ANSWER_BYTES,
            tells_steps: self.tells_steps(),
            stops_on_404: self.stops_on_404(),
            number: step.number,
        };
        judge(expect, &step.comment, about, &self.values())
    }

    /// Takes in what has come.
    async fn read(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.connection else {
            self.is_closed = true;
            return Ok(());
        };
        let room = MOST_ANSWER_BYTES - self.received.len();
        if room == 0 {
            // More is not looked at.
            return std::future::pending().await;
        }
        let mut some = [0; 4096];
        let room = room.min(some.len());
        let count = match connection.read(&mut some[..room]).await {
            Ok(count) => count,
            // TLS that ends without a goodbye ends all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        self.received.extend(&some[..count]);
        self.is_closed |= count == 0;
        Ok(())
    }

    async fn close(&mut self) {
        let Some(Connection::Tls(mut stream)) = self.connection.take() else {
            return;
        };
        // Says goodbye, and takes what is there, so that the close is no reset.
        let goodbye = async {
            stream.shutdown().await?;
            let mut some = [0; 1024];
            while stream.read(&mut some).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

/// How long a server's side of a goodbye is waited for.
const GOODBYE: Duration = Duration::from_millis(20);

fn passed(status: CheckStatus, info: String) -> Finding {
    let code = 0;
    Finding { status, code, info }
}

fn is_closing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// What OpenSSL's user would be told, in HAProxy's words.
fn tls_words(error: &io::Error, has_verify_host: bool) -> &'static str {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) if has_verify_host => {
            "Server presented an SSL certificate different from the configured one"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "Server presented an SSL certificate different from the expected one",
        _ => "SSL handshake failure",
    }
}

/// `words` and where they belong, as tcp-check tells it. After a timeout there are no words, and
/// HAProxy leaves the space before `at` standing.
pub(crate) fn at_step(words: &str, step: &Step) -> String {
    if step.number == 0 {
        return format!("{words} at initial connection step of tcp-check");
    }
    let what = match &step.action {
        Action::Connect(Connect {
            port: Some(port), ..
        }) => format!("connect port {port}"),
        Action::Connect(_) => "connect".to_owned(),
        Action::Expect(expect) => match &expect.matcher {
            Matcher::Bytes {
                wanted,
                is_hex: false,
            } => format!("expect string '{}'", crate::outcome::readable(wanted)),
            Matcher::Bytes { .. } => "expect binary".to_owned(),
            Matcher::Regex(_) => "expect regex".to_owned(),
            Matcher::HexRegex(_) => "expect binary regex".to_owned(),
            Matcher::Template(bytes) if bytes.is_hex => "expect log-format binary".to_owned(),
            Matcher::Template(_) => "expect log-format string".to_owned(),
            _ => "expect".to_owned(),
        },
        _ => "send".to_owned(),
    };
    let comment = match step.comment.as_str() {
        "" => String::new(),
        comment => format!(" comment: '{comment}'"),
    };
    format!(
        "{words} at step {} of tcp-check ({what}){comment}",
        step.number
    )
}

/// What a check talks over.
enum Connection {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test(start_paused = true)]
    async fn one_inter_bounds_a_check_that_has_no_timeout_of_its_own() {
        let mut check = testing::check(2000);
        let mut answer_by = |since, passed| {
            check.answer_since = since;
            let state = &|| String::new();
            let mut runner = Runner {
                check: &check,
                script: &check.script,
                situation: Situation { is_up: true, state },
                connection: None,
                deadline: Instant::now(),
                received: Vec::new(),
                is_closed: false,
                has_body: true,
                variables: HashMap::new(),
                has_connected: true,
                cause: None,
            };
            let start = Instant::now() - Duration::from_millis(passed);
            runner.expect_answer(start);
            (runner.deadline - start).as_millis()
        };
        assert_eq!(answer_by(AnswerSince::Start, 1500), 2000);
        assert_eq!(answer_by(AnswerSince::Established, 1500), 3500);
    }
}
