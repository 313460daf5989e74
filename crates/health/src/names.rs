//! Asks name servers for the addresses of a server, over and over (HAProxy manual, section 5.3.1).
//! Knows no servers: who follows a name is told what it stands for now.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_config::{Hold, Nameserver, Prefer, Resolvers};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::name_tally::NameTally;

/// Records of a service whose hosts are looked up; more servers than that no section has.
const MOST_RECORDS: usize = 256;

/// Where a server of a name is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its address.
    pub ip: IpAddr,
    /// What the record of a service says of it.
    pub service: Option<Service>,
}

/// What an SRV record says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// The host.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Its share, 1-256.
    pub weight: u16,
}

/// A valid answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Never empty.
    pub targets: Vec<Target>,
    /// The name server that answered.
    pub by: Arc<str>,
}

/// Why there is no valid answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no such name.
    #[error("DNS NX status")]
    Nx,
    /// The question was refused.
    #[error("DNS refused status")]
    Refused,
    /// Nobody answered.
    #[error("DNS timeout status")]
    Timeout,
    /// Anything else, such as a name without an address.
    #[error("unspecified DNS error")]
    Other,
}

impl Missing {
    /// How long an earlier answer counts in spite of it.
    fn hold(self, hold: &Hold) -> Duration {
        match self {
            Self::Nx => hold.nx,
            Self::Refused => hold.refused,
            Self::Timeout => hold.timeout,
            Self::Other => hold.other,
        }
    }
}

impl From<&NetError> for Missing {
    fn from(error: &NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Self::Nx,
                ResponseCode::Refused => Self::Refused,
                _ => Self::Other,
            },
            NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => Self::Nx,
            NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Self::Refused,
            // Nobody is there to answer.
            NetError::Timeout | NetError::NoConnections | NetError::Io(_) => Self::Timeout,
            _ => Self::Other,
        }
    }
}

/// The name servers of one section, each to be asked alone.
#[derive(Clone)]
struct Names {
    servers: Vec<Server>,
    retries: u32,
    retry: Duration,
}

#[derive(Clone)]
struct Server {
    label: Arc<str>,
    resolver: TokioResolver,
    tally: Arc<NameTally>,
}

impl Names {
    fn new(section: &Resolvers, tallies: &[Arc<NameTally>]) -> Self {
        let server = |(nameserver, tally): (&Nameserver, &Arc<NameTally>)| {
            let resolver = resolver(section, nameserver)
                .inspect_err(|error| {
                    let name = &nameserver.name;
                    tracing::error!(nameserver = name, %error, "a name server cannot be asked");
                })
                .ok()?;
            Some(Server {
                label: Arc::from(nameserver.name.as_str()),
                resolver,
                tally: tally.clone(),
            })
        };
        let nameservers = section.nameservers.iter().zip(tallies);
        Self {
            servers: nameservers.filter_map(server).collect(),
            retries: section.retries,
            retry: section.retry,
        }
    }

    async fn find(&self, name: &str, prefer: Prefer) -> Result<Found, Missing> {
        if !name.starts_with('_') {
            return self.addresses(name, prefer).await;
        }
        let (records, by) = self.ask(name, RecordType::SRV).await?;
        let mut targets = Vec::new();
        for record in records.answers().iter().take(MOST_RECORDS) {
            let RData::SRV(record) = &record.data else {
                continue;
            };
            let host = record.target.to_string();
            let host = host.trim_end_matches('.').to_owned();
            // A record whose host has no address is no server, those of others are.
            let Ok(found) = self.addresses(&host, prefer).await else {
                continue;
            };
            let service = Service {
                host,
                port: record.port,
                // From 16 bits to those that weights have.
                weight: record.weight / 256 + 1,
            };
            let first = found.targets.into_iter().next();
            targets.extend(first.map(|target| Target {
                service: Some(service),
                ..target
            }));
        }
        if targets.is_empty() {
            return Err(Missing::Other);
        }
        Ok(Found { targets, by })
    }

    /// The addresses of a host: those of the preferred family first, which alone are asked for if
    /// there are any.
    async fn addresses(&self, host: &str, prefer: Prefer) -> Result<Found, Missing> {
        let families = match prefer {
            Prefer::V4 => [RecordType::A, RecordType::AAAA],
            Prefer::V6 => [RecordType::AAAA, RecordType::A],
        };
        let mut missing = Missing::Other;
        for family in families {
            match self.ask(host, family).await {
                Ok((answer, by)) => {
                    let ips = answer
                        .answers()
                        .iter()
                        .filter_map(|record| match &record.data {
                            RData::A(ip) => Some(IpAddr::V4(ip.0)),
                            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
                            _ => None,
                        });
                    let targets: Vec<Target> = ips.map(|ip| Target { ip, service: None }).collect();
                    if !targets.is_empty() {
                        return Ok(Found { targets, by });
                    }
                }
                // Whoever does not answer this will not answer that.
                Err(Missing::Timeout) => return Err(Missing::Timeout),
                Err(other) => missing = other,
            }
        }
        Err(missing)
    }

    /// Asks every name server at once, again where nobody answers; the first valid answer counts,
    /// else the last failure.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<(Lookup, Arc<str>), Missing> {
        // As it stands: the system's search domains do not count.
        let mut name = Name::from_utf8(name).map_err(|_| Missing::Other)?;
        name.set_fqdn(true);
        for _ in 0..self.retries.max(1) {
            let began = Instant::now();
            let mut asked = JoinSet::new();
            let mut waits_for = vec![true; self.servers.len()];
            for (index, server) in self.servers.iter().enumerate() {
                let (resolver, name) = (server.resolver.clone(), name.clone());
                asked.spawn(async move { (resolver.lookup(name, kind).await, index) });
                server.tally.sent.fetch_add(1, Relaxed);
            }
            let mut missing = Missing::Timeout;
            let answered = timeout(self.retry, async {
                while let Some(answer) = asked.join_next().await {
                    match answer {
                        Ok((Ok(answer), index)) => {
                            let server = &self.servers[index];
                            server.tally.valid.fetch_add(1, Relaxed);
                            return Some((answer, server.label.clone()));
                        }
                        Ok((Err(error), index)) => {
                            waits_for[index] = false;
                            self.servers[index].tally.note(&error);
                            missing = Missing::from(&error);
                        }
                        Err(_) => missing = Missing::Other,
                    }
                }
                None
            });
            if let Ok(Some(answered)) = answered.await {
                return Ok(answered);
            }
            for (server, _) in self
                .servers
                .iter()
                .zip(waits_for)
                .filter(|(_, waits)| *waits)
            {
                server.tally.timeout.fetch_add(1, Relaxed);
            }
            if missing != Missing::Timeout {
                return Err(missing);
            }
            // One that is not there says so at once: it is given its time all the same.
            sleep_until(began + self.retry).await;
        }
        Err(Missing::Timeout)
    }
}

fn resolver(section: &Resolvers, nameserver: &Nameserver) -> Result<TokioResolver, NetError> {
    let connection = |mut connection: ConnectionConfig| {
        connection.port = nameserver.address.port();
        connection
    };
    // What is cut short over UDP is asked for again over TCP.
    let connections = if nameserver.is_tcp {
        vec![connection(ConnectionConfig::tcp())]
    } else {
        vec![
            connection(ConnectionConfig::udp()),
            connection(ConnectionConfig::tcp()),
        ]
    };
    let server = NameServerConfig::new(nameserver.address.ip(), true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = section.retry;
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.edns_payload_len = section.payload_bytes;
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

/// What there is to know of a name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// A valid answer came.
    Found(Found),
    /// There is none, and the last one counts no longer.
    Lost(Missing),
}

/// Asks for `name` every `timeout resolve`, for ever, and calls `publish` with each valid answer
/// and with each failure that the `hold` times do not cover. `is_known`: an answer of before counts,
/// as if it had come just now. What comes of it is counted in `tallies`, one for each name server.
pub async fn follow(
    section: Resolvers,
    tallies: Vec<Arc<NameTally>>,
    name: String,
    prefer: Prefer,
    is_known: bool,
    mut publish: impl FnMut(Known),
) -> Infallible {
    let names = Names::new(&section, &tallies);
    let mut held = Held {
        last: is_known.then(Instant::now),
        seen: Vec::new(),
    };
    loop {
        let began = Instant::now();
        let answer = names.find(&name, prefer).await;
        if let Some(known) = held.take(answer, &section.hold, Instant::now()) {
            publish(known);
        }
        sleep_until(began + section.resolve).await;
    }
}

/// What earlier answers said.
#[derive(Debug, Default)]
struct Held {
    /// When the last valid one came.
    last: Option<Instant>,
    /// Each target, and when it was last answered.
    seen: Vec<(Target, Instant)>,
}

impl Held {
    fn take(&mut self, answer: Result<Found, Missing>, hold: &Hold, now: Instant) -> Option<Known> {
        match answer {
            Ok(mut found) => {
                self.last = Some(now);
                self.seen.retain(|(target, at)| {
                    now < *at + hold.obsolete && !found.targets.contains(target)
                });
                let earlier = self.seen.iter().map(|(target, _)| target.clone());
                let earlier: Vec<Target> = earlier.collect();
                let answered = found.targets.iter().map(|target| (target.clone(), now));
                self.seen.extend(answered);
                found.targets.extend(earlier);
                Some(Known::Found(found))
            }
            Err(missing) => {
                let is_held = self
                    .last
                    .is_some_and(|last| now < last + missing.hold(hold));
                (!is_held).then_some(Known::Lost(missing))
            }
        }
    }
}

/// Where each of the servers of one name is to be: the one that it has while the name has it, else
/// one that no other has. `None`: there is none for it.
#[must_use]
pub fn seat(
    current: &[Option<SocketAddr>],
    targets: &[Target],
    nets: &[ipnet::IpNet],
    may_share: bool,
) -> Vec<Option<usize>> {
    let is_at = |target: &Target, place: SocketAddr| {
        let port = target.service.as_ref().map(|service| service.port);
        target.ip == place.ip() && port.is_none_or(|port| port == place.port())
    };
    let mut taken = vec![false; targets.len()];
    let mut seats = vec![None; current.len()];
    for (seat, place) in seats.iter_mut().zip(current) {
        let Some(place) = place else {
            continue;
        };
        let own = (0..targets.len())
            .find(|&index| (may_share || !taken[index]) && is_at(&targets[index], *place));
        if let Some(own) = own {
            taken[own] = true;
            *seat = Some(own);
        }
    }
    let rank = |index: &usize| !nets.iter().any(|net| net.contains(&targets[*index].ip));
    for seat in seats.iter_mut().filter(|seat| seat.is_none()) {
        let free = (0..targets.len()).filter(|&index| !taken[index]);
        // With fewer addresses than servers, they share them if they may.
        let next = free.min_by_key(rank).or_else(|| {
            let all = 0..targets.len();
            all.min_by_key(rank).filter(|_| may_share)
        });
        if let Some(next) = next {
            taken[next] = true;
            *seat = Some(next);
        }
    }
    seats
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(ip: &str) -> Target {
        Target {
            ip: ip.parse().unwrap(),
            service: None,
        }
    }

    fn at(ip: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip.parse().unwrap(), 6443))
    }

    #[test]
    fn servers_stay_where_they_are_and_share_nothing() {
        let targets = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(target);
        let seats = |current: &[Option<SocketAddr>]| seat(current, &targets, &[], false);
        assert_eq!(seats(&[None, None]), [Some(0), Some(1)]);
        assert_eq!(seats(&[at("10.0.0.3"), None]), [Some(2), Some(0)]);
        assert_eq!(seats(&[None, at("10.0.0.1")]), [Some(1), Some(0)]);
        // One that is gone makes room for one that is new.
        assert_eq!(seats(&[at("10.0.0.9"), at("10.0.0.2")]), [Some(0), Some(1)]);
        // Two at one address part.
        assert_eq!(seats(&[at("10.0.0.1"), at("10.0.0.1")]), [Some(0), Some(1)]);
        assert_eq!(seats(&[None; 4]), [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn servers_that_may_share_do_so_for_want_of_others() {
        let targets = ["10.0.0.1", "10.0.0.2"].map(target);
        let seats = |current: &[Option<SocketAddr>]| seat(current, &targets, &[], true);
        assert_eq!(seats(&[None; 3]), [Some(0), Some(1), Some(0)]);
        assert_eq!(seats(&[at("10.0.0.2"); 2]), [Some(1), Some(1)]);
    }

    #[test]
    fn preferred_networks_come_first() {
        let targets = ["10.0.0.1", "192.168.0.1"].map(target);
        let nets = ["192.168.0.0/16".parse().unwrap()];
        assert_eq!(seat(&[None], &targets, &nets, false), [Some(1)]);
        assert_eq!(seat(&[None; 2], &targets, &nets, false), [Some(1), Some(0)]);
        assert_eq!(seat(&[at("10.0.0.1")], &targets, &nets, false), [Some(0)]);
    }

    #[test]
    fn a_services_port_is_part_of_its_place() {
        let service = |port| Target {
            service: Some(Service {
                host: "a.test".into(),
                port,
                weight: 1,
            }),
            ..target("10.0.0.1")
        };
        let targets = [service(1), service(6443)];
        assert_eq!(seat(&[at("10.0.0.1")], &targets, &[], false), [Some(1)]);
    }

    #[test]
    fn failures_are_held_back_for_their_time() {
        let hold = Hold {
            nx: Duration::from_secs(10),
            refused: Duration::from_secs(20),
            timeout: Duration::from_secs(30),
            other: Duration::ZERO,
            obsolete: Duration::ZERO,
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let found = Found {
            targets: vec![target("10.0.0.1")],
            by: "ns1".into(),
        };
        let mut held = Held::default();
        let lost = |missing| Some(Known::Lost(missing));
        assert_eq!(
            held.take(Err(Missing::Timeout), &hold, at(0)),
            lost(Missing::Timeout)
        );
        assert_eq!(
            held.take(Ok(found.clone()), &hold, at(1)),
            Some(Known::Found(found))
        );
        assert_eq!(held.take(Err(Missing::Nx), &hold, at(10)), None);
        assert_eq!(
            held.take(Err(Missing::Nx), &hold, at(11)),
            lost(Missing::Nx)
        );
        assert_eq!(held.take(Err(Missing::Timeout), &hold, at(12)), None);
        assert_eq!(
            held.take(Err(Missing::Refused), &hold, at(21)),
            lost(Missing::Refused)
        );
        assert_eq!(
            held.take(Err(Missing::Other), &hold, at(2)),
            lost(Missing::Other)
        );
    }
}
