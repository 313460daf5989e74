//! What a test can ask for, by files in `/run/doubles`:
//!
//! | file | effect on this machine |
//! |---|---|
//! | `clock` | seconds added to the time, for what expires |
//! | `join-hangs` | `kubeadm join` stops after its first lines and never ends |
//! | `init-hangs` | the same for `kubeadm init` |
//! | `slow-readyz` | seconds that the API server takes to be ready |
//! | `no-registry` | no image can be pulled |
//! | `no-quorum` | etcd says that it has no leader |
//! | `kubelet-sick` | kubelet runs, but posts nothing |

use std::fs;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What the file of a fault holds, if it is there.
pub fn on(name: &str) -> Option<String> {
    fs::read_to_string(format!("/run/doubles/{name}"))
        .ok()
        .map(|text| text.trim().to_owned())
}

/// Stops here for ever if the fault is asked for.
pub fn hang(name: &str) {
    while on(name).is_some() {
        thread::sleep(Duration::from_millis(100));
    }
}

/// The time, to the second.
pub fn now() -> Timestamp {
    let ahead = on("clock").and_then(|text| text.parse().ok()).unwrap_or(0);
    let now = Timestamp::now() + SignedDuration::from_secs(ahead);
    Timestamp::from_second(now.as_second()).unwrap()
}
