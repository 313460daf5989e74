//! What hosts and the cluster are like at the moment: asked once, read only, all hosts at the same time.
//! Knows nothing of what is wanted.

mod answer;
mod archives;
mod brought;
mod cluster;
mod gather;
mod listeners;
mod model;
mod script;

pub use archives::archives;
pub use brought::Brought;
pub use gather::{ask_cluster, gather};
pub(crate) use model::packages_of;
pub use model::{
    Certificate, ClusterFacts, ClusterNode, Content, DRAINED, Facts, FileFacts, HostFacts,
    Interface, Kube, Listener, Manifest, Mount, Os, Package, PackageManager, RuntimeFacts, Unit,
};
