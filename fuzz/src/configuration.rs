//! Any text as a configuration: it loads, or each problem points into it; and what loads means the
//! same after it was written as TOML.

use std::io;

use evenkeel_config::{Config, Environment, Problem, Source, convert, load};

/// A world that answers nothing.
const ENVIRONMENT: Environment<'static> = Environment {
    variable: &|_| None,
    lookup: &|_| Err(io::ErrorKind::NotFound.into()),
    read: &|_| Err(io::ErrorKind::NotFound.into()),
    hostname: "lb",
    allow_unresolved_servers: true,
};

/// Reads `text` as the file `name`, whose end says the language.
///
/// # Panics
/// It is not as it should be.
pub fn hold(name: &str, text: &[u8]) {
    let source = Source {
        name: name.to_owned(),
        text: text.to_vec(),
    };
    let sources = [source];
    let loaded = match load(&sources, &ENVIRONMENT) {
        Ok(loaded) => loaded,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused for no reason");
            problems
                .iter()
                .for_each(|problem| point_into(problem, text));
            return;
        }
    };
    let warnings = loaded.warnings.iter();
    warnings.for_each(|problem| point_into(problem, text));
    let answers_http = |config: &Config| {
        let mut frontends = config.frontends.iter();
        frontends.any(|frontend| frontend.http.is_some())
    };
    let written = convert(&sources, &ENVIRONMENT).expect("what loads can be written");
    if answers_http(&loaded.config) {
        // TOML has no such frontends; a remark says so.
        return;
    }
    let rewritten = Source {
        name: "written.toml".to_owned(),
        text: written.clone().into_bytes(),
    };
    let after = load(&[rewritten], &ENVIRONMENT).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!(
            "what was written does not load:\n{}\n{written}",
            problems.join("\n")
        )
    });
    let (before, after) = (
        loaded.config.without_places(),
        after.config.without_places(),
    );
    let what = || format!("written as\n{written}");
    assert_eq!(before.global, after.global, "{}", what());
    assert_eq!(before.frontends, after.frontends, "{}", what());
    assert_eq!(before.backends, after.backends, "{}", what());
    assert_eq!(before, after, "{}", what());
}

/// A place that an editor can jump to: at most just behind the line's last character.
fn point_into(problem: &Problem, text: &[u8]) {
    let place = &problem.place;
    if place.line == 0 {
        return;
    }
    let text = String::from_utf8_lossy(text);
    let line = text.split('\n').nth(place.line as usize - 1);
    let length = line.map(|line| line.chars().count());
    let is_there = length.is_some_and(|length| place.column as usize <= length + 1);
    assert!(is_there, "{problem} points out of the text");
}
