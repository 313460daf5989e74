//! Lines of an operator's own, field by field, flag by flag; when they are written and at which level.

use std::collections::BTreeSet;

use crate::compare::same;
use crate::support::{Lab, Peer};

/// The line of one session, with what differs by itself (dates, ports, process ids, times of some
/// milliseconds) left out by the format already.
fn line(lab: &Lab, body: &str) -> (u8, String) {
    let origin = lab.serving(|mut peer: Peer| {
        peer.receive_exactly(5);
        peer.send("world!");
    });
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
frontend fe
    bind {front} name in
    {body}
    default_backend be
backend be
    server s1 {server}
",
        preamble = lab.preamble(),
        server = origin.address(),
    ));
    let mut peer = Peer::connect(front);
    peer.send("hello");
    peer.receive_exactly(6);
    peer.close();
    let message = lab.syslog.containing("LINE");
    (message.level, message.text)
}

#[test]
fn every_field_that_is_the_same_each_time() {
    let fields = "%B|%ID|%U|%Th|%Ti|%Tq|%TR|%Tr|%ST|%CC|%CS|%HM|%HP|%HPO|%HQ|%HU|%HV|%hr|%hrl|%hs|\
        %hsl|%r|%b|%f|%ft|%s|%sslc|%sslv|%ts|%tsc|%rc|%sq|%bq|%lc|%rt|%%";
    let fields: String = fields.split_whitespace().collect();
    for flags in ["", "%{+Q}o", "%{+X}o", "%{+E}o", "%{+Q,+X,+E}o"] {
        let body = format!("log-format \"LINE {flags} {fields}\"");
        let seen = same(&body, |lab| line(lab, &body));
        if let Some((_, text)) = seen {
            assert!(text.contains("be"), "{text}");
        }
    }
}

#[test]
fn flags_of_one_item_samples_and_names() {
    for format in [
        "LINE %{+Q}b|%s|%{+Q}[fe_name]|%(name)b",
        "LINE %[src,ipmask(8)]|%[str(a#b)]|%[int(7)]|%[bool(true)]|%[be_name,upper]",
        "%{+json}o %(line)[str(LINE)] %(be)b %(rc)rc %(id)ID %(B)B %(n)[int(-4)]",
        "LINE  two   spaces %b  %s",
    ] {
        let body = format!("log-format \"{}\"", format);
        let seen = same(&body, |lab| line(lab, &body));
        assert!(seen.is_none_or(|(_, text)| text.contains("be") || text.contains("BE")));
    }
}

#[test]
fn which_sessions_are_logged_and_how_severely() {
    /// The levels and texts of three sessions: one that goes well, one that finds no server, and one
    /// of each again.
    fn lines(lab: &Lab, body: &str) -> BTreeSet<(u8, String)> {
        let origin = lab.serving(|mut peer: Peer| {
            peer.receive_exactly(5);
            peer.send("world!");
        });
        let (good, bad) = (lab.address(), lab.address());
        let _lb = lab.start(&format!(
            "{preamble}
frontend good
    bind {good}
    {body}
    log-format \"LINE %f %b %s %ts\"
    default_backend be
frontend bad
    bind {bad}
    {body}
    log-format \"LINE %f %b %s %ts\"
    default_backend none
backend be
    server s1 {server}
backend none
    server s1 {server} disabled
",
            preamble = lab.preamble(),
            server = origin.address(),
        ));
        for _ in 0..2 {
            let mut peer = Peer::connect(good);
            peer.send("hello");
            peer.receive_exactly(6);
            peer.close();
            Peer::connect(bad).close();
        }
        lab.syslog.containing("LINE bad");
        if !body.contains("dontlog-normal") {
            lab.syslog.containing("LINE good");
        }
        let messages = lab.syslog.all();
        let lines = messages.iter().filter(|m| m.text.contains("LINE"));
        lines.map(|m| (m.level, m.text.clone())).collect()
    }
    for body in ["", "option dontlog-normal", "option log-separate-errors"] {
        let seen = same(body, |lab| lines(lab, body));
        if let Some(lines) = seen {
            let expected = if body.contains("dontlog") { 1 } else { 2 };
            assert_eq!(lines.len(), expected, "{body}: {lines:?}");
        }
    }
}
