//! `evenkeel demo`: two masters and the balancer in one process, on loopback, with keys to kill
//! and revive a master and watch what clients see.

mod master;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{Environment, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use self::master::{Identity, Master};
use crate::cli::{LogFormat, Options, Verbosity};
use crate::diagnostics::{self, print, say};
use crate::prepare::{self, Prepared};
use crate::{Exit, serve};

const CONFIGURATION: &str = include_str!("haproxy.cfg");
/// Requests that the demo sends to show who answers.
const VISITS: usize = 4;
/// Longer than a connect that is refused and moved, far shorter than a watcher's patience.
const LONGEST_VISIT: Duration = Duration::from_secs(5);
/// Lines typed ahead.
const TYPED_AHEAD: usize = 16;

/// Runs until `q`, SIGINT or SIGTERM.
pub(crate) fn run() -> Exit {
    diagnostics::start(Verbosity::Normal, LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(demonstrate()));
    match ended {
        Ok(()) => Exit::Code(0),
        Err(error) => {
            say(format!("the demo cannot run: {error}"));
            Exit::Code(1)
        }
    }
}

type Failure = Box<dyn std::error::Error>;

async fn demonstrate() -> Result<(), Failure> {
    let identity = Identity::new()?;
    let masters = [
        Master::start("master1", &identity).await?,
        Master::start("master2", &identity).await?,
    ];
    let balancer = free_address()?;
    let prepared = prepare(balancer, &masters)?;
    let metrics = prepared
        .admin
        .as_ref()
        .map(crate::admin::Bound::local_address)
        .transpose()?;
    print(welcome(balancer, &masters, metrics));
    let mut stage = Stage {
        masters,
        balancer,
        tls: TlsConnector::from(Arc::clone(&identity.client)),
    };
    let mut no_parent = None;
    let mut nobody_before = None;
    tokio::select! {
        exit = serve::serve(prepared, None, &mut no_parent, &mut nobody_before) => exit.map(drop).map_err(Into::into),
        () = stage.play(keys()) => Ok(()),
    }
}

/// A port that is free now; the balancer asks for it a moment later.
fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn prepare(balancer: SocketAddr, masters: &[Master; 2]) -> Result<Prepared, Failure> {
    let variable = |name: &str| match name {
        "BALANCER" => Some(balancer.to_string()),
        "MASTER1" => Some(masters[0].address.to_string()),
        "MASTER2" => Some(masters[1].address.to_string()),
        _ => None,
    };
    let lookup = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    let environment = Environment {
        variable: &variable,
        lookup: &lookup,
        hostname: "demo",
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        allow_unresolved_servers: false,
    };
    let source = Source {
        name: "demo.cfg".to_owned(),
        text: CONFIGURATION.as_bytes().to_vec(),
    };
    let joined = |problems: Vec<evenkeel_config::Problem>| {
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let mut loaded = evenkeel_config::load(&[source], &environment).map_err(joined)?;
    loaded.config.global.admin = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    // The file leaves timeouts out on purpose, as the setup that it shows does.
    loaded.warnings.clear();
    Ok(prepare::open(Options::default(), loaded, None).map_err(joined)?)
}

fn welcome(balancer: SocketAddr, masters: &[Master; 2], metrics: Option<SocketAddr>) -> String {
    let metrics = metrics.map_or_else(
        || "nowhere".to_owned(),
        |address| format!("http://{address}/metrics"),
    );
    let [one, two] = masters;
    format!(
        "Two masters behind one balancer, all in this process, on loopback:\n\n\
         \x20 balancer  https://{balancer}\n\
         \x20 master1   https://{}\n\
         \x20 master2   https://{}\n\
         \x20 metrics   {metrics}\n\n\
         Try from another terminal:\n\n\
         \x20 curl -k https://{balancer}/         who answers: they take turns\n\
         \x20 curl -k https://{balancer}/readyz   as a control plane would be asked\n\
         \x20 curl -s {metrics} | grep server_status\n\n\
         Keys, each followed by Enter: k1 kills master1, r1 revives it (k2, r2 likewise),\n\
         Enter alone sends {VISITS} requests, q ends. A session's log line follows its end.\n\n",
        one.address, two.address
    )
}

/// Lines typed on the standard input, from a thread of its own: a read of a terminal cannot be
/// cancelled, and must not hold up the end. Without a terminal there are none.
fn keys() -> mpsc::Receiver<String> {
    let (typed, keys) = mpsc::channel(TYPED_AHEAD);
    let read = move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { return };
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(read)
    {
        tracing::warn!("cannot read keys: {error}");
    }
    keys
}

/// What the keys act on.
struct Stage {
    masters: [Master; 2],
    balancer: SocketAddr,
    tls: TlsConnector,
}

impl Stage {
    /// Until `q`; when the input ends, for ever: the demo may run without a terminal.
    async fn play(&mut self, mut keys: mpsc::Receiver<String>) {
        self.visit().await;
        while let Some(key) = keys.recv().await {
            match key.trim() {
                "" => {}
                "q" => return,
                "k1" => self.kill(0).await,
                "k2" => self.kill(1).await,
                "r1" => self.revive(0).await,
                "r2" => self.revive(1).await,
                other => {
                    print(format!("'{other}' is no key: k1, k2, r1, r2, Enter or q\n"));
                    continue;
                }
            }
            self.visit().await;
        }
        std::future::pending().await
    }

    async fn kill(&mut self, index: usize) {
        self.masters[index].kill().await;
        let name = self.masters[index].name;
        print(format!(
            "{name} is killed. Its checks mark it DOWN in 4 to 6 s; clients need not wait for that.\n"
        ));
    }

    async fn revive(&mut self, index: usize) {
        let master = &mut self.masters[index];
        match master.revive().await {
            Ok(()) => print(format!(
                "{} is back; it gets traffic once its checks pass.\n",
                master.name
            )),
            Err(error) => print(format!("{} cannot come back: {error}\n", master.name)),
        }
    }

    /// Sends requests and says who answered.
    async fn visit(&self) {
        let mut answers = Vec::with_capacity(VISITS);
        for _ in 0..VISITS {
            answers.push(
                match tokio::time::timeout(LONGEST_VISIT, self.ask()).await {
                    Ok(Ok(name)) => name,
                    Ok(Err(error)) => format!("({error})"),
                    Err(_) => "(no answer)".to_owned(),
                },
            );
        }
        print(format!(
            "{VISITS} requests, answered by: {}\n",
            answers.join(", ")
        ));
    }

    async fn ask(&self) -> io::Result<String> {
        let stream = TcpStream::connect(self.balancer).await?;
        let name = ServerName::from(self.balancer.ip());
        let mut stream = self.tls.connect(name, stream).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let body = answer
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body.trim());
        if body.is_empty() {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(body.to_owned())
        }
    }
}
