//! What of a connection decides its server: fetched, converted, hashed.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config::{
    Balance, HashConverter, HashFetch, HashFunction, HashKey, HashMethod, Hashing, NodeKey,
    ServerAddress,
};
use fastrand::Rng;

use super::hash::{hash, mix, xxh32};

/// The two ends of a client's connection; `None`: it has no IP address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client's.
    pub(crate) source: Option<SocketAddr>,
    /// Where it connected to.
    pub(crate) destination: Option<SocketAddr>,
}

/// Makes a number of a connection.
#[derive(Debug)]
pub(super) struct KeyRule {
    key: Key,
    function: HashFunction,
    mixed: bool,
}

#[derive(Debug)]
enum Key {
    /// `balance source`: the words of the client's address, which no function hashes.
    Source,
    Expression(HashKey),
    /// Never there.
    Missing,
}

/// A value on its way from fetch to hash.
enum Value {
    Ip(IpAddr),
    Number(i64),
    Text(Vec<u8>),
}

impl KeyRule {
    /// `None` where no connection decides.
    pub(super) fn of(balance: &Balance, hashing: Hashing) -> Option<Self> {
        let key = match balance {
            Balance::Source => Key::Source,
            Balance::Hash(key) => Key::Expression(key.clone()),
            Balance::RdpCookie => Key::Missing,
            _ => return None,
        };
        Some(Self {
            key,
            function: hashing.function,
            mixed: hashing.avalanche,
        })
    }

    /// The number of a connection; `None`: it lacks what is hashed.
    pub(super) fn hash(&self, ends: &Ends, rng: &mut Rng) -> Option<u32> {
        let number = match &self.key {
            Key::Source => fold_words(ends.source?.ip().to_canonical()),
            Key::Expression(key) => hash(self.function, &evaluate(key, ends, rng)?.bytes()),
            Key::Missing => return None,
        };
        Some(if self.mixed { mix(number) } else { number })
    }
}

fn fold_words(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (0..4).fold(0, |hash, word| hash ^ (bits >> (32 * word)) as u32)
        }
    }
}

fn evaluate(key: &HashKey, ends: &Ends, rng: &mut Rng) -> Option<Value> {
    let ip = |end: Option<SocketAddr>| end.map(|end| Value::Ip(end.ip().to_canonical()));
    let port = |end: Option<SocketAddr>| end.map(|end| Value::Number(end.port().into()));
    let fetched = match &key.fetch {
        HashFetch::Source => ip(ends.source),
        HashFetch::SourcePort => port(ends.source),
        HashFetch::Destination => ip(ends.destination),
        HashFetch::DestinationPort => port(ends.destination),
        HashFetch::Random(None) => Some(Value::Number(rng.u32(..).into())),
        HashFetch::Random(Some(bound)) => Some(Value::Number(rng.u32(..bound).into())),
        HashFetch::Number(number) => Some(Value::Number(*number)),
        HashFetch::Text(text) => Some(Value::Text(text.clone().into_bytes())),
    };
    key.converters
        .iter()
        .try_fold(fetched?, |value, converter| match *converter {
            HashConverter::Mask { v4, v6 } => value.masked(v4.to_bits(), v6.map(|v6| v6.to_bits())),
            HashConverter::Function(function, mixed) => {
                let number = hash(function, &value.bytes());
                let number = if mixed { mix(number) } else { number };
                Some(Value::Number(number.into()))
            }
            HashConverter::Modulo(by) => Some(Value::Number(value.number()?.checked_rem(by)?)),
        })
}

impl Value {
    /// What is hashed of it.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Ip(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Number(number) => number.to_be_bytes().to_vec(),
            Self::Text(text) => text.clone(),
        }
    }

    fn masked(&self, v4: u32, v6: Option<u128>) -> Option<Self> {
        match self {
            Self::Ip(IpAddr::V4(ip)) => Some(Self::Ip(IpAddr::V4((ip.to_bits() & v4).into()))),
            Self::Ip(IpAddr::V6(ip)) => Some(Self::Ip(IpAddr::V6((ip.to_bits() & v6?).into()))),
            // HAProxy reads a number as an IPv4 address.
            Self::Number(number) => Some(Self::Ip(IpAddr::V4((*number as u32 & v4).into()))),
            Self::Text(_) => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Ip(IpAddr::V4(ip)) => Some(ip.to_bits().into()),
            Self::Number(number) => Some(*number),
            Self::Ip(IpAddr::V6(_)) | Self::Text(_) => None,
        }
    }
}

/// From where a server's points on a ring are counted.
pub(crate) fn node_key(key: NodeKey, id: u32, address: &ServerAddress) -> u32 {
    let (ip, port) = match address {
        ServerAddress::Inet(address) => (address.ip(), address.port()),
        ServerAddress::Mapped { ip, .. } => (*ip, 0),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => return mix(id),
    };
    let seed = match key {
        NodeKey::Id => return mix(id),
        NodeKey::Address => 0,
        NodeKey::AddressPort => mix(port.into()),
    };
    match ip {
        IpAddr::V4(ip) => mix(seed.wrapping_add(u32::from_le_bytes(ip.octets()))),
        IpAddr::V6(ip) => xxh32(ip.octets(), seed),
    }
}

/// Whether hashes lead to a ring.
pub(super) fn is_on_ring(balance: &Balance, hashing: Hashing) -> bool {
    matches!(balance, Balance::Random { .. })
        || balance.is_hash() && hashing.method == HashMethod::Consistent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_bits_and_a_long_one_its_words_xored() {
        assert_eq!(fold_words("10.0.1.10".parse().unwrap()), 0x0a00_010a);
        assert_eq!(
            fold_words("1:2:3:4:5:6:7:8".parse().unwrap()),
            0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006 ^ 0x0007_0008
        );
    }

    #[test]
    fn what_a_connection_lacks_decides_nothing() {
        let rule = |text: &str| {
            let balance = text.parse().unwrap();
            KeyRule::of(&balance, Hashing::default()).unwrap()
        };
        let ends = Ends {
            source: Some("[2001:db8::1]:5".parse().unwrap()),
            destination: None,
        };
        let rng = &mut Rng::with_seed(1);
        for (text, is_there) in [
            ("source", true),
            ("hash src", true),
            ("hash src_port", true),
            ("hash dst", false),
            ("hash dst_port", false),
            ("hash src,ipmask(24)", false),
            ("hash src,ipmask(24,64)", true),
            ("hash src,mod(3)", false),
            ("hash int(1)", true),
            ("rdp-cookie", false),
        ] {
            assert_eq!(rule(text).hash(&ends, rng).is_some(), is_there, "{text}");
        }
        assert!(KeyRule::of(&Balance::First, Hashing::default()).is_none());
    }
}
