//! Who is asked for the addresses of servers while the process runs (HAProxy manual, section 5.3).

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::Place;

/// A `resolvers` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolvers {
    /// Unique.
    pub name: String,
    /// Where the section begins.
    pub place: Place,
    /// All are asked at once; the first valid answer counts.
    pub nameservers: Vec<Nameserver>,
    /// `resolve_retries`: how often a question is asked that nobody answers, 3 unless set.
    pub retries: u32,
    /// `timeout resolve`: from one question to the next.
    pub resolve: Duration,
    /// `timeout retry`: how long an answer may take.
    pub retry: Duration,
    /// How long the last valid answer counts in spite of what came after it.
    pub hold: Hold,
    /// `accepted_payload_size`: the largest answer over UDP, in bytes.
    pub payload_bytes: u16,
}

/// One server of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameserver {
    /// How logs call it.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
    /// Over TCP (`tcp@`) rather than UDP.
    pub is_tcp: bool,
}

/// The `hold` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// After an answer that there is no such name.
    pub nx: Duration,
    /// After a refusal.
    pub refused: Duration,
    /// After no answer.
    pub timeout: Duration,
    /// After any other failure.
    pub other: Duration,
    /// How long an address counts that answers leave out.
    pub obsolete: Duration,
}

/// How a server's name is kept resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// Index in [`crate::Config::resolvers`].
    pub resolvers: usize,
    /// The name; of a service (SRV) where it begins with `_`.
    pub name: String,
    /// `resolve-prefer`.
    pub prefer: Prefer,
    /// `resolve-net`: addresses that are taken before others.
    pub nets: Vec<IpNet>,
    /// `resolve-opts allow-dup-ip`: several servers of a backend may be at one address.
    pub allows_duplicates: bool,
    /// `resolve-opts ignore-weight`: weights of SRV records do not count.
    pub ignores_weight: bool,
}

impl Resolution {
    /// Whether the name is a service's: SRV records say hosts, ports and weights.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// The family of addresses that is taken where a name has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}
