//! Text of scripts and files in a plan, with gaps for what is only known while it runs.

use std::fmt;

use crate::secret::Secret;

/// What a plan cannot know: secrets that are made while it runs, and what only the cluster can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Later {
    /// A bootstrap token.
    Token,
    /// The key of the uploaded certificates.
    CertificateKey,
    /// SHA-256 of the cluster's CA, `sha256:...`; no secret.
    CaHash,
}

impl Later {
    /// Its name in a printed plan.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "<token>",
            Self::CertificateKey => "<certificate-key>",
            Self::CaHash => "<ca-hash>",
        }
    }
}

/// Text with gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Gap(Later),
}

impl Text {
    /// Text in which each [`Later::name`] is a gap.
    #[must_use]
    pub fn with_gaps(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((at, gap)) = [Later::Token, Later::CertificateKey, Later::CaHash]
            .into_iter()
            .filter_map(|gap| Some((rest.find(gap.name())?, gap)))
            .min()
        {
            if at > 0 {
                pieces.push(Piece::Plain(rest[..at].to_owned()));
            }
            pieces.push(Piece::Gap(gap));
            rest = &rest[at + gap.name().len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Plain(rest.to_owned()));
        }
        Self(pieces)
    }

    /// What has to be known before it can be used.
    pub fn gaps(&self) -> impl Iterator<Item = Later> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Plain(_) => None,
            Piece::Gap(gap) => Some(*gap),
        })
    }

    /// The whole text, with what `known` says for each gap; the first gap that it does not know
    /// otherwise.
    ///
    /// # Errors
    ///
    /// The gap.
    pub fn fill(&self, known: impl Fn(Later) -> Option<Secret>) -> Result<Secret, Later> {
        let mut whole = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => whole.push_str(text),
                Piece::Gap(gap) => whole.push_str(known(*gap).ok_or(*gap)?.reveal()),
            }
        }
        Ok(Secret::new(whole))
    }
}

impl From<String> for Text {
    /// Text without gaps.
    fn from(text: String) -> Self {
        Self(vec![Piece::Plain(text)])
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Display for Text {
    /// With a name in each gap.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => formatter.write_str(text)?,
                Piece::Gap(gap) => formatter.write_str(gap.name())?,
            }
        }
        Ok(())
    }
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_when_known_and_named_when_shown() {
        let text = Text::with_gaps("token: <token>\nhash: <ca-hash>\n");
        assert_eq!(text.to_string(), "token: <token>\nhash: <ca-hash>\n");
        assert_eq!(
            text.gaps().collect::<Vec<_>>(),
            [Later::Token, Later::CaHash]
        );
        let whole = text.fill(|gap| Some(Secret::new(format!("{gap:?}"))));
        assert_eq!(
            whole.expect("all is known").reveal(),
            "token: Token\nhash: CaHash\n"
        );
        assert_eq!(
            text.fill(|gap| (gap == Later::Token).then(|| Secret::new(String::new()))),
            Err(Later::CaHash)
        );
    }
}
