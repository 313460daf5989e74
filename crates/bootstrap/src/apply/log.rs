//! The record of a run: a file that only its owner reads, in which no secret stands.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::secret::{Secret, mask};

/// Where everything that was run, and what it said, is written down.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Mutex<File>,
    secrets: Mutex<Vec<Secret>>,
}

impl Log {
    /// Opens `COMMAND-TIME.log` in the cluster's folder of `$XDG_STATE_HOME/evenkeel-bootstrap`, which is
    /// `~/.local/state` if it is not set.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn open(cluster: &str, command: &str) -> io::Result<Self> {
        let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S").to_string();
        Self::create(
            &state_folder().join(cluster),
            &format!("{command}-{time}-{}.log", std::process::id()),
        )
    }

    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let path = folder.join(name);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            secrets: Mutex::default(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on `secret` is masked.
    pub fn hide(&self, secret: &Secret) {
        self.secrets
            .lock()
            .expect("nobody panics while it is held")
            .push(secret.clone());
    }

    /// `text` without the secrets.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let secrets = self.secrets.lock().expect("nobody panics while it is held");
        mask(text, &secrets.iter().collect::<Vec<_>>())
    }

    /// Writes a record: its first line with the time and host, the others indented. A full disk here is no
    /// reason to stop what goes on elsewhere: what cannot be written is left out.
    pub fn write(&self, host: &str, text: &str) {
        let time = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%.3f%:z");
        let text = self.masked(text);
        let record = format!(
            "{time} {host}: {}\n",
            text.trim_end().replace('\n', "\n    ")
        );
        let _ = self
            .file
            .lock()
            .expect("nobody panics while it is held")
            .write_all(record.as_bytes());
    }
}

fn state_folder() -> PathBuf {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .unwrap_or_else(|| {
            std::env::var_os("HOME")
                .map_or_else(|| "/root".into(), PathBuf::from)
                .join(".local/state")
        })
        .join("evenkeel-bootstrap")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_log_is_its_owners_and_holds_no_secret() {
        let folder = std::env::temp_dir().join(format!("evenkeel-log-{}", std::process::id()));
        let log = Log::create(&folder, "apply.log").expect("made");
        log.hide(&Secret::new("s3cret".to_owned()));
        log.write("master1", "ran: join s3cret\nit said:\nno");
        let text = std::fs::read_to_string(log.path()).expect("there");
        assert!(
            text.ends_with(" master1: ran: join ******\n    it said:\n    no\n"),
            "{text}"
        );
        let mode = std::fs::metadata(log.path())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
