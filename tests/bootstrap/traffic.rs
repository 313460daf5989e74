//! Clients of the cluster through the VIP, as controllers and people are: one keeps its connection, another
//! makes a new one for each request. What fails is what they would have seen.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::lab::Lab;

const VIP: &str = "10.0.1.10:6443";
/// Needs etcd.
const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
/// For one request; as long as clients of Kubernetes wait.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(40);

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// What came of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) asked: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) longest: Duration,
}

/// Clients at work.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Traffic {
    /// Begins; the administrator's certificate is that of `master`.
    pub(crate) fn start(lab: &Lab, master: &str) -> Self {
        let config = Arc::new(config(&lab.node(master).read("/etc/kubernetes/admin.conf")));
        let stop = Arc::new(AtomicBool::new(false));
        let clients = [true, false].map(|keeps| {
            let (config, stop) = (Arc::clone(&config), Arc::clone(&stop));
            thread::spawn(move || work(&config, &stop, keeps))
        });
        Self {
            stop,
            clients: clients.into(),
        }
    }

    /// Ends; what they saw.
    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            all.asked += tally.asked;
            all.failed.extend(tally.failed);
            all.longest = all.longest.max(tally.longest);
        }
        all
    }

    /// Ends; nothing may have failed.
    #[track_caller]
    pub(crate) fn end_well(self, during: &str) {
        let tally = self.end();
        eprintln!(
            "{during}: {} requests through the VIP, {} failed, the longest took {:.1?}",
            tally.asked,
            tally.failed.len(),
            tally.longest
        );
        assert!(tally.failed.is_empty(), "{during}: {:#?}", tally.failed);
        assert!(tally.asked > 20, "{during}: hardly anybody asked");
    }
}

fn work(config: &Arc<ClientConfig>, stop: &AtomicBool, keeps: bool) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    let first = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        tally.asked += 1;
        if let Err(error) = request(config, &mut kept) {
            let when = first.elapsed();
            tally
                .failed
                .push(format!("after {when:.1?}, kept {keeps}: {error}"));
        }
        tally.longest = tally.longest.max(began.elapsed());
        if !keeps {
            kept = None;
        }
        #[expect(clippy::disallowed_methods, reason = "the pace of a client")]
        thread::sleep(PAUSE);
    }
    tally
}

/// One request. As Go's clients do, it is made again if a connection that was kept turns out to be closed.
fn request(config: &Arc<ClientConfig>, kept: &mut Option<Stream>) -> io::Result<()> {
    if let Some(mut stream) = kept.take() {
        match ask(&mut stream) {
            Ok(stays) => {
                *kept = stays.then_some(stream);
                return Ok(());
            }
            Err(Broken::Answered(error)) => return Err(error),
            Err(Broken::Unheard(_)) => {}
        }
    }
    let address: SocketAddr = VIP.parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let name = ServerName::IpAddress(address.ip().into());
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    match ask(&mut stream) {
        Ok(stays) => {
            *kept = stays.then_some(stream);
            Ok(())
        }
        Err(Broken::Answered(error) | Broken::Unheard(error)) => Err(error),
    }
}

enum Broken {
    /// Before any of an answer had come.
    Unheard(io::Error),
    /// By an answer, or in the middle of one.
    Answered(io::Error),
}

/// Whether the connection stays open.
fn ask(stream: &mut Stream) -> Result<bool, Broken> {
    let text = format!("GET {PATH} HTTP/1.1\r\nHost: {VIP}\r\nAccept: application/json\r\n\r\n");
    stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush())
        .map_err(Broken::Unheard)?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let length = match stream.read(&mut chunk) {
            Ok(0) if bytes.is_empty() => {
                return Err(Broken::Unheard(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(0) => return Err(Broken::Answered(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => length,
            Err(error) if bytes.is_empty() => return Err(Broken::Unheard(error)),
            Err(error) => return Err(Broken::Answered(error)),
        };
        bytes.extend_from_slice(&chunk[..length]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let body = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
            .unwrap_or(0);
        if bytes.len() < end + 4 + body {
            continue;
        }
        if !head.starts_with("http/1.1 200") {
            let said = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Broken::Answered(io::Error::other(said)));
        }
        return Ok(!head.contains("connection: close"));
    }
}

/// Who the administrator is, and whom they believe, by their kubeconfig.
fn config(kubeconfig: &str) -> ClientConfig {
    let pem = |key: &str| {
        let line = kubeconfig
            .lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
        let text = line.unwrap_or_else(|| panic!("no {key} in:\n{kubeconfig}"));
        STANDARD.decode(text.trim_matches('"')).unwrap()
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem("certificate-authority-data")).unwrap())
        .unwrap();
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(&pem("client-certificate-data")).unwrap()],
            PrivateKeyDer::from_pem_slice(&pem("client-key-data")).unwrap(),
        )
        .unwrap()
}
