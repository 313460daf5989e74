//! What a proxy section says about the checks of its servers: which kind, and the rules of
//! `tcp-check` and `http-check`.

use super::section::{CheckRules, Proxy};
use super::{Line, Reader};
use crate::check::{self, CheckDraft, CheckKind, RuleDraft};
use crate::draft::Spanned;

/// `option tcp-check`, `option httpchk` and the like: the last one counts.
pub(super) fn option(reader: &mut Reader<'_>, line: &Line<'_>) {
    let kind = match line.name {
        "option tcp-check" => CheckKind::TcpCheck,
        "option httpchk" => CheckKind::Http,
        "option ssl-hello-chk" => CheckKind::SslHello,
        "option smtpchk" => CheckKind::Smtp,
        "option mysql-check" => CheckKind::Mysql,
        "option pgsql-check" => CheckKind::Pgsql,
        "option redis-check" => CheckKind::Redis,
        _ => CheckKind::Ldap,
    };
    if kind == CheckKind::TcpCheck {
        reader.no_more(line, 0);
    }
    let arguments = line
        .args()
        .iter()
        .map(|word| line.spanned(word, word.text.clone()))
        .collect();
    let check = line.spanned(&line.words[0], CheckDraft { kind, arguments });
    let proxy = reader.proxy();
    // A section that chooses a kind begins its rules anew.
    match kind {
        CheckKind::TcpCheck => forget_inherited(&mut proxy.tcp_checks),
        CheckKind::Http => forget_inherited(&mut proxy.http_checks),
        _ => {}
    }
    proxy.check = Some(check);
}

fn forget_inherited(rules: &mut CheckRules) {
    if rules.is_inherited {
        *rules = CheckRules::default();
    }
}

/// A rule of `tcp-check` or `http-check`.
pub(super) fn rule(reader: &mut Reader<'_>, line: &Line<'_>) {
    let is_http = line.name.starts_with("http-check");
    let kind = if is_http {
        CheckKind::Http
    } else {
        CheckKind::TcpCheck
    };
    let words: Vec<&str> = line.words[1..]
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    let rule = match check::rule(kind, &words) {
        Ok(rule) => rule,
        Err(mistake) => {
            let word = &line.words[(mistake.word + 1).min(line.words.len() - 1)];
            let message = format!("'{}': {}", line.name, mistake.message);
            return reader.error(line.place(word), message);
        }
    };
    let rules = rules_of(reader.proxy(), is_http);
    forget_inherited(rules);
    rules.place.get_or_insert_with(|| line.here());
    match rule.draft {
        RuleDraft::DisableOn404 => rules.rules.disable_on_404 = true,
        RuleDraft::SendState => rules.rules.send_state = true,
        _ => rules.rules.steps.push(Spanned::new(rule, line.here())),
    }
}

fn rules_of(proxy: &mut Proxy, is_http: bool) -> &mut CheckRules {
    if is_http {
        &mut proxy.http_checks
    } else {
        &mut proxy.tcp_checks
    }
}
