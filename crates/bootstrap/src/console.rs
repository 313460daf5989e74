//! What is said to the operator beside what a command prints. Whether anybody still listens is no reason to
//! stop: a run must not end in the middle because the reader of its messages did.

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};

/// Says a line on the standard error.
pub fn tell(text: &str) {
    // Whoever is gone hears nothing.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether colors may be printed there: on a terminal that has them, unless the operator wants none
/// (`NO_COLOR`, no-color.org).
#[must_use]
pub fn takes_color(stream: &impl IsTerminal) -> bool {
    let unwanted = std::env::var_os("NO_COLOR");
    stream.is_terminal() && wants_color(unwanted.as_deref(), std::env::var_os("TERM").as_deref())
}

/// Whether what is printed there may be drawn over: not on a terminal that only knows lines.
#[must_use]
pub fn takes_bars(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && is_clever(std::env::var_os("TERM").as_deref())
}

fn wants_color(no_color: Option<&OsStr>, terminal: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && is_clever(terminal)
}

fn is_clever(terminal: Option<&OsStr>) -> bool {
    terminal.is_some_and(|name| name != "dumb" && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_for_terminals_that_have_them_and_operators_who_want_them() {
        let check = |no_color: Option<&str>, terminal: Option<&str>, expected| {
            let found = wants_color(no_color.map(OsStr::new), terminal.map(OsStr::new));
            assert_eq!(found, expected, "{no_color:?} {terminal:?}");
        };
        check(None, Some("xterm"), true);
        check(Some(""), Some("xterm"), true);
        check(Some("1"), Some("xterm"), false);
        check(None, Some("dumb"), false);
        check(None, None, false);
    }
}
