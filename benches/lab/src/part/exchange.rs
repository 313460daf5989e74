//! What client and origin say to each other: 200 bytes that name a number and the length of the
//! answer; an answer that begins with that number, so that a mixed-up relay is noticed.

/// Bytes of a request.
pub(crate) const REQUEST_BYTES: usize = 200;

/// Bytes of the usual answer.
pub(crate) const ANSWER_BYTES: usize = 1024;

/// The length that asks for bytes until the connection is closed.
pub(crate) const ENDLESS: u64 = u64::MAX;

/// A request for `length` bytes.
pub(crate) fn request(number: u64, length: u64) -> [u8; REQUEST_BYTES] {
    let mut bytes = [b'.'; REQUEST_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The number and the wanted length of a whole request.
pub(crate) fn asked(request: &[u8; REQUEST_BYTES]) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&request[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0), word(8))
}

/// Whether an answer belongs to request `number`.
pub(crate) fn answers(answer: &[u8], number: u64) -> bool {
    answer.starts_with(&number.to_le_bytes())
}
