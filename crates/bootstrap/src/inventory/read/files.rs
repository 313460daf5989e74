//! Files that `cluster.toml` names, and whether they can be what they are named for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::DeValue;

use super::{Surroundings, values};

/// A private key that ssh takes.
pub(super) fn private_key(
    around: &Surroundings<'_>,
) -> impl Fn(&DeValue<'_>) -> Result<PathBuf, String> {
    /// Of the group and of others.
    const FOREIGN: u32 = 0o077;
    move |value| {
        let path = values::file(around)(value)?;
        if path.extension().is_some_and(|extension| extension == "pub") {
            let said = value.as_str().unwrap_or_default();
            let private = said.trim_end_matches(".pub");
            return Err(format!(
                "must be the private key, \"{private}\"; '{}' is the public one",
                path.display()
            ));
        }
        match (around.mode)(&path) {
            Some(mode) if mode & FOREIGN != 0 => Err(format!(
                "names '{}', which others may read (mode {:04o}), so that ssh does not take it; chmod 600 {}",
                path.display(),
                mode & 0o7777,
                path.display()
            )),
            _ => Ok(path),
        }
    }
}

/// A file that kubectl can apply.
pub(super) fn manifest(name: &str, around: &Surroundings<'_>) -> Result<PathBuf, String> {
    let path = values::existing(name, around)?;
    match (around.content)(&path) {
        Some(bytes) => {
            objects(&bytes).map_err(|why| unfit(&path, &why))?;
            Ok(path)
        }
        None => Ok(path),
    }
}

fn unfit(path: &Path, why: &str) -> String {
    format!(
        "names '{}', which kubectl cannot apply: {why}",
        path.display()
    )
}

/// Whether it is YAML in which each document is an object of Kubernetes, and there is one.
fn objects(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    // Manifests of network plugins are larger than what a budget for settings foresees; they come from the
    // operator.
    let options = serde_saphyr::options! { budget: None };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|cause| first_line(&cause.to_string()))?;
    let mut count = 0;
    for document in documents.iter().filter(|document| !document.is_null()) {
        count += 1;
        if !["apiVersion", "kind"]
            .iter()
            .all(|key| document[*key].is_string())
        {
            return Err(format!(
                "its document {count} is no object of Kubernetes, with 'apiVersion' and 'kind'"
            ));
        }
    }
    match count {
        0 => Err("nothing stands in it".to_owned()),
        _ => Ok(()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("it is no YAML").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_objects_of_kubernetes() {
        let check = |text: &str, expected: Result<(), &str>| {
            let found = objects(text.as_bytes());
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{text}"),
                Err(why) => {
                    let found = found.unwrap_err();
                    assert!(found.contains(why), "{found} for {text}");
                }
            }
        };
        let one = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
        check(one, Ok(()));
        check(&format!("# ours\n---\n{one}---\n---\n{one}"), Ok(()));
        check("", Err("nothing stands in it"));
        check("# a comment\n---\n", Err("nothing stands in it"));
        check(
            &format!("{one}---\nkind: x\n"),
            Err("its document 2 is no object"),
        );
        check("<html>404</html>", Err("its document 1 is no object"));
        check("a: [1\nb: }", Err("line"));
        assert_eq!(objects(b"\xff"), Err("it is no UTF-8".to_owned()));
    }
}
