//! Rules as tables.

use super::table::{Table, one_or_list};
use crate::rules::{
    Acl, BackendChoice, Condition, Fetch, Polarity, TcpAction, TcpRule, is_predefined,
};
use crate::toml::{show_key, show_limit, show_text};
use crate::{Backend, Config, Frontend};

pub(super) fn set_frontend(table: &mut Table, frontend: &Frontend, config: &Config) {
    let rules = &frontend.rules;
    set_acls(table, rules.conditions());
    set_tcp(table, "connection", &rules.connection);
    set_tcp(table, "session", &rules.session);
    table.set_some(
        "inspect-delay",
        rules.inspect_delay.map(|delay| show_limit(Some(delay))),
    );
    set_tcp(table, "content", &rules.content);
    let used = rules.backends.iter().map(|rule| {
        let name = match &rule.backend {
            BackendChoice::Fixed(id) => &config.backend(*id).name,
            BackendChoice::Named(pattern) => &pattern.text,
        };
        with_condition("backend", show_text(name), rule.condition.as_ref())
    });
    set_list(table, "use", used.collect());
}

pub(super) fn set_backend(table: &mut Table, backend: &Backend) {
    let rules = &backend.rules;
    set_acls(table, rules.conditions());
    table.set_some(
        "inspect-delay",
        rules.inspect_delay.map(|delay| show_limit(Some(delay))),
    );
    set_tcp(table, "content", &rules.content);
    let used = rules.servers.iter().map(|rule| {
        let name = &backend.servers[rule.server].name;
        with_condition("server", show_text(name), Some(&rule.condition))
    });
    set_list(table, "use-server", used.collect());
}

fn set_tcp(table: &mut Table, key: &str, rules: &[TcpRule]) {
    let rules = rules.iter().map(|rule| {
        let action = match rule.action {
            TcpAction::Accept => "accept",
            TcpAction::Reject => "reject",
            TcpAction::SilentDrop => "silent-drop",
            TcpAction::ExpectProxy => "expect-proxy",
        };
        with_condition("do", show_text(action), rule.condition.as_ref())
    });
    set_list(table, key, rules.collect());
}

/// A list of tables, also of one.
fn set_list(table: &mut Table, key: &str, rules: Vec<String>) {
    if !rules.is_empty() {
        table.set(key, format!("[\n    {},\n]", rules.join(",\n    ")));
    }
}

fn with_condition(key: &str, value: String, condition: Option<&Condition>) -> String {
    let mut table = Table::new("");
    table.set(key, value);
    if let Some(condition) = condition {
        let (word, text) = match condition.polarity {
            Polarity::If => ("if", condition.to_string()),
            Polarity::Unless => ("unless", condition.to_string()),
        };
        let text = text.strip_prefix(word).unwrap_or(&text);
        table.set(word, show_text(text.trim_start()));
    }
    table.inline()
}

/// The acls that conditions name, those that others name before them.
fn set_acls<'a>(table: &mut Table, conditions: impl Iterator<Item = &'a Condition>) {
    let mut found: Vec<&Acl> = Vec::new();
    for term in conditions.flat_map(|condition| condition.any.iter().flatten()) {
        gather(&term.acl, &mut found);
    }
    for acl in found {
        let Some(name) = &acl.name else { continue };
        let tests = acl.tests.iter().map(|test| show_text(&test.text));
        table.set(
            &format!("acl.{}", show_key(name)),
            one_or_list(tests.collect()),
        );
    }
}

fn gather<'a>(acl: &'a Acl, found: &mut Vec<&'a Acl>) {
    for test in &acl.tests {
        if let Fetch::Acls(inner) = &test.fetch {
            inner.iter().for_each(|(_, acl)| gather(acl, found));
        }
    }
    if acl.name.is_some() && !is_predefined(acl) && !found.contains(&acl) {
        found.push(acl);
    }
}

#[cfg(test)]
mod tests {
    use crate::toml::tests::environment;
    use crate::{Source, convert, load};

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.into(),
        }
    }

    #[test]
    fn rules_of_haproxy_cfg_survive() {
        let text = "defaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server \
                    1s\ndefaults named from\nlisten l\n bind :1\n acl inside src 10.0.0.0/8\n acl \
                    inside src fd00::/8\n acl quoted hostname -m str 'a b' \\\"\n tcp-request \
                    inspect-delay 5s\n tcp-request connection reject if !inside\n tcp-request \
                    content accept if { req.ssl_hello_type 1 } or quoted\n use_backend b unless { \
                    acl(inside) } TRUE\n use_backend b_%[dst_port,mod(2)]\n use-server s if \
                    LOCALHOST\n server s 1.1.1.1:1\nbackend b\n server s 1.1.1.1:1\n"
            .replace("defaults named from\n", "");
        let before = [source("lb.cfg", &text)];
        let written = convert(&before, &environment()).unwrap();
        let after = load(&[source("lb.toml", &written)], &environment());
        let after = after.unwrap_or_else(|problems| panic!("{problems:#?}\n{written}"));
        let before = load(&before, &environment()).unwrap();
        let rules = |loaded: &crate::Loaded| {
            let config = &loaded.config;
            let fronts: Vec<_> = config.frontends.iter().map(|f| f.rules.clone()).collect();
            let backs: Vec<_> = config.backends.iter().map(|b| b.rules.clone()).collect();
            (fronts, backs)
        };
        assert_eq!(rules(&after), rules(&before), "{written}");
        assert!(written.contains("acl.inside = ["), "{written}");
    }
}
