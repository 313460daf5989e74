//! Addresses and networks that an address is matched with (HAProxy manual, section 7.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address with a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4, with a mask of any shape.
    V4 {
        /// Already masked.
        address: u32,
        /// Which bits count.
        mask: u32,
    },
    /// IPv6, with a prefix.
    V6 {
        /// Already masked.
        address: u128,
        /// Which bits count.
        mask: u128,
    },
}

/// The prefix of 6to4 addresses, which hold an IPv4 one (RFC 3056).
const SIX_TO_FOUR: u128 = 0x2002;

impl Network {
    fn v4(address: u32, mask: u32) -> Self {
        Self::V4 {
            address: address & mask,
            mask,
        }
    }

    fn v6(address: Ipv6Addr, bits: u32) -> Self {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        Self::V6 {
            address: address.to_bits() & mask,
            mask,
        }
    }

    /// Reads `10.0.0.0/8`, `10.12/255.0.0.0`, `2001:db8::/32`; `None`: it is no address, perhaps a
    /// name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        if let Ok(address) = address.parse::<Ipv6Addr>() {
            let bits = mask.map_or(Some(128), |mask| prefix(mask, 128))?;
            return Some(Self::v6(address, bits));
        }
        Some(Self::v4(abbreviated(address)?, v4_mask(mask)?))
    }

    /// The network that a name stands for, with the mask that was written behind it.
    pub(crate) fn of_name(address: Ipv4Addr, mask: Option<&str>) -> Option<Self> {
        Some(Self::v4(address.to_bits(), v4_mask(mask)?))
    }

    /// Whether `ip` is in it; addresses of one family that hold one of the other count.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (*self, ip) {
            (Self::V4 { address, mask }, IpAddr::V4(ip)) => ip.to_bits() & mask == address,
            (Self::V6 { address, mask }, IpAddr::V6(ip)) => ip.to_bits() & mask == address,
            (Self::V4 { address, mask }, IpAddr::V6(ip)) => {
                embedded(ip.to_bits()).is_some_and(|ip| ip & mask == address)
            }
            (Self::V6 { address, mask }, IpAddr::V4(ip)) => {
                ip.to_ipv6_mapped().to_bits() & mask == address
            }
        }
    }
}

/// The IPv4 address in `2002:IPV4::`, `::IPV4` or `::ffff:IPV4`.
fn embedded(ip: u128) -> Option<u32> {
    if ip >> 112 == SIX_TO_FOUR {
        return u32::try_from(ip >> 80 & 0xffff_ffff).ok();
    }
    matches!(ip >> 32, 0 | 0xffff)
        .then_some(ip & 0xffff_ffff)
        .and_then(|ip| u32::try_from(ip).ok())
}

fn prefix(text: &str, most: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bits = text.parse().ok()?;
    (is_number && bits <= most).then_some(bits)
}

/// An IPv4 mask: bits or dotted.
pub(crate) fn v4_mask(text: Option<&str>) -> Option<u32> {
    let Some(text) = text else {
        return Some(u32::MAX);
    };
    if text.contains('.') {
        return Some(text.parse::<Ipv4Addr>().ok()?.to_bits());
    }
    Some(u32::MAX.checked_shl(32 - prefix(text, 32)?).unwrap_or(0))
}

/// An IPv6 mask: bits or an address.
pub(crate) fn v6_mask(text: &str) -> Option<u128> {
    if text.contains(':') {
        return Some(text.parse::<Ipv6Addr>().ok()?.to_bits());
    }
    Some(u128::MAX.checked_shl(128 - prefix(text, 128)?).unwrap_or(0))
}

/// An IPv4 address, of which octets in the middle may be left out: the last number fills what is
/// left (inet_aton(3)).
fn abbreviated(text: &str) -> Option<u32> {
    let mut parts = text.split('.').collect::<Vec<_>>();
    if parts.len() > 4 {
        return None;
    }
    let last = parts.pop()?;
    let mut address = 0_u64;
    for part in &parts {
        address = address << 8 | number(part).filter(|&octet| octet < 256)?;
    }
    let room = 8 * (4 - u32::try_from(parts.len()).ok()?);
    let last = number(last).filter(|last| last >> room == 0)?;
    u32::try_from(address << room | last).ok()
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network = Network::parse(network).unwrap();
        for (ips, expected) in [(inside, true), (outside, false)] {
            for ip in ips {
                assert_eq!(network.contains(ip.parse().unwrap()), expected, "{ip}");
            }
        }
    }

    #[test]
    fn networks_contain_addresses() {
        check("10.0.0.0/8", &["10.1.2.3"], &["11.0.0.1"]);
        check("192.168.0.1/22", &["192.168.3.9"], &["192.168.4.1"]);
        check("10.12/8", &["10.200.0.1"], &["12.0.0.1"]);
        check("10.12", &["10.0.0.12"], &["10.12.0.0"]);
        check("127.1", &["127.0.0.1"], &["127.0.0.2"]);
        check("10.0.0.5/255.0.0.255", &["10.9.9.5"], &["10.0.0.6"]);
        check("0.0.0.0/0", &["1.2.3.4"], &[]);
        check(
            "1.2.3.4",
            &["1.2.3.4", "::ffff:1.2.3.4", "2002:102:304::", "::1.2.3.4"],
            &["::1"],
        );
        check(
            "2001:db8::/32",
            &["2001:db8:1::1"],
            &["2001:db9::1", "1.2.3.4"],
        );
        check("::ffff:1.2.3.0/120", &["1.2.3.4"], &["1.2.4.4"]);
        check("::/0", &["1.2.3.4", "::1"], &[]);
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "1.2.3.0/33",
            "1.2.3.999",
            "::1/129",
            "1.2.3.4/",
            "/",
            "*",
            "1.2.3.4,1.2.3.5",
            "gt",
            "fe80::1%lo",
            "1.2.3.4.5",
            "",
            "1..2",
            "4294967296",
            "+1",
            "1.2.3.4/+8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
