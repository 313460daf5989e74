//! The admin address: /metrics, /stats, /healthz, /readyz, /serving over HTTP. Asks for a snapshot and prints it;
//! changes nothing, and knows the proxy only through the snapshot.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_proxy::{Ownership, Snapshot};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::columns::View;
use crate::desk::Desk;
use crate::http::stats_page;
use crate::places::{Places, Watched};
use crate::vitals::{self, Verdict};

/// Visitors at once: a few scrapers and probes; for more, the most silent one goes (`places.rs`).
const MOST_VISITORS: usize = 16;
/// For the whole of a visit: a slow reader must not keep a place of the few.
const LONGEST_VISIT: Duration = Duration::from_secs(10);
/// Where the statistics page is.
const STATISTICS: &str = "/stats";
/// For the request's head alone.
const LONGEST_HEAD: Duration = Duration::from_secs(5);
/// How long to wait after an accept that failed (no descriptor left).
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Visitors that the kernel keeps waiting.
const BACKLOG: i32 = 64;

/// A bound admin address, not served yet.
#[derive(Debug)]
pub(crate) struct Bound {
    address: SocketAddr,
    listener: std::net::TcpListener,
}

impl Bound {
    /// Binds `address`, before the process goes to the background. A successor (`-sf`, `-st`)
    /// may bind it too, nobody else by accident.
    pub(crate) fn bind(address: SocketAddr, ownership: Ownership) -> io::Result<Self> {
        let listener = listen(address, ownership)?;
        Ok(Self { address, listener })
    }

    /// What another process bound.
    pub(crate) fn from_listener(address: SocketAddr, listener: std::net::TcpListener) -> Self {
        Self { address, listener }
    }

    pub(crate) fn into_listener(self) -> std::net::TcpListener {
        self.listener
    }

    /// Where it really listens: port 0 has become one.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// SO_REUSEPORT before the bind shares with whoever allows it; after the bind it only allows a
/// successor to share.
fn listen(address: SocketAddr, ownership: Ownership) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(ownership == Ownership::Shared)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A served admin address; ends when dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    /// The same socket, for a process that follows this one.
    listener: std::net::TcpListener,
    task: JoinHandle<()>,
    places: Places,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
        self.places.clear();
    }
}

impl Admin {
    /// Serves `bound` on the current runtime; every view is asked for at `desk`.
    pub(crate) fn serve(bound: Bound, desk: Desk) -> io::Result<Self> {
        // That of a .socket unit is not.
        bound.listener.set_nonblocking(true)?;
        let own = bound.listener.try_clone()?;
        let listener = TcpListener::from_std(bound.listener)?;
        let answers = Answers { desk };
        let places = Places::new(MOST_VISITORS);
        Ok(Self {
            address: bound.address,
            listener: own,
            task: tokio::spawn(accept(listener, answers, places.clone())),
            places,
        })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &std::net::TcpListener {
        &self.listener
    }

    /// Another name of its socket.
    pub(crate) fn listener(&self) -> io::Result<std::net::TcpListener> {
        self.listener.try_clone()
    }

    /// The address as configured.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, answers: Answers, places: Places) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                let visit = |stream| async move {
                    // A visitor that breaks off or dawdles is its own problem.
                    let _ = tokio::time::timeout(LONGEST_VISIT, visit(stream, answers)).await;
                };
                places.receive(stream, visit).await;
            }
            Err(error) => {
                tracing::debug!("cannot accept on the admin address: {error}");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn visit(stream: Watched<TcpStream>, answers: Answers) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_HEAD)
        // One answer a connection: a scraper's idle connection would hold a place.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

#[derive(Clone)]
struct Answers {
    desk: Desk,
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let statistics = path.strip_prefix(STATISTICS);
        let statistics = statistics.filter(|rest| rest.is_empty() || rest.starts_with(';'));
        if statistics.is_none()
            && !matches!(path, "/metrics" | "/healthz" | "/readyz" | vitals::PATH)
        {
            let places = "see /metrics, /stats, /healthz, /readyz, /serving\n";
            return text(StatusCode::NOT_FOUND, places);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        // Without a view: the larger the configuration, the longer one takes.
        if path == vitals::PATH {
            return self.vitals().await;
        }
        match (path, self.desk.view().await) {
            (_, None) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            (_, Some(view)) if statistics.is_some() => {
                let target = request
                    .uri()
                    .path_and_query()
                    .map_or("", |target| target.as_str());
                statistics_page(target.get(STATISTICS.len()..).unwrap_or(""), view).await
            }
            ("/metrics", Some(view)) => self.metrics(view).await,
            ("/readyz", Some(view)) => readiness(&view.proxy),
            (_, Some(_)) => text(StatusCode::OK, "ok\n"),
        }
    }

    async fn vitals(&self) -> Response<Full<Bytes>> {
        match self.desk.verdict().await {
            Some(verdict @ Verdict::Serving) => text(StatusCode::OK, format!("{verdict}\n")),
            Some(verdict) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{verdict}\n")),
            None => {
                let ended = format!("{}\n", Verdict::Draining);
                text(StatusCode::SERVICE_UNAVAILABLE, ended)
            }
        }
    }

    async fn metrics(&self, view: View) -> Response<Full<Bytes>> {
        match self.desk.metrics(view).await {
            Some(printed) => {
                let mut response = Response::new(Full::new(Bytes::from(printed)));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        }
    }
}

/// The statistics page, or one of its other forms.
async fn statistics_page(wanted: &str, view: View) -> Response<Full<Bytes>> {
    let wanted = stats_page::Wanted::parse(wanted);
    let page = stats_page::at(STATISTICS);
    let by = stats_page::By {
        section: "",
        is_admin: false,
    };
    let Some(shown) = stats_page::print(&page, by, wanted, view).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    };
    let mut response = Response::new(Full::new(Bytes::from(shown.text)));
    let kind = HeaderValue::from_static(shown.kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Ready: it accepts, and each backend has a usable server.
fn readiness(proxy: &Snapshot) -> Response<Full<Bytes>> {
    if proxy.process.stopping {
        return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let down: Vec<&str> = proxy
        .backends
        .iter()
        .filter(|b| !b.is_up)
        .map(|b| b.name.as_str())
        .collect();
    let open: Vec<&str> = proxy
        .backends
        .iter()
        .filter(|b| b.fails_open)
        .map(|b| b.name.as_str())
        .collect();
    if down.is_empty() && !open.is_empty() {
        let open = open.join(", ");
        text(StatusCode::OK, format!("ok, but no check passes: {open}\n"))
    } else if down.is_empty() {
        text(StatusCode::OK, "ok\n")
    } else {
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no usable server: {}\n", down.join(", ")),
        )
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
