//! The haproxy.cfg reader.

use crate::draft::Draft;
use crate::{Environment, Source};

/// Reads every file as one configuration.
pub(crate) fn read(_sources: &[&Source], _environment: &Environment<'_>) -> Draft {
    Draft::default()
}

/// Evaluates a condition of `.if`, as `-cc` does.
///
/// # Errors
/// What is wrong with the expression.
pub fn evaluate_condition(
    _expression: &str,
    _environment: &Environment<'_>,
) -> Result<bool, String> {
    Err("not understood".to_owned())
}

/// docs/keywords.md.
#[must_use]
pub fn keywords_markdown() -> String {
    String::new()
}
