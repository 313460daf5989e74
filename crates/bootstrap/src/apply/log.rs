//! The record of a run: a file that only its owner reads, in which no secret stands.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use thiserror::Error;

use crate::secret::{Secret, mask};

/// There is no place for a record.
#[derive(Debug, Error)]
#[error(
    "cannot write a record of this run into {} (XDG_STATE_HOME chooses another place)",
    folder.display()
)]
pub struct LogError {
    folder: PathBuf,
    #[source]
    cause: io::Error,
}

/// Where everything that was run, and what it said, is written down.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// None: nothing is kept.
    file: Mutex<Option<File>>,
    secrets: Mutex<Vec<Secret>>,
}

impl Log {
    /// Opens `COMMAND-TIME.log` in the cluster's folder of `$XDG_STATE_HOME/evenkeel-bootstrap`, which is
    /// `~/.local/state` if it is not set.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn open(cluster: &str, command: &str) -> Result<Self, LogError> {
        let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S").to_string();
        let folder = state_folder().join(cluster);
        Self::create(
            &folder,
            &format!("{command}-{time}-{}.log", std::process::id()),
        )
        .map_err(|cause| LogError { folder, cause })
    }

    /// A record that nobody reads, for a run that changes nothing where there is no place for one.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            path: PathBuf::new(),
            file: Mutex::new(None),
            secrets: Mutex::default(),
        }
    }

    /// Removes the oldest records of `command` beside this one. One that changes nothing may be run by a
    /// timer, and nobody looks far back.
    pub fn prune(&self, command: &str) {
        /// Some weeks of a daily look.
        const KEPT: usize = 30;
        let Some(folder) = self.path.parent().filter(|_| self.path.is_absolute()) else {
            return;
        };
        let beginning = format!("{command}-");
        let mut records: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(&beginning) && name.ends_with(".log"))
            .collect();
        // The time is in the name.
        records.sort_unstable();
        let old = records.len().saturating_sub(KEPT);
        for name in &records[..old] {
            // One that stays is looked at again the next time.
            let _ = std::fs::remove_file(folder.join(name));
        }
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
            file: Mutex::new(Some(file)),
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
        let mut file = self.file.lock().expect("nobody panics while it is held");
        if let Some(file) = file.as_mut() {
            let _ = file.write_all(record.as_bytes());
        }
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

    #[test]
    fn a_look_keeps_its_latest_records_and_others_keep_theirs() {
        let folder = std::env::temp_dir().join(format!("evenkeel-prune-{}", std::process::id()));
        let log = Log::create(&folder, "verify-20261127T120099-1.log").expect("made");
        for number in 0..40 {
            let name = format!("verify-20261127T1200{number:02}-1.log");
            std::fs::write(folder.join(name), "").expect("written");
            std::fs::write(folder.join(format!("apply-{number}.log")), "").expect("written");
        }
        log.prune("verify");
        let names: Vec<_> = std::fs::read_dir(&folder)
            .expect("there")
            .map(|entry| {
                entry
                    .expect("read")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        let of = |beginning: &str| {
            names
                .iter()
                .filter(|name| name.starts_with(beginning))
                .count()
        };
        assert_eq!((of("verify-"), of("apply-")), (30, 40));
        assert!(names.contains(&"verify-20261127T120099-1.log".to_owned()));
        assert!(!names.contains(&"verify-20261127T120010-1.log".to_owned()));
        std::fs::remove_dir_all(folder).expect("removed");
        Log::nowhere().write("master1", "said to nobody");
        Log::nowhere().prune("verify");
    }
}
