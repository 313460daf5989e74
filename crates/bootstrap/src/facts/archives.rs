//! How archives of images on this machine are told from those that had their names before. They are too large
//! to be read for each plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::inventory::Inventory;

/// The mark of each archive; one that cannot be looked at has none, and fails when it is copied.
#[must_use]
pub fn archives(inventory: &Inventory) -> BTreeMap<PathBuf, String> {
    let images = inventory.artefacts.images.iter();
    images
        .filter_map(|image| Some((image.archive.clone(), mark(&image.archive)?)))
        .collect()
}

fn mark(path: &Path) -> Option<String> {
    let found = std::fs::metadata(path).ok()?;
    let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{}-{}", found.len(), changed.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_written_anew_is_another() {
        let path = std::env::temp_dir().join(format!("evenkeel-archive-{}", std::process::id()));
        std::fs::write(&path, "one").unwrap();
        let first = mark(&path);
        assert_eq!(mark(&path), first);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert_ne!(mark(&path), first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mark(&path), None);
    }
}
