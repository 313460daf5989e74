//! Whether this process may connect in the name of clients, as `usesrc` asks it to.

use evenkeel_config::{Config, Problem};
use evenkeel_health::may_connect_from_anywhere;

/// # Errors
/// Every server that `usesrc` is asked for while the system forbids it.
pub(crate) fn allowed(config: &Config) -> Result<(), Vec<Problem>> {
    refused(config, may_connect_from_anywhere)
}

fn refused(config: &Config, may: impl FnOnce() -> bool) -> Result<(), Vec<Problem>> {
    let servers = config.backends.iter().flat_map(|backend| &backend.servers);
    let asking: Vec<_> = servers
        .filter(|server| {
            let source = server.source.as_ref();
            source.is_some_and(|source| source.instead.is_some())
        })
        .collect();
    if asking.is_empty() || may() {
        return Ok(());
    }
    let problem = |server: &&evenkeel_config::Server| {
        let message = format!(
            "server '{}': 'usesrc' connects from addresses that are not this machine's, which this \
             process may not; start it as root, or with CAP_NET_RAW or CAP_NET_ADMIN",
            server.name
        );
        Problem::error(server.place.clone(), message)
    };
    Err(asking.iter().map(problem).collect())
}

#[cfg(test)]
mod tests {
    use evenkeel_config::{Environment, Source, load};

    use super::*;

    #[test]
    fn who_may_not_is_told_by_name() {
        let source = Source {
            name: "lb.cfg".into(),
            text: b"backend b\n server a 10.0.0.1:1\n server c 10.0.0.2:1 source 0.0.0.0 usesrc clientip\n".to_vec(),
        };
        let environment = Environment {
            variable: &|_| None,
            lookup: &|_| Ok(Vec::new()),
            hostname: "lb",
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            allow_unresolved_servers: false,
        };
        let config = load(&[source], &environment).unwrap().config;
        assert!(refused(&config, || true).is_ok());
        let problems = refused(&config, || false).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0]
                .to_string()
                .starts_with("lb.cfg:3:2: server 'c': 'usesrc'"),
            "{}",
            problems[0]
        );
    }
}
