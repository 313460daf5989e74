//! What the operator wants: `cluster.toml` as values that are final. Knows nothing of what the hosts
//! are like at the moment; that is [`Facts`](crate::facts::Facts).

mod model;

pub use model::{
    Artefacts, Balancer, Cni, Endpoint, Image, Inventory, KubeadmPatches, Node, Role, Runtime,
    Source, Ssh, Transport, Version, Vrrp,
};
