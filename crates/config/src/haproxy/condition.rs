//! Conditions of `.if` and `-cc` (HAProxy manual, section 2.4).
//!
//! Versions are compared with the HAProxy release whose behaviour this program follows.

use super::lexer::{self, Variables};
use crate::Environment;

/// The HAProxy release that `version_atleast` and HAPROXY_BRANCH tell of.
pub(crate) const VERSION: &str = "3.0.0";
pub(crate) const BRANCH: &str = "3.0";

/// What `feature()` finds, in the words of `haproxy -vv`.
const FEATURES: [&str; 7] = [
    "ACCEPT4",
    "EPOLL",
    "GETADDRINFO",
    "LINUX_SPLICE",
    "PROMEX",
    "SYSTEMD",
    "THREAD",
];

/// What `enabled()` finds.
const ENABLED: [&str; 4] = ["EPOLL", "GETADDRINFO", "REUSEPORT", "SPLICE"];

/// Bounds the recursion that parentheses cause.
const DEEPEST: usize = 100;

/// Evaluates a condition of `.if`, as `-cc` does.
///
/// # Errors
/// What is wrong with the expression.
pub fn evaluate_condition(expression: &str, environment: &Environment<'_>) -> Result<bool, String> {
    let text = lexer::single_word(expression, 1, environment.variable)
        .map_err(|error| format!("column {}: {}", error.column, error.message))?;
    evaluate(&text, environment.variable)
}

/// The same for an expression in which quotes and variables are gone.
pub(crate) fn evaluate(text: &str, variables: &Variables<'_>) -> Result<bool, String> {
    if text.is_empty() {
        return Ok(false);
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        variables,
    };
    let truth = parser.any()?;
    parser.skip_spaces();
    match parser.rest().chars().next() {
        None => Ok(truth),
        Some(c) => Err(format!(
            "unexpected character '{c}' at the end of condition '{text}'"
        )),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    variables: &'a Variables<'a>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Terms joined by `||`. All are read, so that a mistake behind a true one is found too.
    fn any(&mut self) -> Result<bool, String> {
        let mut truth = self.all()?;
        while self.take("||") {
            truth |= self.all()?;
        }
        Ok(truth)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut truth = self.term()?;
        while self.take("&&") {
            truth &= self.term()?;
        }
        Ok(truth)
    }

    fn term(&mut self) -> Result<bool, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} levels in a condition"));
        }
        let truth = self.bare_term();
        self.depth -= 1;
        truth
    }

    fn bare_term(&mut self) -> Result<bool, String> {
        if self.take("!") {
            return Ok(!self.term()?);
        }
        if self.take("(") {
            let truth = self.any()?;
            if !self.take(")") {
                return Err(format!("expected ')' in condition '{}'", self.text));
            }
            return Ok(truth);
        }
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        if length > 0 {
            self.at += rest.len() - digits.len() + length;
            return Ok(digits[..length].bytes().any(|digit| digit != b'0'));
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        self.at += end;
        self.predicate(&rest[..end])
    }

    fn predicate(&mut self, name: &str) -> Result<bool, String> {
        let arguments: usize = match name {
            "streq" | "strneq" | "strstr" => 2,
            "defined"
            | "feature"
            | "enabled"
            | "version_atleast"
            | "version_before"
            | "openssl_version_atleast"
            | "openssl_version_before"
            | "ssllib_name_startswith" => 1,
            "fips_mode" => 0,
            _ => {
                let known = [
                    "defined",
                    "feature",
                    "enabled",
                    "streq",
                    "strneq",
                    "strstr",
                    "version_atleast",
                    "version_before",
                ];
                let hint = crate::resolve::did_you_mean(name, known.into_iter());
                let what = if name.is_empty() { self.rest() } else { name };
                return Err(format!(
                    "unknown predicate '{what}' in condition '{}'{hint}",
                    self.text
                ));
            }
        };
        let given = self.arguments(name)?;
        if given.len() != arguments {
            return Err(format!(
                "'{name}' takes {arguments} argument{}, not {}",
                if arguments == 1 { "" } else { "s" },
                given.len()
            ));
        }
        Ok(match name {
            "defined" => (self.variables)(given[0]).is_some(),
            "feature" => FEATURES.contains(&given[0]),
            "enabled" => ENABLED.contains(&given[0]),
            "streq" => given[0] == given[1],
            "strneq" => given[0] != given[1],
            "strstr" => given[0].contains(given[1]),
            "version_atleast" => version(VERSION) >= version(given[0]),
            "version_before" => version(VERSION) < version(given[0]),
            // No TLS library is linked: nothing about it is true.
            _ => false,
        })
    }

    /// What stands in parentheses; spaces belong to the arguments, as in HAProxy.
    fn arguments(&mut self, name: &str) -> Result<Vec<&'a str>, String> {
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('(') else {
            return Ok(if name == "fips_mode" {
                Vec::new()
            } else {
                vec![""]
            });
        };
        let Some(end) = inner.find(')') else {
            return Err(format!("expected ')' after the arguments of '{name}'"));
        };
        self.at += end + 2;
        let inner = &inner[..end];
        if inner.is_empty() && name == "fips_mode" {
            return Ok(Vec::new());
        }
        Ok(inner.split(',').collect())
    }
}

/// A version as numbers that compare: development releases come before the release.
fn version(text: &str) -> [u64; 5] {
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
    let mut parts = numbers.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let (major, minor, patch) = (next(), next(), next());
    match suffix.strip_prefix("dev") {
        Some(dev) => [major, minor, patch, 0, dev.parse().unwrap_or(0)],
        None => [major, minor, patch, 1, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: Option<bool>) {
        let environment = Environment {
            variable: &|name| (name == "HOME").then(|| "/root".to_owned()),
            lookup: &|_| Ok(Vec::new()),
            hostname: "lb",
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            allow_unresolved_servers: false,
        };
        let found = evaluate_condition(expression, &environment);
        assert_eq!(
            found.as_ref().ok().copied(),
            expected,
            "{expression}: {found:?}"
        );
    }

    /// Each line as HAProxy 3.0 answers it with -cc.
    #[test]
    fn conditions() {
        check("", Some(false));
        check("0", Some(false));
        check("1", Some(true));
        check("-1", Some(true));
        check("00", Some(false));
        check("!0", Some(true));
        check("! 0", Some(true));
        check("1 && 0", Some(false));
        check("1&&1||0", Some(true));
        check("(0)||1", Some(true));
        check("defined(HOME)", Some(true));
        check("defined(NOPE)", Some(false));
        check("defined( HOME )", Some(false));
        check("streq(\"$HOME\",/root)", Some(true));
        check("streq(\"$HOME\", /root)", Some(false));
        check("streq(a b,'a b')", Some(true));
        check("strneq(a,b)", Some(true));
        check("strstr(a,abc)", Some(false));
        check("strstr(abc,b)", Some(true));
        check("version_atleast(2.9)", Some(true));
        check("version_before(3.0)", Some(false));
        check("version_atleast(3.0-dev1)", Some(true));
        check("version_before(3.1)", Some(true));
        check("feature(FOO)", Some(false));
        check("feature(THREAD)", Some(true));
        check("enabled(SPLICE)", Some(true));
        check("streq(a,a)&&streq(b,b)", Some(true));
        check("defined", Some(false));
        for wrong in [
            "foo()",
            "foo",
            "streq(a)",
            "streq(a,b,c)",
            "1 1",
            "1 &&",
            "(1",
            "1)",
            "true",
            "12abc",
            "defined(HOME",
            "streq(\"a,a)",
            "&&",
            "()",
        ] {
            check(wrong, None);
        }
        check(&"(".repeat(10_000), None);
        check(&"!".repeat(10_000), None);
    }
}
