//! Servers behind the balancer, well-behaved and otherwise.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::peer::Peer;
use super::{loopback, until};

type Serve = dyn Fn(Peer) + Send + Sync;

/// A TCP server on an address of its own that can die and come back at the same address.
pub(crate) struct Origin {
    address: SocketAddr,
    serve: Arc<Serve>,
    accepted: Arc<AtomicUsize>,
    listening: Option<Listening>,
}

struct Listening {
    socket: Arc<Socket>,
    acceptor: JoinHandle<()>,
}

impl Origin {
    /// Serves each connection in a thread of its own with `serve`.
    pub(crate) fn start(ip: IpAddr, serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let mut origin = Self::dead(ip, serve);
        origin.revive();
        origin
    }

    /// Like [`start`](Self::start), but refusing until [`revive`](Self::revive).
    pub(crate) fn dead(ip: IpAddr, serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        Self {
            address: loopback::free_tcp(ip),
            serve: Arc::new(serve),
            accepted: Arc::default(),
            listening: None,
        }
    }

    /// Says its name on a line of its own, then reads to the client's end and closes.
    pub(crate) fn named(ip: IpAddr, name: &str) -> Self {
        Self::start(ip, greet(name))
    }

    /// Like [`named`](Self::named), at this address; `None` where somebody else has it.
    pub(crate) fn named_at(address: SocketAddr, name: &str) -> Option<Self> {
        drop(std::net::TcpListener::bind(address).ok()?);
        let mut origin = Self {
            address,
            serve: Arc::new(greet(name)),
            accepted: Arc::default(),
            listening: None,
        };
        origin.revive();
        Some(origin)
    }

    /// Like [`named`](Self::named), but refusing until [`revive`](Self::revive).
    pub(crate) fn named_dead(ip: IpAddr, name: &str) -> Self {
        Self::dead(ip, greet(name))
    }

    /// Sends back what it gets; closes after the client's end.
    pub(crate) fn echo(ip: IpAddr) -> Self {
        Self::start(ip, |peer| {
            let mut stream = peer.into_stream();
            let mut back = stream.try_clone().unwrap();
            // The client may reset at any moment; then there is nothing to echo.
            let _ = std::io::copy(&mut stream, &mut back);
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Refuses from now on; connections that it has go on.
    pub(crate) fn die(&mut self) {
        if let Some(Listening { socket, acceptor }) = self.listening.take() {
            socket.shutdown(std::net::Shutdown::Both).unwrap();
            acceptor.join().unwrap();
        }
    }

    /// Listens again at the same address.
    pub(crate) fn revive(&mut self) {
        if self.listening.is_some() {
            return;
        }
        let socket = Arc::new(bind(self.address));
        socket.listen(1024).unwrap();
        let (listener, serve, accepted) = (
            Arc::clone(&socket),
            Arc::clone(&self.serve),
            Arc::clone(&self.accepted),
        );
        let acceptor = std::thread::spawn(move || {
            // `die` shuts the socket down, which ends a blocked accept with EINVAL.
            while let Ok((socket, _)) = listener.accept() {
                accepted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                // Ends with its connection; a test's balancer and clients are gone before it.
                std::thread::spawn(move || serve(Peer::new(socket.into())));
            }
        });
        self.listening = Some(Listening { socket, acceptor });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.die();
    }
}

fn greet(name: &str) -> impl Fn(Peer) + Send + Sync + 'static {
    let line = format!("{name}\n");
    move |mut peer| {
        if peer.try_send(&line).is_ok() {
            // Not `receive_to_end`: a held connection may be silent for longer than its patience.
            drain(peer.into_stream());
        }
    }
}

/// Reads to the end, however late it comes.
pub(crate) fn drain(mut stream: TcpStream) {
    stream.set_read_timeout(None).unwrap();
    // A reset is an end too.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// A server whose machine does not answer: its accept queue is full, so that the kernel drops
/// every further SYN, which to a client is a host that is switched off.
pub(crate) struct Silent {
    listener: Socket,
    /// What fills it, and the first that found it full.
    _queue: Vec<Socket>,
}

impl Silent {
    /// Fills the queue of a listener that never accepts.
    pub(crate) fn start(ip: IpAddr) -> Self {
        let listener = bind(loopback::free_tcp(ip));
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue: Vec<Socket> = Vec::new();
        loop {
            let socket = Socket::new(
                Domain::for_address(address.as_socket().unwrap()),
                Type::STREAM,
                None,
            )
            .unwrap();
            let outcome = socket.connect_timeout(&address, Duration::from_millis(300));
            // A busy machine may take that long for a connect that succeeds.
            let is_connected = outcome.is_ok() || socket.peer_addr().is_ok();
            queue.push(socket);
            if !is_connected {
                break;
            }
            assert!(queue.len() < 100, "a queue of length 0 never fills");
        }
        Self {
            listener,
            _queue: queue,
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    // A predecessor's socket may take a moment to go.
    until(&format!("{address} can be bound"), || {
        socket.bind(&address.into()).ok()
    });
    socket
}
