//! Backends of a haproxy.cfg text for unit tests, without listeners and checks.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use evenkeel_config::{Config, Environment, Source};

use crate::Shared;
use crate::backend::Client;
use crate::cut::Alarm;
use crate::generation::{Carried, Generation};
use crate::local::Service;
use crate::log::Logs;
use crate::relay::{HELD_LIMIT_BYTES, Held, Kind, Stream};
use crate::stats::ProcessStats;

/// A configuration of a backend `be` with these lines, and a frontend that leads there.
pub(crate) fn config(lines: &str) -> Config {
    let text = format!(
        "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend fe\n bind 127.0.0.1:1\n default_backend be\nbackend be\n{lines}\n"
    );
    let source = Source {
        name: "test.cfg".to_owned(),
        text: text.into_bytes(),
    };
    let environment = Environment {
        variable: &|_| None,
        lookup: &|_| Err(std::io::ErrorKind::NotFound.into()),
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        hostname: "test",
        allow_unresolved_servers: false,
    };
    let loaded = evenkeel_config::load(&[source], &environment);
    loaded
        .unwrap_or_else(|problems| panic!("{problems:?}"))
        .config
}

pub(crate) fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        stats: ProcessStats::new(1000, std::time::Duration::ZERO),
        held: Held::new(HELD_LIMIT_BYTES),
        alarm: Alarm::new(),
        logs: Logs::start().expect("sockets can be opened"),
        service: Service::new(|_| async {}),
    })
}

/// A generation of such a configuration.
pub(crate) fn generation(lines: &str) -> Generation {
    Generation::new(config(lines), &Carried::default(), &shared())
}

/// A connection whose other end stays open.
pub(crate) fn stream() -> (Stream, UnixStream) {
    let (here, there) = UnixStream::pair().expect("a pair of sockets");
    (Stream::accepted(here.into(), Kind::Unix), there)
}

pub(crate) fn client(stream: &Stream) -> Client<'_> {
    Client {
        stream,
        ends: crate::balance::Ends::default(),
        wanted: None,
    }
}
