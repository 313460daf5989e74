//! Numbers of bytes: the functions of `hash-type`, and the mixing that may follow them.

use evenkeel_config::HashFunction;

/// What `function` makes of `bytes`.
pub(super) fn hash(function: HashFunction, bytes: &[u8]) -> u32 {
    let words = bytes.iter().map(|&byte| u32::from(byte));
    match function {
        HashFunction::Sdbm => {
            words.fold(0, |hash, byte| byte.wrapping_add(hash.wrapping_mul(65599)))
        }
        HashFunction::Djb2 => {
            words.fold(5381, |hash, byte| byte.wrapping_add(hash.wrapping_mul(33)))
        }
        HashFunction::Wt6 => wt6(words),
        HashFunction::Crc32 => !words.fold(!0, |crc, byte| {
            // Ethernet's polynomial, its bits in the order of the wire.
            (0..8).fold(crc ^ byte, |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
        }),
        HashFunction::None => digits(bytes),
    }
}

/// Two halves that are turned by as many bits as they themselves say, and change places.
fn wt6(bytes: impl Iterator<Item = u32>) -> u32 {
    let (mut left, mut right) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut turn_right, mut turn_left) = (6, 18);
    for byte in bytes {
        left = !(left ^ byte);
        right = !right.wrapping_add(byte);
        (left, right) = (right.rotate_left(turn_right), left.rotate_left(turn_left));
        let turns = ((left >> 16) ^ right) & 0xffff;
        (turn_right, turn_left) = (turns & 31, turns >> 11);
    }
    left ^ right
}

/// The decimal number that the bytes begin with; 0 if they begin with none.
fn digits(bytes: &[u8]) -> u32 {
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_u32, |number, &digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u32::from(digit - b'0'))
    });
    if negative {
        number.wrapping_neg()
    } else {
        number
    }
}

/// Mixes so that each bit of the result depends on each bit of `number`: Bob Jenkins's full
/// avalanche of four bytes, spread further by a prime of three quarters of the range.
pub(super) fn mix(number: u32) -> u32 {
    let mut a = number;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

/// XXH32 of the sixteen bytes of an IPv6 address.
pub(super) fn xxh32(bytes: [u8; 16], seed: u32) -> u32 {
    const PRIMES: [u32; 4] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f];
    let lanes = [
        seed.wrapping_add(PRIMES[0]).wrapping_add(PRIMES[1]),
        seed.wrapping_add(PRIMES[1]),
        seed,
        seed.wrapping_sub(PRIMES[0]),
    ];
    let (words, _) = bytes.as_chunks::<4>();
    let lane = |at: usize| {
        let word = u32::from_le_bytes(words[at]);
        let lane = lanes[at].wrapping_add(word.wrapping_mul(PRIMES[1]));
        lane.rotate_left(13).wrapping_mul(PRIMES[0])
    };
    let merged = [(0, 1), (1, 7), (2, 12), (3, 18)]
        .into_iter()
        .fold(16_u32, |sum, (at, turn)| {
            sum.wrapping_add(lane(at).rotate_left(turn))
        });
    let mut hash = (merged ^ (merged >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        assert_eq!(hash(HashFunction::Crc32, b"123456789"), 0xcbf4_3926);
        assert_eq!(hash(HashFunction::Djb2, b"a"), 5381 * 33 + 97);
        assert_eq!(hash(HashFunction::Sdbm, b"ab"), 97 * 65599 + 98);
        assert_eq!(hash(HashFunction::None, b"-12x"), 12_u32.wrapping_neg());
        assert_eq!(hash(HashFunction::None, b"x"), 0);
    }
}
