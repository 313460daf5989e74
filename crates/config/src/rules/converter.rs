//! Converters: what turns a sample into another before it is matched (HAProxy manual, 7.3.1).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::call::Call;
use super::network::{v4_mask, v6_mask};
use super::sample::{Kind, Sample};

/// One converter with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converter {
    /// `add`, `sub`, `mul`, `div`, `mod`, `and`, `or`, `xor`.
    Arithmetic(Operator, i64),
    /// `neg`: the number with the other sign.
    Neg,
    /// `cpl`: every bit turned over.
    Cpl,
    /// `bool`: whether the number is not 0.
    Bool,
    /// `not`: whether the number is 0.
    Not,
    /// `even`.
    Even,
    /// `odd`.
    Odd,
    /// `lower`.
    Lower,
    /// `upper`.
    Upper,
    /// `length`.
    Length,
    /// `ipmask`: the network that an address is in.
    IpMask {
        /// Which bits of an IPv4 address stay.
        v4: u32,
        /// Which bits of an IPv6 address stay.
        v6: u128,
    },
    /// `field`: what stands between delimiters; counted from 1, from the end if negative.
    Field {
        /// Which one.
        index: i64,
        /// What separates them.
        delimiters: Vec<u8>,
    },
}

/// Operators on 64-bit numbers; where a result does not fit it saturates, as in HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as HAProxy names them")]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
}

/// What every converter is called.
pub(crate) const NAMES: [&str; 19] = [
    "add", "sub", "mul", "div", "mod", "and", "or", "xor", "neg", "cpl", "bool", "not", "even",
    "odd", "lower", "upper", "length", "ipmask", "field",
];

impl Converter {
    /// The converter of a name and its arguments; `None`: there is none of that name here.
    pub(crate) fn parse(call: &Call) -> Option<Result<Self, String>> {
        let operator = match call.name.as_str() {
            "add" => Some(Operator::Add),
            "sub" => Some(Operator::Sub),
            "mul" => Some(Operator::Mul),
            "div" => Some(Operator::Div),
            "mod" => Some(Operator::Mod),
            "and" => Some(Operator::And),
            "or" => Some(Operator::Or),
            "xor" => Some(Operator::Xor),
            _ => None,
        };
        if let Some(operator) = operator {
            return Some(arithmetic(call, operator));
        }
        let plain = match call.name.as_str() {
            "neg" => Self::Neg,
            "cpl" => Self::Cpl,
            "bool" => Self::Bool,
            "not" => Self::Not,
            "even" => Self::Even,
            "odd" => Self::Odd,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "length" => Self::Length,
            "ipmask" => return Some(ip_mask(call)),
            "field" => return Some(field(call)),
            _ => return None,
        };
        Some(call.at_most(0).map(|()| plain))
    }

    /// The kind it takes and the kind it makes.
    pub(crate) fn kinds(&self) -> (Kind, Kind) {
        match self {
            Self::Arithmetic(..) | Self::Neg | Self::Cpl => (Kind::Int, Kind::Int),
            Self::Bool | Self::Not | Self::Even | Self::Odd => (Kind::Int, Kind::Bool),
            Self::Lower | Self::Upper | Self::Field { .. } => (Kind::Text, Kind::Text),
            Self::Length => (Kind::Text, Kind::Int),
            Self::IpMask { .. } => (Kind::Ip, Kind::Ip),
        }
    }

    /// The converted sample; `None`: it has no value of the kind that is converted.
    #[must_use]
    pub fn apply<'a>(&self, sample: Sample<'a>) -> Option<Sample<'a>> {
        Some(match self {
            Self::Arithmetic(operator, value) => {
                Sample::Int(operator.apply(sample.as_int()?, *value))
            }
            Self::Neg => Sample::Int(sample.as_int()?.saturating_neg()),
            Self::Cpl => Sample::Int(!sample.as_int()?),
            Self::Bool => Sample::Bool(sample.as_int()? != 0),
            Self::Not => Sample::Bool(sample.as_int()? == 0),
            Self::Even => Sample::Bool(sample.as_int()? & 1 == 0),
            Self::Odd => Sample::Bool(sample.as_int()? & 1 == 1),
            Self::Lower => changed(&sample, |text| text.make_ascii_lowercase()),
            Self::Upper => changed(&sample, |text| text.make_ascii_uppercase()),
            Self::Length => Sample::Int(i64::try_from(sample.as_text().len()).ok()?),
            Self::IpMask { v4, v6 } => Sample::Ip(match sample.as_ip()? {
                IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & v4).into(),
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & v6).into(),
            }),
            Self::Field { index, delimiters } => {
                let text = sample.as_text();
                let mut fields: Vec<&[u8]> = text.split(|byte| delimiters.contains(byte)).collect();
                if *index < 0 {
                    fields.reverse();
                }
                let at = usize::try_from(index.unsigned_abs()).ok()?.checked_sub(1)?;
                Sample::Text(Cow::Owned(fields.get(at)?.to_vec()))
            }
        })
    }
}

impl Operator {
    fn apply(self, left: i64, right: i64) -> i64 {
        match self {
            Self::Add => left.saturating_add(right),
            Self::Sub => left.saturating_sub(right),
            Self::Mul => left.saturating_mul(right),
            Self::Div if right == 0 => i64::MAX,
            Self::Div => left.saturating_div(right),
            Self::Mod if right == 0 => 0,
            Self::Mod => left.wrapping_rem(right),
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
        }
    }
}

fn changed<'a>(sample: &Sample<'_>, change: impl Fn(&mut Vec<u8>)) -> Sample<'a> {
    let mut text = sample.as_text().into_owned();
    change(&mut text);
    Sample::Text(Cow::Owned(text))
}

fn arithmetic(call: &Call, operator: Operator) -> Result<Converter, String> {
    call.at_most(1)?;
    let text = call.required(0, "a number")?;
    text.parse()
        .map(|value| Converter::Arithmetic(operator, value))
        .map_err(|_| match text.split_once('.') {
            Some(("proc" | "sess" | "txn" | "req" | "res" | "check", _)) => {
                format!(
                    "'{}' takes a number here: variables are not kept",
                    call.name
                )
            }
            _ => format!("'{}' expects a whole number, not '{text}'", call.name),
        })
}

fn ip_mask(call: &Call) -> Result<Converter, String> {
    call.at_most(2)?;
    let text = call.required(0, "an IPv4 mask, as in ipmask(24)")?;
    let v4 = v4_mask(Some(text))
        .ok_or_else(|| format!("'{text}' is no IPv4 mask; write 0 to 32 or 255.255.255.0"))?;
    let v6 = match call.argument(1) {
        None => u128::MAX,
        Some(text) => {
            v6_mask(text).ok_or_else(|| format!("'{text}' is no IPv6 mask; write 0 to 128"))?
        }
    };
    Ok(Converter::IpMask { v4, v6 })
}

fn field(call: &Call) -> Result<Converter, String> {
    call.at_most(2)?;
    let index = call.required(0, "the field's number")?;
    let delimiters = call
        .required(1, "what separates the fields")?
        .as_bytes()
        .to_vec();
    let index = index.parse::<i64>().ok().filter(|index| *index != 0);
    let index = index.ok_or("'field' counts from 1, or from -1 at the end")?;
    Ok(Converter::Field { index, delimiters })
}

#[cfg(test)]
mod tests {
    use super::super::call::calls;
    use super::*;

    #[track_caller]
    fn check(text: &str, from: Sample<'_>, expected: Option<Sample<'_>>) {
        let call = calls(text).unwrap().remove(0);
        let converter = Converter::parse(&call).unwrap().unwrap();
        assert_eq!(converter.apply(from), expected, "{text}");
    }

    #[test]
    fn converters_convert() {
        use Sample::{Bool, Int};
        check("add(2)", Int(3), Some(Int(5)));
        check("add(2)", Int(i64::MAX), Some(Int(i64::MAX)));
        check("sub(2)", Sample::text("7"), Some(Int(5)));
        check("mul(3)", Int(3), Some(Int(9)));
        check("div(0)", Int(3), Some(Int(i64::MAX)));
        check("mod(0)", Int(3), Some(Int(0)));
        check("mod(2)", Int(3), Some(Int(1)));
        check("and(6)", Int(3), Some(Int(2)));
        check("or(4)", Int(3), Some(Int(7)));
        check("xor(1)", Int(3), Some(Int(2)));
        check("neg", Int(3), Some(Int(-3)));
        check("cpl", Int(0), Some(Int(-1)));
        check("bool", Int(5), Some(Bool(true)));
        check("not", Int(5), Some(Bool(false)));
        check("even", Int(4), Some(Bool(true)));
        check("odd", Int(4), Some(Bool(false)));
        check("lower", Sample::text("Ab"), Some(Sample::text("ab")));
        check("upper", Sample::text("Ab"), Some(Sample::text("AB")));
        check("length", Sample::text("Ab"), Some(Int(2)));
        check("field(2,/)", Sample::text("a/b/c"), Some(Sample::text("b")));
        check(
            "field(-1,/)",
            Sample::text("a/b/c"),
            Some(Sample::text("c")),
        );
        check("field(4,/)", Sample::text("a/b/c"), None);
        let ip = |text: &str| Sample::Ip(text.parse().unwrap());
        check("ipmask(24)", ip("1.2.3.4"), Some(ip("1.2.3.0")));
        check("ipmask(24,64)", ip("2001:db8::1"), Some(ip("2001:db8::")));
        check("add(1)", ip("1.2.3.4"), None);
    }
}
