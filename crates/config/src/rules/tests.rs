//! Words in, conditions or problems out, and what conditions say of made-up facts.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::acl::Acls;
use super::*;
use crate::draft::Spanned;
use crate::{Config, Place, Problem, Source, load};

/// Two backends and a frontend to name in conditions.
fn config() -> Config {
    let text = "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n \
                bind :1\n default_backend x\nbackend x\n server s 1.1.1.1:1\nbackend y\n server t \
                1.1.1.1:1\n";
    let source = Source {
        name: "lb.cfg".into(),
        text: text.into(),
    };
    load(&[source], &ENVIRONMENT).unwrap().config
}

const ENVIRONMENT: Environment<'static> = Environment {
    variable: &|name| (name == "HOME").then(|| "/root".to_owned()),
    lookup: &|name| match name {
        "cp1.local" => Ok(vec!["10.0.1.11".parse().unwrap()]),
        _ => Err(std::io::Error::other("no such name")),
    },
    read: &|path| match path.to_str() {
        Some("good.lst") => Ok(b"# none\n\n  10.0.0.0/8\n192.168.0.0/16\r\n".to_vec()),
        Some("bad.lst") => Ok(b"10.0.0.0/8\n10.0.0.0/99\n".to_vec()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    },
    hostname: "lb1",
    allow_unresolved_servers: false,
};

/// The words of a line, each with its column.
fn words(line: u32, text: &str) -> Vec<Spanned<String>> {
    crate::haproxy::words(text)
        .unwrap()
        .into_iter()
        .map(|(text, column)| {
            let place = Place {
                file: Arc::from("lb.cfg"),
                line,
                column,
            };
            Spanned::new(text, place)
        })
        .collect()
}

/// Reads `acls`, each `NAME EXPRESSION` in a line from 1 on, and then `condition` in the next one.
fn read(at: Checkpoint, acls: &[&str], condition: &str) -> (Option<Condition>, Vec<Problem>) {
    let config = config();
    let context = Context {
        userlists: &[],
        environment: &ENVIRONMENT,
        frontends: &config.frontends,
        backends: &config.backends,
        proxy: "f",
        frontend: Some(FrontendId(0)),
        backend: None,
        acls: &[],
    };
    let section = Place::whole_file("lb.cfg");
    let mut line = 0;
    let drafts: Vec<AclDraft> = acls
        .iter()
        .map(|acl| {
            line += 1;
            let mut words = words(line, acl);
            AclDraft {
                name: words.remove(0),
                words,
                section: section.clone(),
                has_order: true,
            }
        })
        .collect();
    let mut problems = Vec::new();
    let acls = Acls::read(&drafts, &context, &mut problems);
    let draft = ConditionDraft {
        words: words(line + 1, condition),
        section,
    };
    let condition = acls.condition(&draft, at, &context, &mut problems);
    (condition, problems)
}

#[track_caller]
fn check_said(at: Checkpoint, acls: &[&str], condition: &str, expected: &[&str]) {
    let (_, problems) = read(at, acls, condition);
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, expected, "{condition}");
}

#[track_caller]
fn check_wrong(condition: &str, expected: &str) {
    check_said(
        Checkpoint::UseBackend,
        &["a src 10.0.0.0/8"],
        condition,
        &[expected],
    );
}

/// What is known of a made-up connection, and what was asked.
struct Known {
    source: IpAddr,
    port: i64,
    asked: RefCell<usize>,
}

impl Facts for Known {
    fn find<'f>(&'f self, fetch: &'f Fetch) -> Found<'f> {
        *self.asked.borrow_mut() += 1;
        match fetch {
            Fetch::Address(End::Source, _) => Found::final_value(Sample::Ip(self.source)),
            Fetch::Port(End::Destination, _) => Found::final_value(Sample::Int(self.port)),
            Fetch::Content(Content::WaitEnd) => Found::not_yet(),
            Fetch::Content(Content::Alpn) => Found {
                others: vec![Sample::text("http/1.1")],
                ..Found::final_value(Sample::text("h2"))
            },
            _ => Found::final_value(None),
        }
    }
}

/// What a condition says of a client 10.1.2.3 on port 6443, and how many facts that took.
fn judge(acls: &[&str], condition: &str) -> (Outcome, usize) {
    let (found, problems) = read(Checkpoint::UseBackend, acls, condition);
    let Some(found) = found else {
        panic!("{condition}: {problems:?}");
    };
    let known = Known {
        source: "10.1.2.3".parse().unwrap(),
        port: 6443,
        asked: RefCell::default(),
    };
    let outcome = found.judge(&known);
    (outcome, known.asked.into_inner())
}

#[track_caller]
fn check(condition: &str, expected: Outcome) {
    let acls = [
        "ten src 10.0.0.0/8",
        "other src 192.168.0.0/16",
        "either src 192.168.0.0/16",
        "either src 10.0.0.0/8",
    ];
    let (outcome, _) = judge(&acls, condition);
    assert_eq!(outcome, expected, "{condition}");
}

#[test]
fn conditions_hold_or_not() {
    use Outcome::{Fail, Miss, Pass};
    check("if ten", Pass);
    check("if other", Fail);
    check("if !other", Pass);
    check("if ! other", Pass);
    check("if !!ten", Pass);
    check("unless ten", Fail);
    check("unless other", Pass);
    check("if either", Pass);
    check("if !either", Fail);
    check("if ten other", Fail);
    check("if other or ten", Pass);
    check("if other || other", Fail);
    check("if ten other or ten", Pass);
    check("if ten { dst_port 6443 }", Pass);
    check("if ten !{ dst_port 6443 }", Fail);
    check("if { dst_port gt 6000 } { dst_port lt 7000 }", Pass);
    check("if { dst_port 1:1024 6443 }", Pass);
    check("if { dst_port,mod(2) 1 }", Pass);
    check("if { dst_port,sub(6443) -m bool }", Fail);
    check("if { src,ipmask(16) 10.1.0.0 }", Pass);
    check("if { src -m beg 10.1. }", Pass);
    check("if { src -m reg ^10\\\\. }", Pass);
    check("if { src cp1.local }", Fail);
    check("if { src_port -m found }", Fail);
    check("if !{ src_port -m found }", Pass);
    check("if { acl(ten,!other) }", Pass);
    check("if { acl(ten,other) }", Fail);
    check("if { env(HOME) /root }", Pass);
    check("if { env(NOPE) -m found }", Fail);
    check("if { hostname -m end 1 }", Pass);
    check("if { int(5),add(2) 7 }", Pass);
    check("if { bool(true) }", Pass);
    check("if { str(Api) -i api }", Pass);
    check("if { ipv4(127.9.9.9) 127.0.0.0/8 }", Pass);
    check("if { ssl_fc }", Fail);
    check("if TRUE", Pass);
    check("if FALSE", Fail);
    check("if LOCALHOST", Fail);
    check("if WAIT_END", Miss);
    check("if !WAIT_END", Miss);
    check("if ten WAIT_END", Miss);
    check("if other WAIT_END", Fail);
    check("if ten or WAIT_END", Pass);
    check("if WAIT_END or ten", Pass);
    check("if other or WAIT_END", Miss);
    check("unless WAIT_END", Miss);
}

#[test]
fn no_more_is_asked_than_decides() {
    let acls = ["ten src 10.0.0.0/8", "other src 11.0.0.0/8"];
    assert_eq!(judge(&acls, "if ten or other").1, 1);
    assert_eq!(judge(&acls, "if other ten").1, 1);
    assert_eq!(judge(&acls, "if TRUE").1, 0);
}

#[test]
fn one_of_several_samples_is_enough() {
    check("if { req.ssl_alpn h2 }", Outcome::Pass);
    check("if { req.ssl_alpn http/1.1 }", Outcome::Pass);
    check("if { req.ssl_alpn,length 8 }", Outcome::Pass);
    check("if !{ req.ssl_alpn http/1.1 }", Outcome::Fail);
    check("if { req.ssl_alpn h2,http/1.1 }", Outcome::Fail);
}

#[test]
fn an_own_acl_hides_a_predefined_one() {
    let (outcome, _) = judge(&["TRUE src 11.0.0.0/8"], "if TRUE");
    assert_eq!(outcome, Outcome::Fail);
}

#[test]
fn conditions_are_written_as_they_were_read() {
    for text in [
        "if a",
        "unless a !{ dst_port gt 80 } or { src 10.0.0.0/8 1.2.3.4 }",
        "if { hostname -m str 'a b' } or !a",
        "if { str(x) -m reg '^a\\.b$' }",
    ] {
        let (condition, problems) = read(Checkpoint::UseBackend, &["a src 10.0.0.0/8"], text);
        assert_eq!(condition.unwrap().to_string(), text, "{problems:?}");
    }
}

#[test]
fn mistakes_in_conditions_are_pointed_at() {
    for (condition, expected) in [
        (
            "when a",
            "lb.cfg:2:1: unexpected word 'when'; only 'if' or 'unless' and a condition can stand here",
        ),
        ("if nope", "lb.cfg:2:4: no such acl: 'nope'"),
        (
            "if a and a",
            "lb.cfg:2:6: no such acl: 'and'; conditions that stand side by side are all needed, so leave it out",
        ),
        (
            "if TRU",
            "lb.cfg:2:4: no such acl: 'TRU'; did you mean 'TRUE'?",
        ),
        (
            "if { src 1.2.3.4",
            "lb.cfg:2:4: missing closing '}' in condition",
        ),
        ("if { }", "lb.cfg:2:4: missing fetch method"),
        (
            "if {src 1.2.3.4}",
            "lb.cfg:2:4: no such acl: '{src'; a brace needs a space on either side, as in { src 10.0.0.0/8 }",
        ),
        (
            "if { sr 1.2.3.4 }",
            "lb.cfg:2:6: unknown fetch method 'sr'; did you mean 'src'?",
        ),
        (
            "if { src 1.2.3.0/33 }",
            "lb.cfg:2:10: '1.2.3.0/33' is not a valid IPv4 or IPv6 address, and no name that resolves to one",
        ),
        (
            "if { src -n cp1.local }",
            "lb.cfg:2:13: 'cp1.local' is not a valid IPv4 or IPv6 address",
        ),
        (
            "if { src gone.local }",
            "lb.cfg:2:10: 'gone.local' is not a valid IPv4 or IPv6 address, and no name that resolves to one",
        ),
        ("if { dst_port abc }", "lb.cfg:2:15: 'abc' is not a number"),
        (
            "if { dst_port -5 }",
            "lb.cfg:2:15: '-5' is not a valid acl option; write '--' before a pattern that begins with '-'",
        ),
        (
            "if { dst_port -m nope 1 }",
            "lb.cfg:2:18: unknown matching method 'nope'",
        ),
        (
            "if { dst_port -m }",
            "lb.cfg:2:15: '-m' needs a value after it",
        ),
        (
            "if { src -m int 1 }",
            "lb.cfg:2:13: matching method 'int' cannot be used with 'src'",
        ),
        (
            "if { req.payload(0,2) 1603 }",
            "lb.cfg:2:23: 'req.payload' needs a matching method, such as '-m bin', '-m str' or '-m found'",
        ),
        (
            "if { src -f no.lst }",
            "lb.cfg:2:13: failed to open pattern file 'no.lst': entity not found",
        ),
        (
            "if { src -M -f x }",
            "lb.cfg:2:10: '-M' is not supported: maps are not; list the keys alone, and leave '-M' out",
        ),
        (
            "if { nbsrv lt 1 }",
            "lb.cfg:2:6: 'nbsrv' needs the name of a backend: 'f' is none",
        ),
        (
            "if { nbsrv(z) lt 1 }",
            "lb.cfg:2:6: 'nbsrv': there is no backend 'z'",
        ),
        (
            "if { nbsrv(x,y) lt 1 }",
            "lb.cfg:2:6: 'nbsrv' takes no more than 1 argument, but got 'y' as well",
        ),
        (
            "if { srv_is_up(x/t) }",
            "lb.cfg:2:6: 'srv_is_up': there is no server 't' in backend 'x'",
        ),
        (
            "if { srv_is_up(s) }",
            "lb.cfg:2:6: 'srv_is_up' needs a backend before 's', as in srv_is_up(BACKEND/s): 'f' is none",
        ),
        (
            "if { fe_conn(x) gt 1 }",
            "lb.cfg:2:6: 'fe_conn': there is no frontend 'x'",
        ),
        (
            "if { src,add(1) 1 }",
            "lb.cfg:2:6: 'add' cannot be applied in 'src,add(1)'",
        ),
        (
            "if { src,ipmsk(1) 1 }",
            "lb.cfg:2:6: unknown converter 'ipmsk'; did you mean 'ipmask'?",
        ),
        (
            "if { date(5,zz) gt 1 }",
            "lb.cfg:2:6: 'date' counts in s, ms or us, not in 'zz'",
        ),
        (
            "if { acl(nope) }",
            "lb.cfg:2:6: acl: there is no acl 'nope'",
        ),
        (
            "if { path /x }",
            "lb.cfg:2:6: 'path' is not supported here: it needs HTTP, which is not read in mode tcp",
        ),
        (
            "if METH_GET",
            "lb.cfg:2:4: acl 'METH_GET': 'method' is not supported here: it needs HTTP, which is not read in mode tcp",
        ),
        (
            "if { src_conn_rate gt 9 }",
            "lb.cfg:2:6: 'src_conn_rate' is not supported: it reads a stick table, and none are kept",
        ),
        (
            "if { src,map(/x) 1 }",
            "lb.cfg:2:6: 'src,map(/x)' is not supported: maps are not supported; write one rule for each value",
        ),
        (
            "if",
            "lb.cfg:2:1: warning: there is no condition behind 'if', so it never holds",
        ),
        ("if a !", "lb.cfg:2:6: warning: there is nothing behind '!'"),
        (
            "if or a",
            "lb.cfg:2:4: warning: there is no condition before 'or'",
        ),
        (
            "if a or",
            "lb.cfg:2:6: warning: there is no condition behind 'or'",
        ),
        (
            "if { be_name x }",
            "lb.cfg:2:6: warning: anonymous acl will never match because it uses keyword 'be_name' which is incompatible with 'frontend use-backend rule'",
        ),
    ] {
        check_wrong(condition, expected);
    }
}

#[test]
fn what_comes_too_early_never_matches() {
    let at = Checkpoint::Connection;
    let rule = "'frontend tcp-request connection rule'";
    check_said(
        at,
        &[],
        "if { path /x }",
        &[&format!(
            "lb.cfg:1:6: warning: anonymous acl will never match in 'tcp-request connection' because it uses keyword 'path' which is incompatible with {rule}"
        )],
    );
    check_said(
        at,
        &[],
        "if METH_GET",
        &[&format!(
            "lb.cfg:1:4: warning: acl 'METH_GET' will never match in 'tcp-request connection' because it only involves keywords that are incompatible with {rule}"
        )],
    );
    check_said(
        at,
        &["m src 1.1.1.1", "m path /a"],
        "if m",
        &[&format!(
            "lb.cfg:3:4: warning: acl 'm' involves keyword 'path' which is incompatible with {rule}"
        )],
    );
}

#[test]
fn mistakes_in_acls_are_pointed_at() {
    let at = Checkpoint::UseBackend;
    check_said(
        at,
        &["b"],
        "if b",
        &["lb.cfg:1:1: acl 'b': missing fetch method"],
    );
    check_said(
        at,
        &["b sr 1"],
        "if b",
        &["lb.cfg:1:3: acl 'b': unknown fetch method 'sr'; did you mean 'src'?"],
    );
    check_said(
        at,
        &["b src"],
        "if b",
        &[
            "lb.cfg:1:3: warning: 'src' has nothing to be matched with, so it never matches; write values after it, '-m found' for whether there is one, or '--' if it is meant so",
        ],
    );
    check_said(at, &["b src --"], "if b", &[]);
}

#[test]
fn patterns_come_from_files_too() {
    assert_eq!(judge(&["list src -f good.lst"], "if list").0, Outcome::Pass);
    check_said(
        Checkpoint::UseBackend,
        &["list src -n -f bad.lst"],
        "if list",
        &["lb.cfg:1:16: acl 'list': bad.lst:2: '10.0.0.0/99' is not a valid IPv4 or IPv6 address"],
    );
}

fn any_word() -> impl Strategy<Value = String> {
    let known = [
        "if",
        "unless",
        "or",
        "||",
        "!",
        "{",
        "}",
        "a",
        "!a",
        "TRUE",
        "src",
        "dst_port",
        "-m",
        "-i",
        "-f",
        "-n",
        "--",
        "str",
        "reg",
        "int",
        "bin",
        "gt",
        "lt",
        "1",
        "1:2",
        "10.0.0.0/8",
        "nbsrv(x)",
        "srv_is_up(x/s)",
        "src,ipmask(8)",
        "rand(5)",
        "date(1,ms)",
        "acl(a)",
        "req.payload(0,1)",
        "hdr(a)",
        "path_beg",
        "/",
        "(",
        "[a-z",
        "str(a),field(9,b)",
    ]
    .map(str::to_owned);
    prop_oneof![4 => proptest::sample::select(known.to_vec()), 1 => "[!-~]{1,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the words say: no panic, and what reads, reads again from what it is written as.
    #[test]
    fn any_words_are_judged(list in proptest::collection::vec(any_word(), 0..10)) {
        let text = format!("if {}", list.join(" "));
        prop_assume!(crate::haproxy::words(&text).is_ok());
        let (found, problems) = read(Checkpoint::UseBackend, &["a src 1.1.1.1"], &text);
        prop_assert!(found.is_some() || !problems.is_empty());
        if let Some(found) = found {
            let again = read(Checkpoint::UseBackend, &["a src 1.1.1.1"], &found.to_string());
            prop_assert_eq!(again.0.as_ref(), Some(&found), "{}", found);
        }
    }
}

/// Arguments that a fetch needs.
fn called(name: &str) -> String {
    let arguments = match name {
        "srv_name" | "srv_id" => return name.to_owned(),
        name if name.starts_with("srv_") => "x/s",
        "be_conn" | "be_conn_free" | "be_sess_rate" | "nbsrv" | "connslots" | "queue"
        | "avg_queue" => "x",
        "env" => "HOME",
        "int" => "1",
        "str" => "a",
        "bool" => "true",
        "ipv4" => "1.2.3.4",
        "ipv6" => "::1",
        "acl" => "TRUE",
        "req.payload" => "0,1",
        name if name.contains("hdr") || name.contains("cook") || name.starts_with("url") => "a",
        _ => return name.to_owned(),
    };
    match name {
        "url" => name.to_owned(),
        name => format!("{name}({arguments})"),
    }
}

/// What becomes of each fetch at each checkpoint: whoever judges there evaluates it, or the file is
/// refused, or warned of as HAProxy warns of it.
#[test]
fn no_fetch_is_silently_without_a_sample() {
    use Checkpoint::*;
    let everywhere = [
        Connection,
        Session,
        Content,
        UseBackend,
        BackendContent,
        UseServer,
        Response,
        HttpRequest,
        ListenHttpRequest,
        BackendHttpRequest,
    ];
    let names: Vec<&str> = super::fetch::names()
        .chain(super::content::names())
        .collect();
    assert!(names.len() > 80, "{names:?}");
    for name in names {
        for at in everywhere {
            let (condition, problems) =
                read(at, &[], &format!("if {{ {} -m found }}", called(name)));
            let Some(condition) = condition else {
                let said = problems[0].to_string();
                assert!(
                    said.contains("is not supported"),
                    "{name} at {at:?}: {said}"
                );
                continue;
            };
            let is_warned = problems
                .iter()
                .any(|problem| problem.to_string().contains("will never match"));
            let finds = |test: &Test| match &test.fetch {
                Fetch::Http(_) => at.reads_http(),
                Fetch::Content(content) => !at.reads_http() || *content == super::Content::WaitEnd,
                Fetch::Unsupported(..) => false,
                Fetch::Backend(_, None) => !matches!(at, HttpRequest | Content | UseBackend),
                _ => true,
            };
            assert!(
                is_warned || condition.tests().all(finds),
                "{name} at {at:?} loads and finds nothing: {problems:?}"
            );
        }
    }
}
