//! Files of the operator, replaced whole or not at all: beside them, then renamed. A link stays a link, and
//! a file keeps its mode and its owner.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// A new file is everybody's to read; one that is there keeps its mode.
    All,
    /// Its owner alone, whatever it was before.
    Owner,
}

/// What is written beside a file ends so until it takes its place.
const BESIDE: &str = ".evenkeel-new";

/// Puts `bytes` in the place of whatever `path` has now, and makes the folder if there is none.
///
/// # Errors
///
/// What the system says; also if `path` is there and no regular file, or a link that leads nowhere. The file
/// is as it was then, and nothing is left beside it.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let (path, old) = target(path)?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    let mut beside = path.clone().into_os_string();
    beside.push(BESIDE);
    let beside = PathBuf::from(beside);
    // Left by a run that was killed.
    if beside.symlink_metadata().is_ok() {
        fs::remove_file(&beside)?;
    }
    let mode = match (readers, &old) {
        (Readers::Owner, _) => 0o600,
        (Readers::All, Some(old)) => old.mode() & 0o7777,
        (Readers::All, None) => 0o644,
    };
    let written =
        fill(&beside, bytes, mode, old.as_ref()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The file itself, behind links, and what it is like if it is there.
fn target(path: &Path) -> io::Result<(PathBuf, Option<fs::Metadata>)> {
    if path.symlink_metadata().is_err() {
        return Ok((path.to_owned(), None));
    }
    let real = fs::canonicalize(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(cause.kind(), "it is a link to what is not there")
        }
        _ => cause,
    })?;
    let old = fs::metadata(&real)?;
    if old.is_file() {
        return Ok((real, Some(old)));
    }
    let what = if old.is_dir() {
        "a folder"
    } else {
        "a device or the like"
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {what}, not a file"),
    ))
}

fn fill(beside: &Path, bytes: &[u8], mode: u32, old: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if old.is_some() { 0o600 } else { mode })
        .open(beside)?;
    if let Some(old) = old {
        keep_owner(&file, old)?;
        // After the owner, whose change takes special bits away; the umask has its say in new files alone.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn keep_owner(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(file, Some(old.uid()), Some(old.gid())).map_err(|cause| {
        let message = format!(
            "it belongs to user {} and group {}, and what takes its place would not: {cause}",
            old.uid(),
            old.gid()
        );
        io::Error::new(cause.kind(), message)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("evenkeel-files-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_stays_one() {
        let folder = Folder::new("link");
        let (real, link) = (folder.0.join("deep/real"), folder.0.join("link"));
        replace(&real, b"one", Readers::Owner).unwrap();
        assert_eq!(mode(&real), 0o600);
        symlink(&real, &link).unwrap();
        replace(&link, b"two", Readers::Owner).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.0.join("deep")).unwrap().count(), 1);
        let lost = folder.0.join("lost");
        symlink("nowhere", &lost).unwrap();
        let error = replace(&lost, b"", Readers::All).unwrap_err();
        assert_eq!(error.to_string(), "it is a link to what is not there");
    }

    #[test]
    fn mode_and_owner_stay_and_secrets_become_their_owners() {
        let folder = Folder::new("mode");
        let path = folder.0.join("cluster.toml");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root can give a file away.
        let owner = match std::os::unix::fs::chown(&path, Some(1234), Some(4321)) {
            Ok(()) => (1234, 4321),
            Err(_) => (
                fs::metadata(&path).unwrap().uid(),
                fs::metadata(&path).unwrap().gid(),
            ),
        };
        replace(&path, b"two", Readers::All).unwrap();
        let now = fs::metadata(&path).unwrap();
        assert_eq!((now.uid(), now.gid()), owner);
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        replace(&path, b"secret", Readers::Owner).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    /// As `/dev/full` once was, which is a device still.
    #[test]
    fn what_is_no_file_stays_what_it_is_and_nothing_is_left_beside() {
        let folder = Folder::new("device");
        let pipe = folder.0.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let error = replace(&pipe, b"text", Readers::All).unwrap_err();
        assert_eq!(error.to_string(), "it is a device or the like, not a file");
        let error = replace(&folder.0, b"text", Readers::All).unwrap_err();
        assert_eq!(error.to_string(), "it is a folder, not a file");
        assert_eq!(folder.names(), ["pipe"]);

        // What a run that was killed has left goes.
        fs::write(folder.0.join("a.evenkeel-new"), "half").unwrap();
        replace(&folder.0.join("a"), b"text", Readers::All).unwrap();
        assert_eq!(folder.names(), ["a", "pipe"]);
        // A write that fails: the name beside is as long as a name may be, the final one is not.
        let long = folder.0.join("x".repeat(250));
        replace(&long, b"text", Readers::All).unwrap_err();
        assert_eq!(folder.names(), ["a", "pipe"]);
    }
}
