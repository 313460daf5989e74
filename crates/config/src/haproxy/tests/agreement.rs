//! The table of keywords against HAProxy's, verdicts against HAProxy's, and any text at all.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::keywords::{self, BIND_OPTIONS, KEYWORDS, SERVER_OPTIONS};
use super::{TIMEOUTS, lines, load_all, load_text};
use crate::*;

/// The table itself: no keyword twice, every option that works has its arm.
#[test]
fn every_keyword_has_one_verdict() {
    let mut seen = std::collections::HashSet::new();
    for row in KEYWORDS {
        for name in row.names {
            let global = row.scope == keywords::Scope::Global;
            assert!(
                seen.insert((global, *name)),
                "{name} stands in the table twice"
            );
        }
    }
    for (kind, table) in [
        ("bind :2", BIND_OPTIONS),
        ("server s 1.1.1.1:1", SERVER_OPTIONS),
    ] {
        let mut seen = std::collections::HashSet::new();
        for name in table.iter().flat_map(|row| row.names) {
            assert!(seen.insert(*name), "{name} stands in the table twice");
            let _ = load_text(&format!("{TIMEOUTS}listen f\n bind :1\n {kind} {name} 1\n"));
        }
    }
}

#[test]
fn docs_keywords_md_is_what_the_table_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/keywords.md");
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(path, keywords_markdown()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == keywords_markdown(),
        "docs/keywords.md is not what the table prints; print it anew with: evenkeel keywords"
    );
}

#[test]
fn the_sample_files_load() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cfg") {
            found += 1;
            let text = std::fs::read(&path).unwrap();
            if let Err(problems) = load_anywhere(path.to_str().unwrap(), &text) {
                panic!("{}", lines(&problems));
            }
        }
    }
    assert!(found >= 3, "{found} sample files in {directory}");
}

/// A directory of files to compare with, beside the project; `None` where it is not.
fn shared(name: &str) -> Option<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .map(|up| up.join("shared").join(name))
        .find(|d| d.is_dir());
    if found.is_none() {
        println!("skipped: no shared/{name} beside the project");
    }
    found
}

/// Files of the field that HAProxy loads and that are refused here, and why.
const REFUSED: [(&str, &str); 7] = [
    (
        "009",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
    ("028", "an ingress in mode http"),
    (
        "090",
        "HAProxy 3.0 refuses the ';' behind a port, too; the table was made with an older one",
    ),
    ("104", "the API itself in mode http"),
    ("105", "etcd and rancher in mode http"),
    (
        "155",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
    (
        "f_modemix.cfg",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
];

fn refused(file: &str) -> bool {
    REFUSED.iter().any(|(start, _)| file.starts_with(start))
}

fn load_anywhere(name: &str, text: &[u8]) -> Result<Loaded, Vec<Problem>> {
    let somewhere = |_: &str| Ok(vec!["192.0.2.1".parse().unwrap()]);
    let source = Source {
        name: name.to_owned(),
        text: text.to_vec(),
    };
    load(
        &[source],
        &Environment {
            variable: &|_| Some("192.0.2.2".to_owned()),
            lookup: &somewhere,
            hostname: "lb",
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            allow_unresolved_servers: false,
        },
    )
}

/// The verdict on every file is HAProxy's, or its difference stands in the table above.
#[test]
fn files_of_the_field_load_as_in_haproxy() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let verdicts = std::fs::read_to_string(corpus.join("ORACLE.tsv")).unwrap();
    let mut files = 0;
    for line in verdicts.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (file, with_names) = (fields[0], fields[2]);
        let text = std::fs::read(corpus.join(file)).unwrap();
        let found = load_anywhere(file, &text);
        let ours = if found.is_ok() { "0" } else { "1" };
        let said = lines(&found.map_or_else(|problems| problems, |loaded| loaded.warnings));
        if refused(file) {
            assert_eq!(
                (ours, with_names),
                ("1", "0"),
                "{file} is no difference any more\n{said}"
            );
        } else {
            assert_eq!(ours, with_names, "{file}\n{said}");
        }
        files += 1;
    }
    assert!(files > 80, "{files} files");
}

#[test]
fn mistakes_are_judged_as_in_haproxy() {
    let Some(golden) = shared("haproxy/golden") else {
        return;
    };
    let expected = std::fs::read_to_string(golden.join("config_mistakes.txt")).unwrap();
    let mut files = 0;
    // Where the releases differ, 3.0 does as 2.6 did; 2.6 alone minds that nothing listens.
    for line in expected.lines().filter(|line| line.contains(" deb26: ")) {
        let file = line.split_whitespace().nth(1).unwrap();
        let verdict = if line.ends_with("rc=1") { "1" } else { "0" };
        let text = std::fs::read(golden.join("mistakes").join(file)).unwrap();
        let found = load_anywhere(file, &text);
        let ours = if found.is_ok() { "0" } else { "1" };
        let said = lines(&found.map_or_else(|problems| problems, |loaded| loaded.warnings));
        assert_eq!(ours == verdict, !refused(file), "{file}\n{said}");
        // HAProxy's own warnings are told in its words.
        let warnings = line.split("[WARNING]").skip(1);
        for warning in warnings {
            let text = warning.split(" : ").last().unwrap();
            let text = text.split('~').next().unwrap().trim_end_matches('.');
            assert!(said.contains(text), "{file}: {text}\n{said}");
        }
        files += 1;
    }
    assert!(files > 10, "{files} files");
}

/// Every keyword that HAProxy knows has a verdict.
#[test]
fn no_keyword_of_haproxy_is_unknown() {
    let Some(golden) = shared("haproxy/golden") else {
        return;
    };
    let mut missing = Vec::new();
    let mut found = 0;
    for release in ["2.6", "3.5"] {
        let list = std::fs::read_to_string(golden.join(release).join("keywords_cfg.txt")).unwrap();
        let mut section = "";
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let Some(line) = line.strip_prefix('\t') else {
                section = line;
                continue;
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let known = match (section, &words[..]) {
                ("global", [word, ..]) => is_known(true, &[word]),
                ("listen", ["bind", "<addr>", "ssl", word, ..] | ["bind", "<addr>", word, ..]) => {
                    keywords::find_option(BIND_OPTIONS, word).is_some()
                }
                ("listen", ["server", "<name>", "<addr>", word, ..]) => {
                    keywords::find_option(SERVER_OPTIONS, word).is_some()
                }
                ("listen", ["option", word, ..]) => is_known(false, &["option", word]),
                ("listen", ["tcp-request" | "tcp-response", ..]) if words.len() > 2 => {
                    is_known(false, &[words[0], words[1], words[2].trim_end_matches('*')])
                }
                ("listen", ["tcp-response", word]) => is_known(false, &[words[0], "content", word]),
                ("listen", [word, ..]) => is_known(false, &[word]),
                ("crt-list" | "crt-store" | "traces" | "acme" | "userlist" | "peers", _) => true,
                (other, _) => panic!("section {other}"),
            };
            found += 1;
            if !known {
                missing.push(format!("{release} {section}: {line}"));
            }
        }
    }
    assert!(found > 1000, "{found} keywords");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether words are a keyword, or begin one.
fn is_known(global: bool, words: &[&str]) -> bool {
    keywords::find(global, words).is_some()
        || !keywords::continuations(global, &words.join(" ")).is_empty()
}

fn any_word() -> impl Strategy<Value = String> {
    let names: Vec<String> = KEYWORDS
        .iter()
        .flat_map(|row| row.names.iter().map(|name| (*name).to_owned()))
        .chain(
            BIND_OPTIONS
                .iter()
                .chain(SERVER_OPTIONS)
                .flat_map(|row| row.names.iter().map(|name| (*name).to_owned())),
        )
        .chain(["no", "global", "from", "x", ".if", ".else", ".endif", "1"].map(str::to_owned))
        .collect();
    prop_oneof![
        4 => proptest::sample::select(names),
        1 => "[ -~]{0,8}",
        1 => "[0-9]{1,22}[a-z]{0,2}",
        1 => Just("1.1.1.1:1".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever the lines say: no panic, and every problem points into the text.
    #[test]
    fn any_text_is_judged(
        sections in proptest::collection::vec(
            (
                proptest::sample::select(vec!["global", "defaults", "frontend a", "backend b", "listen c"]),
                proptest::collection::vec(proptest::collection::vec(any_word(), 1..6), 0..8),
            ),
            1..4,
        )
    ) {
        let mut text = String::new();
        for (section, rows) in sections {
            text.push_str(section);
            for words in rows {
                text.push_str("\n ");
                text.push_str(&words.join(" "));
            }
            text.push('\n');
        }
        let problems = load_text(&text).map_or_else(|problems| problems, |loaded| loaded.warnings);
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        for problem in problems {
            let line = problem.place.line as usize;
            prop_assert!(line >= 1 && line <= lengths.len(), "{problem}");
            prop_assert!(problem.place.column as usize <= lengths[line - 1].max(1), "{problem}");
        }
    }

    /// Bytes that are no text either.
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load_all(&[("lb.cfg", &bytes)]);
    }
}

/// Files as operators paste them, and one change each to a usual one: HAProxy 3.0's verdict is ours. The
/// comparison with HAProxy itself is in tests/differential.
#[test]
fn operators_files_load_as_in_haproxy() {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/operators/"
    );
    let mut judged = Vec::new();
    for (verdict, loads) in [("loads", true), ("refused", false)] {
        for entry in std::fs::read_dir(format!("{directory}{verdict}")).unwrap() {
            let path = entry.unwrap().path();
            judged.push((
                path.display().to_string(),
                std::fs::read(&path).unwrap(),
                loads,
            ));
        }
    }
    let read = |name: &str| std::fs::read_to_string(format!("{directory}{name}")).unwrap();
    let base = read("base.txt");
    for variation in read("variations.txt").split("=== ").skip(1) {
        let (head, lines) = variation.split_once('\n').unwrap();
        let [name, verdict, section] = head.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{head}");
        };
        let text = base.replace(&format!("@{section}\n"), lines);
        let text: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with('@'))
            .collect();
        judged.push((name.to_owned(), text.into_bytes(), verdict == "loads"));
    }
    assert!(judged.len() > 250, "{}", judged.len());
    for (name, text, loads) in judged {
        let found = load_anywhere(&name, &text);
        let is_loaded = found.is_ok();
        let problems = found.map_or_else(|problems| problems, |loaded| loaded.warnings);
        assert_eq!(is_loaded, loads, "{name}\n{}", lines(&problems));
        for problem in problems.iter().filter(|_| !is_loaded) {
            assert!(
                problem.place.line > 0 && problem.place.column > 0,
                "{problem}"
            );
        }
    }
}
