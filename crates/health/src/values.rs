//! Texts that steps put together when a check runs.

use std::collections::HashMap;

use evenkeel_config::check::{Bytes, Converter, Expression, Piece, Sample, Template};

use crate::answer::Answer;

/// What the texts of a check can name.
#[derive(Debug, Default)]
pub(crate) struct Values<'v> {
    pub(crate) backend: &'v str,
    pub(crate) server: &'v str,
    pub(crate) node: &'v str,
    pub(crate) variables: Option<&'v HashMap<String, Vec<u8>>>,
    /// What has been received.
    pub(crate) received: &'v [u8],
    /// The same as an HTTP answer.
    pub(crate) answer: Option<&'v Answer<'v>>,
}

impl Values<'_> {
    pub(crate) fn text(&self, template: &Template) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(plain) => text.extend(plain),
                Piece::Value(expression) => text.extend(self.value(expression)),
            }
        }
        text
    }

    pub(crate) fn bytes(&self, bytes: &Bytes) -> Vec<u8> {
        let text = self.text(&bytes.template);
        if bytes.is_hex { from_hex(&text) } else { text }
    }

    pub(crate) fn value(&self, expression: &Expression) -> Vec<u8> {
        let mut value = self.sample(&expression.sample);
        for converter in &expression.converters {
            match converter {
                Converter::Upper => value.make_ascii_uppercase(),
                Converter::Lower => value.make_ascii_lowercase(),
                Converter::CutCrlf => {
                    let end = value.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    value.truncate(end.unwrap_or(value.len()));
                }
                Converter::Length => value = value.len().to_string().into_bytes(),
                Converter::Hex => value = to_hex(&value),
            }
        }
        value
    }

    fn sample(&self, sample: &Sample) -> Vec<u8> {
        match sample {
            Sample::Constant(value) => value.clone(),
            Sample::Backend => self.backend.into(),
            Sample::Server => self.server.into(),
            Sample::Host => self.node.into(),
            Sample::Variable(name) => self
                .variables
                .and_then(|variables| variables.get(name).cloned())
                .unwrap_or_default(),
            Sample::Status => self
                .answer
                .map(|answer| answer.status.to_string().into_bytes())
                .unwrap_or_default(),
            Sample::Header(wanted) => self
                .answer
                .and_then(|answer| {
                    let mut headers = answer.headers.iter().rev();
                    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
                })
                .map(|(_, value)| value.to_vec())
                .unwrap_or_default(),
            Sample::Body => self
                .answer
                .map(|answer| answer.body.to_vec())
                .unwrap_or_default(),
            Sample::Payload { offset, length } => {
                let rest = self.received.get(*offset..).unwrap_or_default();
                let end = if *length == 0 { rest.len() } else { *length };
                // HAProxy gives nothing rather than less than was asked for.
                rest.get(..end).unwrap_or_default().to_vec()
            }
        }
    }
}

/// The number that `text` begins with.
pub(crate) fn number(text: &[u8]) -> u32 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u32, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    })
}

/// Hexadecimal digits in capitals.
pub(crate) fn to_hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| DIGITS[usize::from(digit)])
        .collect()
}

/// The bytes that hexadecimal digits stand for; nothing where they are none.
fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .map(|byte| {
            let digit = char::from(*byte).to_digit(16)?;
            u8::try_from(digit).ok()
        })
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.unwrap_or_default();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}
