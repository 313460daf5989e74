//! Log sockets that another process connects, for one whose root directory does not hold their
//! paths: a connected socket reaches its receiver from everywhere.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

/// Connected log sockets by path; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    doors: Mutex<HashMap<PathBuf, Arc<Door>>>,
    /// A door is shut.
    knock: Arc<Notify>,
}

/// The way to one receiver.
#[derive(Debug)]
pub(super) struct Door {
    socket: RwLock<Option<UnixDatagram>>,
    /// Whether the path itself led nowhere the last time.
    is_outside: AtomicBool,
    knock: Arc<Notify>,
}

impl Doors {
    /// Puts a connected socket in place of the one that was there.
    pub fn open(&self, path: &Path, socket: UnixDatagram) {
        if socket.set_nonblocking(true).is_ok() {
            let door = self.door(path);
            *door.socket.write().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        }
    }

    /// Waits until a message could not be sent because no socket leads to its receiver.
    pub async fn knocked(&self) {
        self.0.knock.notified().await;
    }

    pub(super) fn door(&self, path: &Path) -> Arc<Door> {
        let mut doors = self.0.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Door {
                socket: RwLock::new(None),
                is_outside: AtomicBool::new(false),
                knock: self.0.knock.clone(),
            })
        };
        doors.entry(path.to_owned()).or_insert_with(new).clone()
    }
}

impl Door {
    /// Sends by path, as long as there is one inside of the root directory, as HAProxy does;
    /// otherwise through the connected socket.
    pub(super) fn send(
        &self,
        line: &[u8],
        by_path: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.is_outside.load(Relaxed) {
            match by_path() {
                Err(error) if is_shut(&error) => self.is_outside.store(true, Relaxed),
                sent => return sent,
            }
        }
        let socket = self.socket.read().unwrap_or_else(PoisonError::into_inner);
        let sent = match &*socket {
            Some(socket) => socket.send(line).map(drop),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if sent.as_ref().is_err_and(is_shut) {
            // The next line looks for the path again.
            self.is_outside.store(false, Relaxed);
            self.knock.notify_one();
        }
        sent
    }
}

/// Whether the receiver has gone, rather than being slow.
fn is_shut(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_comes_back_is_reached_through_a_new_socket() {
        let directory = std::env::temp_dir().join(format!("evenkeel-doors-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("log");
        let nowhere = || Err(io::ErrorKind::NotFound.into());
        let doors = Doors::default();
        let door = doors.door(&path);
        assert!(
            door.send(b"lost", nowhere).is_err(),
            "there is no socket yet"
        );
        for text in ["first", "second"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            let connected = UnixDatagram::unbound().unwrap();
            connected.connect(&path).unwrap();
            doors.open(&path, connected);
            door.send(text.as_bytes(), nowhere).unwrap();
            let mut buffer = [0; 16];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
            assert!(
                door.send(b"lost", nowhere).is_err(),
                "the receiver has gone"
            );
        }
        door.send(b"inside", || Ok(())).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
