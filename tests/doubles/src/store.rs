//! What etcd holds: one file of objects per cluster, in a folder that the masters of a test share, and
//! a lock per member that runs. Without a majority of members nothing can be read or written.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use ring::digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::faults;
use crate::pki::hex;

/// The folder that masters share.
const SHARED: &str = "/var/lib/doubles/etcd";
/// How many changes are remembered, for those who watch.
const HISTORY: usize = 400;

/// Nothing can be read: too few members run.
#[derive(Debug)]
pub struct NoQuorum;

/// The data of a cluster.
pub struct Store {
    folder: PathBuf,
}

/// Everything at one moment.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    pub revision: u64,
    /// By `GROUP/PLURAL/NAMESPACE/NAME`; the namespace is empty where there is none.
    pub objects: BTreeMap<String, Value>,
    /// Peer addresses of members by name.
    pub members: BTreeMap<String, String>,
    pub history: VecDeque<Change>,
}

/// One change of one object.
#[derive(Clone, Serialize, Deserialize)]
pub struct Change {
    pub revision: u64,
    /// ADDED, MODIFIED or DELETED.
    pub kind: String,
    pub key: String,
    pub object: Value,
}

impl State {
    /// Writes an object and gives it its new revision.
    pub fn put(&mut self, key: &str, mut object: Value) -> Value {
        self.revision += 1;
        let old = self.objects.get(key);
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let kept = old.map(|old| old["metadata"].clone());
        let is_same = old.is_some_and(|old| old["spec"] == object["spec"]);
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.revision.to_string());
        match kept {
            Some(kept) => {
                let generation = kept["generation"].as_u64().unwrap_or(1);
                metadata["generation"] = json!(generation + u64::from(!is_same));
                metadata["uid"] = kept["uid"].clone();
                metadata["creationTimestamp"] = kept["creationTimestamp"].clone();
            }
            None => {
                metadata["generation"] = json!(1);
                metadata["uid"] = json!(uid());
                metadata["creationTimestamp"] = json!(faults::now().to_string());
            }
        }
        self.objects.insert(key.to_owned(), object.clone());
        self.note(kind, key, &object);
        object
    }

    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let mut object = self.objects.remove(key)?;
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.note("DELETED", key, &object);
        Some(object)
    }

    fn note(&mut self, kind: &str, key: &str, object: &Value) {
        self.history.push_back(Change {
            revision: self.revision,
            kind: kind.to_owned(),
            key: key.to_owned(),
            object: object.clone(),
        });
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// Objects whose keys begin so.
    pub fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.objects
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }
}

fn uid() -> String {
    let mut bytes = [0; 16];
    bytes.fill_with(|| fastrand::u8(..));
    let text = hex(&bytes);
    format!(
        "{}-{}-4{}-a{}-{}",
        &text[..8],
        &text[8..12],
        &text[13..16],
        &text[17..20],
        &text[20..]
    )
}

impl Store {
    /// The cluster whose etcd is signed by this authority.
    pub fn of_authority(path: &str) -> io::Result<Self> {
        let authority = fs::read(path)?;
        let digest = hex(digest::digest(&digest::SHA256, &authority).as_ref());
        Ok(Self {
            folder: PathBuf::from(SHARED).join(&digest[..16]),
        })
    }

    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("members"))
    }

    /// Lets a member join as a learner: it counts once it runs.
    pub fn announce(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("learners"))?;
        fs::write(self.folder.join("learners").join(name), "")
    }

    /// The file that the member of this name locks while it runs.
    pub fn life(&self, name: &str) -> PathBuf {
        self.folder.join("members").join(name)
    }

    /// Whether a member of this name has been announced; it is so no longer.
    pub fn take_announcement(&self, name: &str) -> bool {
        fs::remove_file(self.folder.join("learners").join(name)).is_ok()
    }

    /// Changes the members, whether or not a majority of them runs: the first one could not begin otherwise.
    pub fn change_members<T>(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        let _lock = self.lock();
        let mut state = self.load();
        let before = state.members.clone();
        let result = change(&mut state.members);
        if state.members != before {
            self.save(&state);
        }
        result
    }

    fn lock(&self) -> File {
        let lock = File::create(self.folder.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        lock
    }

    /// Everything, whether or not a majority runs: what a member that was removed finds.
    pub fn load(&self) -> State {
        fs::read(self.folder.join("state.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    fn save(&self, state: &State) {
        let part = self.folder.join("state.part");
        fs::write(&part, serde_json::to_vec(state).unwrap()).unwrap();
        fs::rename(part, self.folder.join("state.json")).unwrap();
    }

    /// When it was last written: changes whenever the state does.
    pub fn stamp(&self) -> Option<(u64, i64)> {
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(self.folder.join("state.json")).ok()?;
        Some((file.ino(), file.mtime_nsec()))
    }

    pub fn read(&self) -> Result<State, NoQuorum> {
        let state = self.load();
        self.has_quorum(&state).then_some(state).ok_or(NoQuorum)
    }

    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, NoQuorum> {
        let _lock = self.lock();
        let mut state = self.load();
        if !self.has_quorum(&state) {
            return Err(NoQuorum);
        }
        let before = state.revision;
        let members = state.members.clone();
        let result = change(&mut state);
        if state.revision != before || state.members != members {
            self.save(&state);
        }
        Ok(result)
    }

    fn has_quorum(&self, state: &State) -> bool {
        if faults::on("no-quorum").is_some() {
            return false;
        }
        let alive = state
            .members
            .keys()
            .filter(|name| self.is_alive(name))
            .count();
        alive > state.members.len() / 2
    }

    /// Whether the member of this name runs.
    pub fn is_alive(&self, name: &str) -> bool {
        let Ok(file) = File::open(self.life(name)) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}
