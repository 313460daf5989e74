//! How connections are made and marked: source addresses, PROXY protocol headers, socket options.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// The header that a server is sent before anything else (PROXY protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendProxy {
    /// One line of text (`send-proxy`).
    V1,
    /// Binary (`send-proxy-v2` and `proxy-v2-options`).
    V2 {
        /// Says that the client did not come over TLS (`send-proxy-v2-ssl`, `-ssl-cn`).
        tls: bool,
        /// With a checksum.
        crc32c: bool,
    },
}

/// Where connections to a server come from (HAProxy manual, `source`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFrom {
    /// Unspecified: whatever the system chooses.
    pub address: IpAddr,
    /// `None`: the system chooses.
    pub ports: Option<RangeInclusive<u16>>,
    /// `usesrc`: whose address a client's connection bears instead; checks keep `address`.
    pub instead: Option<Instead>,
    /// `interface`: SO_BINDTODEVICE.
    pub interface: Option<String>,
}

/// Whose address a connection bears that is made in the name of a client (`usesrc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The client's address and port.
    Client,
    /// The client's address; the system chooses the port.
    ClientIp,
    /// This one; port 0: the system chooses.
    Address(SocketAddr),
}
