//! Those who use the cluster: curl for one request on one new connection, kubectl, a watch that
//! stays open, and a steady load that notes what each of its requests saw.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lab::{Host, Lab};
use crate::support::wait::within;

const URL: &str = "https://10.0.1.10:6443";

/// How long a client waits for its answer. Above the three seconds that HAProxy spends on its
/// retries, so that the load tells a refused request from a late one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(6);

/// The most requests of one load: three minutes at its usual pace.
const MOST_REQUESTS: usize = 900;

/// What one request saw.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// As curl measured it: without the start of its process.
    pub(crate) took: Duration,
    /// The master that answered, or curl's exit code.
    pub(crate) answer: Result<String, i32>,
}

/// One `GET /readyz` on a new connection through the balancer.
pub(crate) fn request(lab: &Lab, host: Host) -> Request {
    let started = Instant::now();
    let output = lab
        .on(host, "curl")
        .args([
            "--silent",
            "--include",
            "--max-time",
            &PATIENCE.as_secs().to_string(),
            "--cacert",
        ])
        .arg(lab.certificate())
        .args(["--write-out", "\n%{time_total}"])
        .arg(format!("{URL}/readyz"))
        .output()
        .expect("curl was found before the test began");
    let ended = Instant::now();
    let text = String::from_utf8_lossy(&output.stdout);
    let (text, took) = text.rsplit_once('\n').expect("curl writes its time last");
    let took = Duration::from_secs_f64(took.parse().expect("a number of seconds"));
    let answer = match output.status.code() {
        Some(0) if text.ends_with("\r\n\r\nok") => Ok(master_of(text).expect("a master signs")),
        code => Err(code.unwrap_or(-1)),
    };
    Request {
        started,
        ended,
        took,
        answer,
    }
}

/// The first good answer within `limit`.
pub(crate) fn first_answer(lab: &Lab, limit: Duration) -> Option<Request> {
    within(limit, || {
        let request = request(lab, Host::Client);
        request.answer.is_ok().then_some(request)
    })
}

/// Runs kubectl against the balancer: what it printed, or what it complained about.
pub(crate) fn kubectl(lab: &Lab, host: Host, arguments: &[&str]) -> Result<String, String> {
    let output = lab
        .on(host, "kubectl")
        .env("HOME", lab.directory())
        .args([
            "--server",
            URL,
            "--insecure-skip-tls-verify",
            "--request-timeout=10s",
        ])
        // With no credentials at all kubectl asks for a user name.
        .args(["--token", "topology"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("kubectl was found before the test began");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn master_of(head: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(name, value)| {
            name.eq_ignore_ascii_case("x-master")
                .then(|| value.to_owned())
        })
}

#[derive(Default)]
struct Results {
    all: Mutex<Vec<Request>>,
    more: Condvar,
}

/// New connections at a steady pace, none of which waits for another.
pub(crate) struct Load {
    results: Arc<Results>,
    stop: Sender<()>,
    pacer: JoinHandle<()>,
}

impl Load {
    /// `per_second` requests from the client's host until [`Load::stop`], or [`MOST_REQUESTS`].
    pub(crate) fn start(lab: &Arc<Lab>, per_second: u32) -> Self {
        let results = Arc::new(Results::default());
        let (stop, stopped) = mpsc::channel();
        let (lab, shared) = (Arc::clone(lab), Arc::clone(&results));
        let pacer = thread::spawn(move || {
            let pace = Duration::from_secs(1) / per_second;
            let begin = Instant::now();
            let mut requests = Vec::new();
            for number in 1..=MOST_REQUESTS {
                let (lab, results) = (Arc::clone(&lab), Arc::clone(&shared));
                requests.push(thread::spawn(move || {
                    let request = request(&lab, Host::Client);
                    results
                        .all
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request);
                    results.more.notify_all();
                }));
                let due = begin + pace * u32::try_from(number).expect("a small number");
                let pause = due.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            for request in requests {
                request.join().expect("a request does not panic");
            }
        });
        Load {
            results,
            stop,
            pacer,
        }
    }

    /// Waits until `count` requests that started at `since` or later have ended.
    pub(crate) fn wait_for(&self, count: usize, since: Instant) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut all = self
            .results
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if all
                .iter()
                .filter(|request| request.started >= since)
                .count()
                >= count
            {
                return;
            }
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.expect("the load goes on, its requests end within their patience");
            let waited = self.results.more.wait_timeout(all, left);
            all = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the load, waits for the requests under way and returns all, in the order of their start.
    pub(crate) fn stop(self) -> Vec<Request> {
        let _ = self.stop.send(());
        self.pacer.join().expect("no request panics");
        let mut all = self
            .results
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.sort_by_key(|request| request.started);
        all
    }
}

/// How many of these requests each master answered.
pub(crate) fn shares<'a>(
    requests: impl IntoIterator<Item = &'a Request>,
) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for request in requests {
        if let Ok(master) = &request.answer {
            *shares.entry(master.clone()).or_default() += 1;
        }
    }
    shares
}

/// A long response that trickles in, as a watch does.
pub(crate) struct Watch {
    curl: Child,
    master: String,
    bytes: Arc<AtomicU64>,
}

impl Watch {
    /// Opens it; the balancer's turn decides the master.
    pub(crate) fn open(lab: &Lab) -> Self {
        let mut curl = lab
            .on(Host::Client, "curl")
            .args([
                "--silent",
                "--include",
                "--no-buffer",
                "--max-time",
                "120",
                "--cacert",
            ])
            .arg(lab.certificate())
            .arg(format!("{URL}/watch"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl was found before the test began");
        let mut stream = BufReader::new(curl.stdout.take().expect("standard output is a pipe"));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream
                .read_exact(&mut byte)
                .expect("a watch opens while all is well");
            head.push(byte[0]);
        }
        let master = master_of(&String::from_utf8_lossy(&head)).expect("a master signs");
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                counter.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        Watch {
            curl,
            master,
            bytes,
        }
    }

    /// One watch on each master.
    pub(crate) fn on_both(lab: &Lab) -> [Self; 2] {
        let (one, two) = (Watch::open(lab), Watch::open(lab));
        assert_ne!(
            one.master, two.master,
            "two connections in a row go to two masters"
        );
        if one.master == "master1" {
            [one, two]
        } else {
            [two, one]
        }
    }

    /// Whether more comes within `limit`: an open connection on which nothing arrives is dead.
    pub(crate) fn flows(&self, limit: Duration) -> bool {
        let before = self.bytes.load(Ordering::Relaxed);
        within(limit, || {
            (self.bytes.load(Ordering::Relaxed) > before).then_some(())
        })
        .is_some()
    }

    /// Whether the client learns within `limit` that its watch is over.
    pub(crate) fn ends(&mut self, limit: Duration) -> bool {
        within(limit, || {
            self.curl
                .try_wait()
                .expect("our own child can be waited for")
                .map(drop)
        })
        .is_some()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}
