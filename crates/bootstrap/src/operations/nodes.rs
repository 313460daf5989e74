//! Nodes put into `cluster.toml` and taken out of it, with everything else left as the operator wrote it.

use std::net::IpAddr;

use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::inventory::Role;

/// Why the file cannot be changed.
#[derive(Debug, Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("{0}")]
    Toml(#[from] toml_edit::TomlError),
    /// The nodes are written otherwise.
    #[error("its nodes are no [[node]] tables")]
    Shape,
    /// The name is taken.
    #[error("there is a node {0} already")]
    Taken(String),
    /// The name is not there.
    #[error("there is no node {0}")]
    Absent(String),
}

/// The text with one more `[[node]]`, after the last one.
///
/// # Errors
///
/// [`EditError`]
pub fn add(text: &str, name: &str, role: Role, address: IpAddr) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse()?;
    let nodes = nodes(&mut document)?;
    if nodes.iter().any(|node| is(node, name)) {
        return Err(EditError::Taken(name.to_owned()));
    }
    let mut node = Table::new();
    node.insert("name", value(name));
    node.insert("role", value(role.word()));
    node.insert("address", value(address.to_string()));
    nodes.push(node);
    Ok(document.to_string())
}

/// The text without a node.
///
/// # Errors
///
/// [`EditError`]
pub fn remove(text: &str, name: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse()?;
    let nodes = nodes(&mut document)?;
    let before = nodes.len();
    nodes.retain(|node| !is(node, name));
    if nodes.len() == before {
        return Err(EditError::Absent(name.to_owned()));
    }
    Ok(document.to_string())
}

fn nodes(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, EditError> {
    document
        .entry("node")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or(EditError::Shape)
}

fn is(node: &Table, name: &str) -> bool {
    node.get("name").and_then(Item::as_str) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\n[cluster]\nname = 'kube'   # short\n\n[[node]]\nname = \"lb\"\nrole = \"lb\"\naddress = \"10.0.1.10\"\n\n# the first\n[[node]]\nname = \"master1\"\nrole = \"control-plane\"\naddress = \"10.0.1.11\"\nssh = { port = 2222 }\n";

    #[test]
    fn a_node_comes_and_goes_and_the_rest_stays() {
        let added = add(TEXT, "worker1", Role::Worker, [10, 0, 1, 13].into()).unwrap();
        assert_eq!(
            added,
            format!(
                "{TEXT}\n[[node]]\nname = \"worker1\"\nrole = \"worker\"\naddress = \"10.0.1.13\"\n"
            )
        );
        assert_eq!(remove(&added, "worker1").unwrap(), TEXT);
        let without = remove(TEXT, "lb").unwrap();
        assert!(
            without.starts_with("# ours\n[cluster]\nname = 'kube'   # short\n"),
            "{without}"
        );
        assert!(
            without.contains("# the first\n[[node]]\nname = \"master1\""),
            "{without}"
        );
        assert!(!without.contains("10.0.1.10"), "{without}");
    }

    #[test]
    fn names_are_known_once() {
        let address = [10, 0, 1, 9].into();
        assert!(matches!(
            add(TEXT, "lb", Role::Worker, address),
            Err(EditError::Taken(_))
        ));
        assert!(matches!(remove(TEXT, "worker9"), Err(EditError::Absent(_))));
        assert!(matches!(
            add("node = 5\n", "a", Role::Worker, address),
            Err(EditError::Shape)
        ));
    }
}
