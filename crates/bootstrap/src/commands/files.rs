//! The operator's own files, read whole and replaced whole.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Stop;

pub(super) fn read(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path)
        .map_err(|cause| Stop::Mistake(format!("cannot read {}: {cause}", path.display())))
}

pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Stop> {
    replace_bytes(path, text.as_bytes(), mode)
}

/// Beside it, then renamed; a link is followed, so that it stays one.
pub(super) fn replace_bytes(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Stop> {
    let write = || -> std::io::Result<()> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder)?;
        }
        let mut beside = path.clone().into_os_string();
        beside.push(".evenkeel-new");
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(|cause| Stop::Failed(format!("cannot write {}: {cause}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_link_stays_one() {
        let folder = std::env::temp_dir().join(format!("evenkeel-files-{}", std::process::id()));
        let (real, link) = (folder.join("deep/real"), folder.join("link"));
        replace(&real, "one", 0o600).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, "two", 0o600).unwrap();
        assert_eq!(read(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&real).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.join("deep")).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
