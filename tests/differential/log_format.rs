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
        "LINE %[acl(here)] %[acl(!here,TRUE)] %[src,ipmask(8)]|%[str(a#b)]|%[int(7)]|%[bool(true)]|%[be_name,upper]",
        "%{+json}o %(line)[str(LINE)] %(be)b %(rc)rc %(id)ID %(B)B %(n)[int(-4)]",
        "LINE  two   spaces %b  %s",
    ] {
        let body = format!("acl here src 127.0.0.0/8\n    log-format \"{format}\"");
        let seen = same(&body, |lab| line(lab, &body));
        assert!(seen.is_none_or(|(_, text)| text.contains("be") || text.contains("BE")));
    }
}

/// The line of a session that the client ends first, addresses by what is there, so that they are
/// the same in every lab. `header` comes before the client's own bytes.
fn addresses(lab: &Lab, bind: &str, server: &str, header: &str, format: &str) -> String {
    let origin = lab.serving(|mut peer: Peer| {
        peer.receive_exactly(5);
        peer.send("world!");
        peer.receive_to_end();
    });
    let (front, nobody) = (lab.address(), lab.address());
    let server = server
        .replace("ORIGIN", &origin.address().to_string())
        .replace("NOBODY", &nobody.to_string());
    let _lb = lab.start(&format!(
        "{preamble}
    retries 0
frontend fe
    bind {front} {bind}
    log-format \"LINE {format} %ts\"
    default_backend be
backend be
    server s1 {server}
",
        preamble = lab.preamble(),
    ));
    let mut peer = Peer::connect(front);
    peer.send(format!("{header}hello"));
    if server.contains(&origin.address().to_string()) && !server.contains("disabled") {
        peer.receive_exactly(6);
        peer.close();
    } else {
        peer.receive_to_end();
    }
    let line = lab.syslog.containing("LINE").text;
    [
        (front, "FRONT"),
        (origin.address(), "ORIGIN"),
        (nobody, "NOBODY"),
    ]
    .iter()
    .fold(line, |line, (address, name)| {
        let port = format!(":{}", address.port());
        line.replace(&address.ip().to_string(), "IP")
            .replace(&port, &format!(":{name}"))
    })
}

#[test]
fn where_the_server_is_also_once_the_client_has_left_first_or_the_connect_failed() {
    let format = "%si:%sp %[srv_name] %[srv_id] %[bc_dst]:%[bc_dst_port] %s";
    for (server, expected) in [
        ("ORIGIN id 7", "IP:ORIGIN s1 7 IP:ORIGIN s1 --"),
        ("NOBODY", "IP:NOBODY s1 1 IP:NOBODY s1 SC"),
        ("ORIGIN disabled", "-:- - - -:- <NOSRV> SC"),
    ] {
        let seen = same(server, |lab| addresses(lab, "", server, "", format));
        if let Some(line) = seen {
            assert!(line.ends_with(expected), "{line}");
        }
    }
    let from = "%bi %[bc_src]";
    let seen = same(from, |lab| addresses(lab, "", "ORIGIN", "", from));
    assert!(seen.is_none_or(|line| line.contains("LINE 127.0.0.1 127.0.0.1")));
}

#[test]
fn what_a_client_said_of_itself_is_in_the_line_of_its_end() {
    let header = "PROXY TCP4 192.0.2.7 198.51.100.9 4321 6443\r\n";
    let format = "%ci:%cp %fi:%fp %[src] %[dst]:%[dst_port] %[fc_src] %[fc_dst]:%[fc_dst_port] \
        %[fc_rcvd_proxy]";
    let said = "192.0.2.7:4321 198.51.100.9:6443 192.0.2.7 198.51.100.9:6443 127.0.0.1 IP:FRONT 1";
    for (server, end) in [("ORIGIN", "--"), ("NOBODY", "SC")] {
        let seen = same(server, |lab| {
            addresses(lab, "accept-proxy", server, header, format)
        });
        if let Some(line) = seen {
            assert!(line.ends_with(&format!("{said} {end}")), "{line}");
        }
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
