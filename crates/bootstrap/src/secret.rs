//! Text that must not be seen: nothing prints it by accident.

use std::fmt;

/// A token, key or password. `Debug` prints nothing of it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes hold of it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whoever must send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Takes all of `secrets` out of `text`, for logs and messages.
#[must_use]
pub fn mask(text: &str, secrets: &[&Secret]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.0.is_empty())
        .fold(text.to_owned(), |text, secret| {
            text.replace(&secret.0, "******")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere() {
        let token = Secret::new("abcdef.0123456789abcdef".to_owned());
        assert_eq!(format!("{token:?}"), "Secret");
        assert_eq!(
            mask("join --token abcdef.0123456789abcdef now", &[&token]),
            "join --token ****** now"
        );
    }

    #[test]
    fn an_empty_secret_masks_nothing() {
        assert_eq!(mask("text", &[&Secret::new(String::new())]), "text");
    }
}
