//! Text that is almost a configuration: it loads, or each mistake has its place; and what loads means
//! the same after `convert`. The same that fuzz/ asks of any bytes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../../../fuzz/src/configuration.rs"]
#[allow(unreachable_pub, reason = "the fuzz target is another crate")]
mod configuration;

/// Files to begin with, by name.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["config", "fuzz/seeds/configuration"].map(|folder| root.join(folder));
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match text.strip_prefix('T') {
                Some(toml) => (name, toml.to_owned()),
                None => (name, text),
            }
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "only {} files", files.len());
    files
}

/// A change that a hand might make.
#[derive(Clone, Debug)]
enum Change {
    /// A line is taken out.
    Forget(Index),
    /// A line stands in another place, too.
    Repeat(Index, Index),
    /// A word is put where another was.
    Mix(Index, Index, Index),
}

impl Change {
    fn make(&self, lines: &mut Vec<String>) {
        if lines.is_empty() {
            return;
        }
        match self {
            Self::Forget(at) => drop(lines.remove(at.index(lines.len()))),
            Self::Repeat(from, to) => {
                let line = lines[from.index(lines.len())].clone();
                let to = to.index(lines.len());
                lines.insert(to, line);
            }
            Self::Mix(from, to, word) => {
                let words: Vec<&str> = lines[from.index(lines.len())].split(' ').collect();
                let new = words[word.index(words.len())].to_owned();
                let to = to.index(lines.len());
                let line = &mut lines[to];
                let mut words: Vec<&str> = line.split(' ').collect();
                let place = word.index(words.len());
                words[place] = &new;
                *line = words.join(" ");
            }
        }
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<Index>().prop_map(Change::Forget),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
        any::<(Index, Index, Index)>().prop_map(|(from, to, word)| Change::Mix(from, to, word)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_loads_survives_conversion(
        (name, text) in prop::sample::select(files()),
        changes in prop::collection::vec(any_change(), 0..6),
    ) {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for change in changes {
            change.make(&mut lines);
        }
        configuration::hold(&name, lines.join("\n").as_bytes());
    }
}
