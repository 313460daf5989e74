//! Thousands of connections that do nothing: what each costs, and what happens past the limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::private_bytes;
use crate::support::balancer::Launch;
use crate::support::peer::Received;
use crate::support::{Lab, Peer, Program, not_run, until};

/// Proxied connections at once.
const MANY: usize = 9_000;

/// Descriptors that the balancer has for them: two each and some.
const DESCRIPTORS: u32 = 20_000;

/// What an idle connection may cost of the balancer's own memory.
const BYTES_EACH: u64 = 768;

/// Clients past the limit.
const WAITING: usize = 20;

#[test]
fn nine_thousand_idle_connections_are_cheap_and_more_clients_wait() {
    let limits = getrlimit(Resource::Nofile);
    // Both ends of every connection live in this process.
    let needed = (2 * MANY + 200).max(DESCRIPTORS as usize) as u64;
    if limits.maximum.is_some_and(|maximum| maximum < needed) {
        let reason = format!("needs a hard limit of {needed} descriptors, has {limits:?}");
        return not_run("nine thousand idle connections", &reason);
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();

    let lab = Lab::new();
    let server = HoldingServer::start(&lab);
    let front = lab.address();
    let balancer = lab.launch(
        &format!(
            "{preamble}
listen many
    bind {front}
    maxconn {MANY}
    timeout client 10m
    timeout server 10m
    server s {server}
",
            preamble = lab.preamble(),
            server = server.address
        ),
        &Launch {
            descriptors: Some(DESCRIPTORS),
            ..Launch::default()
        },
    );
    // What the first connections cost is not theirs alone: buffers, the allocator's arenas.
    let mut clients: Vec<TcpStream> = (0..100).map(|_| visit(front)).collect();
    let before = private_bytes(balancer.pid());
    clients.extend((clients.len()..MANY).map(|_| visit(front)));
    let after = private_bytes(balancer.pid());
    let each = after.saturating_sub(before) / (MANY as u64 - 100);
    eprintln!("{MANY} idle connections cost {each} bytes each");
    if *balancer.program() == Program::Evenkeel {
        assert!(each <= BYTES_EACH, "{each} bytes each");
    }

    // The kernel answers the next ones, the balancer leaves them in its queue.
    let mut waiting: Vec<Peer> = (0..WAITING).map(|_| Peer::connect(front)).collect();
    waiting.iter_mut().for_each(|peer| peer.send(REQUEST));
    assert!(
        waiting[0].is_quiet_for(Duration::from_millis(500)),
        "nobody is served past maxconn"
    );
    let metrics = balancer.metrics();
    assert_eq!(
        metrics.value("haproxy_frontend_current_sessions", "proxy=many"),
        MANY as f64
    );
    assert_eq!(
        metrics.value("haproxy_frontend_limit_sessions", "proxy=many"),
        MANY as f64
    );
    clients.truncate(MANY - WAITING);
    for peer in &mut waiting {
        assert_eq!(peer.receive_exactly(ANSWER.len()), ANSWER);
    }
    // Those who stayed are still connected.
    for client in &mut clients {
        ask(client);
    }
}

#[test]
fn past_the_descriptor_limit_clients_wait() {
    let lab = Lab::new();
    let server = HoldingServer::start(&lab);
    let front = lab.address();
    let mut balancer = lab.launch(
        &format!(
            "{preamble}
listen few
    bind {front}
    server s {server}
",
            preamble = lab.preamble(),
            server = server.address
        ),
        &Launch {
            descriptors: Some(300),
            ..Launch::default()
        },
    );
    let mut clients: Vec<Peer> = (0..220).map(|_| Peer::connect(front)).collect();
    clients.iter_mut().for_each(|peer| peer.send(REQUEST));
    // Each is served once others have left. In which order is for the threads: each has a queue of its own,
    // and one that was late finds all places taken by clients of the other.
    until("every client was served and has left", || {
        clients.retain_mut(|client| match client.receive(Duration::ZERO) {
            Received::Nothing => true,
            received => {
                assert_eq!(received, Received::Data(ANSWER.to_vec()));
                false
            }
        });
        clients.is_empty().then_some(())
    });
    assert!(balancer.is_running());
    let metrics = until("the last session has ended", || {
        let metrics = balancer.metrics();
        let current = metrics.value("haproxy_frontend_current_sessions", "proxy=few");
        (current == 0.0).then_some(metrics)
    });
    let most = metrics.value("haproxy_frontend_max_sessions", "proxy=few");
    assert!(
        (50.0..=150.0).contains(&most),
        "{most} at once with 300 descriptors"
    );
    assert_eq!(
        metrics.value("haproxy_frontend_sessions_total", "proxy=few"),
        220.0
    );
}

const REQUEST: &[u8] = b"GET /readyz\n";
const ANSWER: &[u8] = b"ok\n";

/// A client that has been served once and stays.
fn visit(front: SocketAddr) -> TcpStream {
    let mut stream = Peer::connect(front).into_stream();
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).unwrap();
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);
}

/// Answers every request of every connection and never closes one first; one thread for all,
/// because a thread for each of thousands would be the test's own limit.
struct HoldingServer {
    address: SocketAddr,
}

impl HoldingServer {
    fn start(lab: &Lab) -> Self {
        use rustix::event::epoll;
        let listener = TcpListener::bind((lab.ip(), 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the process: the balancer's and the clients' ends go first.
        thread::spawn(move || {
            let ready = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            let watch = |socket: &dyn std::os::fd::AsFd, number: u64| {
                let data = epoll::EventData::new_u64(number);
                epoll::add(&ready, socket.as_fd(), data, epoll::EventFlags::IN).unwrap();
            };
            watch(&listener, 0);
            let mut streams: Vec<Option<TcpStream>> = vec![None];
            let mut events = Vec::with_capacity(256);
            loop {
                events.clear();
                // A signal may interrupt the wait.
                let _ = epoll::wait(&ready, rustix::buffer::spare_capacity(&mut events), None);
                for event in &events {
                    let number = event.data.u64() as usize;
                    if number == 0 {
                        while let Ok((stream, _)) = listener.accept() {
                            watch(&stream, streams.len() as u64);
                            streams.push(Some(stream));
                        }
                        continue;
                    }
                    let Some(stream) = &mut streams[number] else {
                        continue;
                    };
                    let mut request = [0; 4096];
                    let served = match stream.read(&mut request) {
                        Ok(0) | Err(_) => false,
                        Ok(_) => stream.write_all(ANSWER).is_ok(),
                    };
                    if !served {
                        streams[number] = None;
                    }
                }
            }
        });
        HoldingServer { address }
    }
}
