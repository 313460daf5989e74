//! Two languages, one configuration: every sample in config/ that is written in both means the
//! same in both, and what `convert` writes means what it was given.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use evenkeel_config::{Config, Environment, Problem, Source, convert, load};

/// A world in which every name is found and every variable is set.
const ENVIRONMENT: Environment<'static> = Environment {
    variable: &|_| Some("10.0.0.1".to_owned()),
    lookup: &|name| {
        let last = name.bytes().fold(0, u8::wrapping_add);
        Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))])
    },
    hostname: "lb",
    read: &|_| Err(std::io::ErrorKind::NotFound.into()),
    allow_unresolved_servers: false,
};

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

fn source(path: &Path) -> Source {
    Source {
        name: path.display().to_string(),
        text: std::fs::read(path).unwrap(),
    }
}

fn meaning(source: Source) -> Result<Config, Vec<Problem>> {
    load(&[source], &ENVIRONMENT).map(|loaded| loaded.config.without_places())
}

#[track_caller]
fn must_load(source: Source) -> Config {
    let name = source.name.clone();
    meaning(source).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{name} does not load:\n{}", problems.join("\n"))
    })
}

/// Compared in pieces: a whole configuration is too long to read in a failure.
#[track_caller]
fn assert_same(left: &Config, right: &Config, what: &str) {
    assert_eq!(left.global, right.global, "{what}");
    assert_eq!(left.frontends, right.frontends, "{what}");
    assert_eq!(left.backends, right.backends, "{what}");
    assert_eq!(left, right, "{what}");
}

#[test]
fn every_sample_means_the_same_in_both_languages() {
    let pairs: Vec<(PathBuf, PathBuf)> = files(&samples(), "cfg")
        .into_iter()
        .map(|cfg| (cfg.with_extension("toml"), cfg))
        .filter(|(toml, _)| toml.exists())
        .collect();
    assert!(
        pairs.len() >= 3,
        "only {} pairs in {}",
        pairs.len(),
        samples().display()
    );
    for (toml, cfg) in pairs {
        assert_same(
            &must_load(source(&toml)),
            &must_load(source(&cfg)),
            &toml.display().to_string(),
        );
    }
}

/// Whether the file loads at all; what is written from it then means the same.
#[track_caller]
fn survives_conversion(path: &Path) -> bool {
    let Ok(before) = meaning(source(path)) else {
        return false;
    };
    let written = convert(&[source(path)], &ENVIRONMENT).unwrap();
    let text = written.clone().into_bytes();
    let after = must_load(Source {
        name: format!("{}.toml", path.display()),
        text,
    });
    if before
        .frontends
        .iter()
        .any(|frontend| frontend.http.is_some())
    {
        // TOML has no such frontends; a remark says so.
        assert!(
            written.contains("answers HTTP by itself, which is left out"),
            "{written}"
        );
        return true;
    }
    assert_same(&after, &before, &format!("{}\n{written}", path.display()));
    true
}

#[test]
fn every_sample_survives_conversion() {
    let samples = files(&samples(), "cfg");
    assert!(!samples.is_empty());
    for path in samples {
        assert!(
            survives_conversion(&path),
            "{} does not load",
            path.display()
        );
    }
}

#[test]
fn files_of_the_field_survive_conversion() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let files = files(&corpus, "cfg");
    if files.is_empty() {
        println!("skipped: no corpus at {}", corpus.display());
        return;
    }
    let survived = files
        .iter()
        .filter(|path| survives_conversion(path))
        .count();
    assert!(
        survived > files.len() / 3,
        "only {survived} of {} files load",
        files.len()
    );
    println!("{survived} of {} files load and survive", files.len());
}

#[test]
fn lines_without_effect_are_told_in_comments_once_with_the_reason() {
    let text = "defaults\n    mode tcp\n    timeout http-request 10s\n\
                listen a\n    bind :1\n    server s 10.0.0.1:1 guid lb:s1\n\
                listen b\n    bind :2\n    timeout client 1s\n";
    let source = Source {
        name: "lb.cfg".into(),
        text: text.into(),
    };
    let written = convert(&[source], &ENVIRONMENT).unwrap();
    let expected = "# lb.cfg:3:5: no effect: timeout http-request 10s\n";
    assert_eq!(written.matches(expected).count(), 1, "{written}");
    let expected = "# lb.cfg:6:25: no effect: guid lb:s1\n#     'guid' ";
    assert!(written.contains(expected), "{written}");
}
