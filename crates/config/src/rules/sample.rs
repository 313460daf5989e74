//! What a fetch finds: a value of one of five kinds, and how one kind reads as another.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

/// The kind of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// An IP address.
    Ip,
    /// Text.
    Text,
    /// Bytes that have no matching method of their own.
    Binary,
}

/// One value. Text and binary are bytes: nothing promises that a peer sends UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An IP address.
    Ip(IpAddr),
    /// Text or binary.
    Text(Cow<'a, [u8]>),
}

impl<'a> Sample<'a> {
    /// Text that is already there.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }

    /// The same without what it borrows.
    #[must_use]
    pub fn into_owned(self) -> Sample<'static> {
        match self {
            Self::Bool(value) => Sample::Bool(value),
            Self::Int(value) => Sample::Int(value),
            Self::Ip(ip) => Sample::Ip(ip),
            Self::Text(text) => Sample::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The value as a number; `None` where it is none.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Int(value) => Some(*value),
            Self::Ip(_) => None,
            Self::Text(text) => leading_number(text),
        }
    }

    /// The value as an address: a number is an IPv4 address, as in HAProxy.
    #[must_use]
    pub fn as_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Int(value) => {
                let bits = u32::try_from(value & 0xffff_ffff).ok()?;
                Some(Ipv4Addr::from_bits(bits).into())
            }
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Bool(_) => None,
        }
    }

    /// The value as text.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bool(value) => Cow::Borrowed(if *value { b"1" } else { b"0" }),
            Self::Int(value) => Cow::Owned(value.to_string().into_bytes()),
            Self::Ip(ip) => Cow::Owned(ip.to_string().into_bytes()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// The digits that text begins with, as a number.
fn leading_number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let number: i64 = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_as_others() {
        assert_eq!(Sample::text("12ab").as_int(), Some(12));
        assert_eq!(Sample::text("-3").as_int(), Some(-3));
        assert_eq!(Sample::text("x").as_int(), None);
        assert_eq!(Sample::Bool(true).as_int(), Some(1));
        let ip = "1.2.3.4".parse().unwrap();
        assert_eq!(Sample::Int(0x0102_0304).as_ip(), Some(ip));
        assert_eq!(Sample::text("1.2.3.4").as_ip(), Some(ip));
        assert_eq!(&*Sample::Ip(ip).as_text(), b"1.2.3.4");
        assert_eq!(&*Sample::Bool(false).as_text(), b"0");
    }
}
