//! Whether what a server answered is what a step expects: a pure function of the bytes received.

use evenkeel_config::check::{CheckStatus, Expect, Matcher, TextMatch};

use crate::answer::{Answer, End, Parsed, parse_answer};
use crate::outcome::readable;
use crate::services::{ldap_bind, mysql_handshake, mysql_ok};
use crate::values::{Values, number, to_hex};

/// What a step makes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// More has to come in.
    Wait,
    /// It is as expected.
    Pass(Finding),
    /// It is not.
    Fail(Finding),
}

/// What is found, for the verdict and the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) status: CheckStatus,
    pub(crate) code: u32,
    pub(crate) info: String,
}

/// What is known beside the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Whether the answers are HTTP's.
    pub(crate) is_http: bool,
    /// Whether they have bodies: the request was no HEAD.
    pub(crate) has_body: bool,
    /// Whether nothing more will come in.
    pub(crate) is_closed: bool,
    /// Whether no more is looked at, so that what came has to do.
    pub(crate) is_full: bool,
    /// Whether messages count steps.
    pub(crate) tells_steps: bool,
    /// Whether 404 sends new clients elsewhere.
    pub(crate) stops_on_404: bool,
    /// The step's number.
    pub(crate) number: u32,
}

/// Judges `values.received`.
pub(crate) fn judge(
    expect: &Expect,
    comment: &str,
    about: Circumstances,
    values: &Values<'_>,
) -> Judgement {
    let mut judgement = if about.is_http {
        judge_http(expect, about, values)
    } else {
        judge_bytes(expect, about, values)
    };
    if let Judgement::Fail(finding) = &mut judgement
        && !comment.is_empty()
    {
        finding.info.push_str(&format!(" comment: {comment}"));
    }
    judgement
}

fn judge_bytes(expect: &Expect, about: Circumstances, values: &Values<'_>) -> Judgement {
    let received = values.received;
    let about = Circumstances {
        is_closed: about.is_closed || about.is_full,
        ..about
    };
    if received.is_empty() && about.is_closed && (about.tells_steps || expect.tells_empty) {
        let info = format!("TCPCHK got an empty response at step {}", about.number);
        return Judgement::Fail(Finding {
            status: expect.error_status.unwrap_or(CheckStatus::L7Response),
            code: 0,
            info,
        });
    }
    match &expect.matcher {
        Matcher::LdapBind => return ldap_bind(received, about.is_closed),
        Matcher::MysqlHandshake => return mysql_handshake(received, about.is_closed),
        Matcher::MysqlOk => return mysql_ok(received, about.is_closed),
        _ => {}
    }
    if !about.is_closed && is_too_short(expect, received.len()) {
        return Judgement::Wait;
    }
    let (is_match, what) = match &expect.matcher {
        Matcher::Bytes { wanted, is_hex } => {
            let what = if *is_hex {
                "(binary)".to_owned()
            } else {
                format!("'{}'", readable(wanted))
            };
            (contains(received, wanted), what)
        }
        Matcher::Regex(pattern) => (pattern.regex.is_match(received), "(regex)".to_owned()),
        Matcher::HexRegex(pattern) => {
            let is_match = pattern.regex.is_match(&to_hex(received));
            (is_match, "(binary regex)".to_owned())
        }
        Matcher::Template(bytes) => {
            let kind = if bytes.is_hex { "binary" } else { "string" };
            let wanted = values.bytes(bytes);
            (contains(received, &wanted), format!("(log-format {kind})"))
        }
        // Only HTTP's rules have these.
        _ => (false, String::new()),
    };
    if !is_match && !about.is_closed && expect.min_recv.is_none() {
        return Judgement::Wait;
    }
    let code = |default: u32| {
        expect
            .status_code
            .as_ref()
            .map_or(default, |code| number(&values.value(code)))
    };
    if is_match != expect.is_negated {
        return Judgement::Pass(passed(expect, code(0), values, about));
    }
    let info = match &expect.on_error {
        Some(text) => readable(&values.text(text)),
        None if is_match => format!(
            "TCPCHK matched unwanted content {what} at step {}",
            about.number
        ),
        None => format!(
            "TCPCHK did not match content {what} at step {}",
            about.number
        ),
    };
    Judgement::Fail(Finding {
        status: expect.error_status.unwrap_or(CheckStatus::L7Response),
        code: code(0),
        info,
    })
}

fn passed(expect: &Expect, code: u32, values: &Values<'_>, about: Circumstances) -> Finding {
    let info = match &expect.on_success {
        Some(text) => readable(&values.text(text)),
        None if about.tells_steps => "(tcp-check)".to_owned(),
        None => String::new(),
    };
    Finding {
        status: expect.ok_status,
        code,
        info,
    }
}

/// Whether it is too early to look.
fn is_too_short(expect: &Expect, received: usize) -> bool {
    let shortest = match &expect.matcher {
        Matcher::Bytes { wanted, .. } => wanted.len(),
        _ => 1,
    };
    received < shortest.max(expect.min_recv.unwrap_or(0))
}

fn judge_http(expect: &Expect, about: Circumstances, values: &Values<'_>) -> Judgement {
    let answer = match parse_answer(values.received, about.has_body) {
        Parsed::Answer(answer) => answer,
        Parsed::Partial if about.is_closed => {
            return Judgement::Fail(Finding {
                status: CheckStatus::SocketError,
                code: 0,
                info: String::new(),
            });
        }
        // HAProxy waits for as long as it may, whatever else comes.
        Parsed::Partial | Parsed::Malformed => return Judgement::Wait,
    };
    let values = Values {
        answer: Some(&answer),
        ..*values
    };
    let code = expect
        .status_code
        .as_ref()
        .map_or(answer.status, |code| number(&values.value(code)));
    if answer.status == 404 && about.stops_on_404 {
        return Judgement::Pass(Finding {
            status: CheckStatus::L7OkConditional,
            code: answer.status,
            info: String::new(),
        });
    }
    let fail = |status: CheckStatus, usual: &[u8]| {
        let info = match &expect.on_error {
            Some(text) => readable(&values.text(text)),
            None => readable(usual),
        };
        Judgement::Fail(Finding {
            status: expect.error_status.unwrap_or(status),
            code,
            info,
        })
    };
    let on_head = match &expect.matcher {
        Matcher::Status(ranges) => {
            let mut ranges = ranges.iter();
            Some(ranges.any(|(first, last)| (first..=last).contains(&&answer.status)))
        }
        Matcher::StatusRegex(pattern) => {
            Some(pattern.regex.is_match(answer.status.to_string().as_bytes()))
        }
        Matcher::Header {
            name,
            value,
            is_whole,
        } => Some(has_header(
            &answer,
            name,
            value.as_ref(),
            *is_whole,
            &values,
        )),
        _ => None,
    };
    if let Some(is_match) = on_head {
        return if is_match == expect.is_negated {
            fail(CheckStatus::L7Status, answer.reason)
        } else {
            Judgement::Pass(passed(expect, code, &values, about))
        };
    }
    let is_whole = answer.end == End::Complete || about.is_closed || about.is_full;
    if !is_whole && is_too_short(expect, answer.body.len()) {
        return Judgement::Wait;
    }
    if answer.body.is_empty() {
        let nothing = b"HTTP content check could not find a response body";
        return fail(CheckStatus::L7Response, nothing);
    }
    let is_match = match &expect.matcher {
        Matcher::Bytes { wanted, .. } => contains(&answer.body, wanted),
        Matcher::Regex(pattern) => pattern.regex.is_match(&answer.body),
        Matcher::Template(bytes) => contains(&answer.body, &values.bytes(bytes)),
        // Only tcp-check's rules have these.
        _ => false,
    };
    if !is_match && !is_whole && expect.min_recv.is_none() {
        return Judgement::Wait;
    }
    if is_match != expect.is_negated {
        Judgement::Pass(passed(expect, code, &values, about))
    } else if is_match {
        fail(
            CheckStatus::L7Response,
            b"HTTP check matched unwanted content",
        )
    } else {
        fail(CheckStatus::L7Response, b"HTTP content check did not match")
    }
}

fn has_header(
    answer: &Answer<'_>,
    name: &TextMatch,
    value: Option<&TextMatch>,
    is_whole: bool,
    values: &Values<'_>,
) -> bool {
    answer
        .headers
        .iter()
        .filter(|(own, _)| is_text(name, own, true, values))
        .any(|(_, own)| match value {
            None => true,
            Some(value) if is_whole => is_text(value, own, false, values),
            Some(value) => own
                .split(|byte| *byte == b',')
                .any(|part| is_text(value, part.trim_ascii(), false, values)),
        })
}

fn is_text(wanted: &TextMatch, text: &[u8], ignores_case: bool, values: &Values<'_>) -> bool {
    let folded;
    let text = if ignores_case {
        folded = text.to_ascii_lowercase();
        &folded
    } else {
        text
    };
    let evaluated = |template| {
        let text = values.text(template);
        if ignores_case {
            text.to_ascii_lowercase()
        } else {
            text
        }
    };
    match wanted {
        TextMatch::Exact(template) => text == evaluated(template),
        TextMatch::Begin(template) => text.starts_with(&evaluated(template)),
        TextMatch::End(template) => text.ends_with(&evaluated(template)),
        TextMatch::Contains(template) => contains(text, &evaluated(template)),
        TextMatch::Regex(pattern) => pattern.regex.is_match(text),
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use evenkeel_config::check::Pattern;

    use super::*;

    #[test]
    fn names_of_headers_are_in_lower_case_for_patterns_too() {
        let values = Values {
            backend: "be",
            server: "s",
            node: "n",
            variables: None,
            received: &[],
            answer: None,
        };
        let check = |pattern: &str, ignores_case, expected| {
            let wanted = TextMatch::Regex(Pattern::new(pattern).unwrap());
            let found = is_text(&wanted, b"X-State", ignores_case, &values);
            assert_eq!(found, expected, "{pattern}");
        };
        check("^x-st", true, true);
        check("^X-St", true, false);
        check("^X-St", false, true);
    }
}
