//! The tables of failures in docs/bootstrap.md speak in the words that are printed: ours, or kubeadm's as its
//! double has them.

use std::fs;
use std::path::Path;

use crate::parcels::root;

/// Stands for what differs each time.
const GAP: char = '\u{1}';

#[test]
fn the_tables_of_failures_have_the_words_that_are_printed() {
    let page = fs::read_to_string(root().join("docs/bootstrap.md")).unwrap();
    let tables = page.split("| it says |").skip(1);
    let rows: Vec<&str> = tables
        .flat_map(|table| {
            table
                .lines()
                .skip(2)
                .take_while(|line| line.starts_with('|'))
        })
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(rows.len() > 40, "{rows:?}");
    let mut said = String::new();
    for folder in ["crates/bootstrap/src", "tests/doubles/src"] {
        collect(&root().join(folder), &mut said);
    }
    let missing: Vec<_> = rows
        .into_iter()
        .filter(|row| !said.contains(&general(row)))
        .collect();
    assert!(missing.is_empty(), "nothing says {missing:#?}");
}

/// All text of a folder's sources, with a gap for each `{...}` of a format, and strings of several lines in one.
fn collect(folder: &Path, said: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            collect(&path, said);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut text = text.as_str();
            while let Some((before, rest)) = text.split_once("\\\n") {
                said.push_str(before);
                text = rest.trim_start();
            }
            said.push_str(text);
        }
    }
    let mut plain = String::new();
    let mut rest = said.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        match after.split_once('}') {
            Some((inside, after)) if inside.len() < 40 && !inside.contains(['{', '\n']) => {
                plain.push(GAP);
                rest = after;
            }
            _ => {
                plain.push('{');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    *said = plain;
}

/// A row with a gap for each number and each NAME.
fn general(row: &str) -> String {
    let words = row.split(' ').map(|word| {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = ["NAME", "ADDRESS", "PATH", "N"].contains(&word);
        match is_number || is_name {
            true => GAP.to_string(),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
