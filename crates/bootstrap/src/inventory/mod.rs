//! What the operator wants: `cluster.toml` as values that are final. Knows nothing of what the hosts
//! are like at the moment; that is [`Facts`](crate::facts::Facts).

mod go_duration;
pub mod init;
mod keys;
mod model;
mod read;

use std::ops::RangeInclusive;

pub(crate) use go_duration::go_duration;
pub use keys::cluster_toml_markdown;
pub use model::{
    Artefacts, Balancer, Cni, Endpoint, Image, Inventory, KubeadmPatches, Node, Role, Runtime,
    Source, Ssh, Transport, Version, Vrrp,
};
pub use read::{Loaded, Surroundings, load, load_text, read};
use read::{printable, usable};

/// The minor releases of Kubernetes 1 whose kubeadm reads what is written for it: `v1beta4` came with
/// 1.31, and 1.37 is the newest that was tried.
pub const SUPPORTED_MINORS: RangeInclusive<u16> = 31..=37;
