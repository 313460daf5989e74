//! The token and certificate key of one run: made here, known to nobody but the nodes.

use super::clock::now_ms;
use crate::secret::Secret;

/// A bootstrap token and a key for the uploaded certificates.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `[a-z0-9]{6}.[a-z0-9]{16}`.
    pub token: Secret,
    /// 64 hexadecimal digits: an AES key of 32 bytes.
    pub certificate_key: Secret,
    made_ms: i64,
}

/// The certificates that kubeadm uploads live for 2 h, a token for 24 h; a join takes minutes.
const YOUNG_MS: i64 = 60 * 60 * 1000;

impl Credentials {
    /// New ones, from the system's randomness.
    ///
    /// # Errors
    ///
    /// If the kernel has none to give.
    pub fn mint() -> Result<Self, getrandom::Error> {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut token = String::with_capacity(23);
        while token.len() < 23 {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes)?;
            // 252 is the greatest multiple of 36 in a byte: above it letters would not be equally likely.
            for byte in bytes.into_iter().filter(|byte| *byte < 252) {
                if token.len() == 6 {
                    token.push('.');
                }
                if token.len() < 23 {
                    token.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
                }
            }
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            token: Secret::new(token),
            certificate_key: Secret::new(key),
            made_ms: now_ms(),
        })
    }

    /// Whether a join that begins now will end before they do.
    #[must_use]
    pub fn are_young(&self) -> bool {
        self.is_young_at(now_ms())
    }

    fn is_young_at(&self, now_ms: i64) -> bool {
        now_ms - self.made_ms < YOUNG_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_a_key_have_the_forms_that_kubeadm_takes() {
        let made = Credentials::mint().expect("the kernel has randomness");
        let token = made.token.reveal();
        let (id, secret) = token.split_once('.').expect("a dot");
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        assert!(
            id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret),
            "{token}"
        );
        let key = made.certificate_key.reveal();
        assert!(
            key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{key}"
        );
        assert_ne!(Credentials::mint().expect("again").token, made.token);
        assert!(made.are_young());
        assert!(
            !made.is_young_at(now_ms() + YOUNG_MS),
            "an hour of sleep counts"
        );
    }
}
