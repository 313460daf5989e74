//! Metrics as `use-service prometheus-exporter` serves them: those that the query asks for.

use std::collections::HashSet;

use crate::columns::View;

/// The content type of the text format.
pub(super) const TYPE: &str = "text/plain; version=0.0.4";

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    scopes: HashSet<&'static str>,
    /// `metrics=a,b`: only these, where there are any.
    only: HashSet<String>,
    /// `metrics=-a`.
    never: HashSet<String>,
    /// `no-maint`: servers in maintenance are left out.
    hides_maint: bool,
}

const SCOPES: [&str; 6] = [
    "global",
    "frontend",
    "backend",
    "server",
    "listener",
    "sticktable",
];

/// A scope that there is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownScope;

impl Wanted {
    /// Reads a query. An unknown scope is an error, another unknown word is not, as in HAProxy.
    pub(super) fn parse(query: &str) -> Result<Self, UnknownScope> {
        let mut wanted = Self {
            scopes: HashSet::new(),
            only: HashSet::new(),
            never: HashSet::new(),
            hides_maint: false,
        };
        let mut names_scopes = false;
        for part in query.split('&') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("scope", scope) => {
                    names_scopes = true;
                    match scope {
                        "" => wanted.scopes.clear(),
                        "*" => wanted.scopes.extend(SCOPES),
                        scope => {
                            let known = SCOPES.iter().find(|known| **known == scope);
                            wanted.scopes.insert(known.ok_or(UnknownScope)?);
                        }
                    }
                }
                ("metrics", names) => {
                    for name in names.split(',').filter(|name| !name.is_empty()) {
                        match name.strip_prefix('-') {
                            Some(name) => wanted.never.insert(name.to_owned()),
                            None => wanted.only.insert(name.to_owned()),
                        };
                    }
                }
                ("no-maint", _) => wanted.hides_maint = true,
                _ => {}
            }
        }
        if !names_scopes {
            wanted.scopes.extend(SCOPES);
        }
        Ok(wanted)
    }

    /// Of `view` what is to be printed at all.
    pub(super) fn view(&self, mut view: View) -> View {
        if self.hides_maint {
            for backend in &mut view.proxy.backends {
                backend.servers.retain(|server| !server.status.is_maint());
            }
        }
        view
    }

    /// Of printed metrics those that are asked for.
    pub(super) fn filter(&self, text: String) -> String {
        let takes_all = self.scopes.len() == SCOPES.len();
        if takes_all && self.only.is_empty() && self.never.is_empty() {
            return text;
        }
        let mut filtered = String::with_capacity(text.len());
        // Samples follow their metric's two comment lines.
        let mut takes = false;
        for line in text.split_inclusive('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                takes = self.takes(rest.split(' ').next().unwrap_or(""));
            }
            if takes {
                filtered.push_str(line);
            }
        }
        filtered
    }

    fn takes(&self, name: &str) -> bool {
        let (_, rest) = name.split_once('_').unwrap_or(("", name));
        let scope = rest.split('_').next().unwrap_or("");
        let scope = SCOPES
            .iter()
            .find(|known| **known == scope)
            .unwrap_or(&"global");
        self.scopes.contains(scope)
            && (self.only.is_empty() || self.only.contains(name))
            && !self.never.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP haproxy_process_nbthread Threads\n# TYPE haproxy_process_nbthread \
                        gauge\nhaproxy_process_nbthread 2\n# HELP haproxy_frontend_status State\n\
                        # TYPE haproxy_frontend_status gauge\nhaproxy_frontend_status{} 1\n\
                        # HELP haproxy_server_status State\n# TYPE haproxy_server_status gauge\n\
                        haproxy_server_status{} 1\n# HELP evenkeel_session_seconds Times\n\
                        # TYPE evenkeel_session_seconds summary\nevenkeel_session_seconds_sum 1\n";

    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        let filtered = Wanted::parse(query).unwrap().filter(TEXT.to_owned());
        let names: Vec<&str> = filtered
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(filtered.lines().count(), 3 * names.len(), "{query}");
    }

    #[test]
    fn queries() {
        let [process, frontend, server, own] = [
            "haproxy_process_nbthread",
            "haproxy_frontend_status",
            "haproxy_server_status",
            "evenkeel_session_seconds",
        ];
        check("", &[process, frontend, server, own]);
        check("foo=1&extra-counters", &[process, frontend, server, own]);
        check("scope=*", &[process, frontend, server, own]);
        check("scope=frontend", &[frontend]);
        check("scope=frontend&scope=server", &[frontend, server]);
        check("scope=global", &[process, own]);
        check("scope=", &[]);
        check("scope=&scope=global", &[process, own]);
        check(
            "metrics=haproxy_process_nbthread,haproxy_server_status",
            &[process, server],
        );
        check("metrics=-haproxy_process_nbthread&scope=global", &[own]);
        assert_eq!(Wanted::parse("scope=foo"), Err(UnknownScope));
    }
}
