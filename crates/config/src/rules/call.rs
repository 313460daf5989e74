//! `name(arg,arg),name(arg)`: a fetch and its converters as they are written.

/// One name with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

impl Call {
    /// An argument that is there and not empty.
    pub(crate) fn argument(&self, index: usize) -> Option<&str> {
        self.arguments
            .get(index)
            .map(String::as_str)
            .filter(|argument| !argument.is_empty())
    }

    pub(crate) fn required(&self, index: usize, what: &str) -> Result<&str, String> {
        self.argument(index)
            .ok_or_else(|| format!("'{}' needs {what} in parentheses", self.name))
    }

    /// Reports arguments beyond `count`.
    pub(crate) fn at_most(&self, count: usize) -> Result<(), String> {
        match self.argument(count) {
            None => Ok(()),
            Some(extra) if count == 0 => Err(format!(
                "'{}' takes no argument, but got '{extra}'",
                self.name
            )),
            Some(extra) => Err(format!(
                "'{}' takes no more than {count} argument{}, but got '{extra}' as well",
                self.name,
                if count == 1 { "" } else { "s" }
            )),
        }
    }
}

/// Splits a whole expression; a comma at its end is no converter more, as in HAProxy.
pub(crate) fn calls(text: &str) -> Result<Vec<Call>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(['(', ',']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let mut call = Call {
            name: name.to_owned(),
            arguments: Vec::new(),
        };
        rest = match after.strip_prefix('(') {
            Some(inside) => {
                let (arguments, after) = arguments(inside)
                    .ok_or_else(|| format!("'{text}' lacks a ')' after '{name}('"))?;
                call.arguments = arguments;
                after
            }
            None => after,
        };
        found.push(call);
        match rest.strip_prefix(',') {
            Some("") => return Ok(found),
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(found),
            None => {
                let name = &found[found.len() - 1].name;
                return Err(format!(
                    "'{text}' lacks a comma between '{name}(...)' and '{rest}'"
                ));
            }
        }
    }
}

/// The arguments up to the closing parenthesis, and what follows it.
fn arguments(text: &str) -> Option<(Vec<String>, &str)> {
    let mut arguments = vec![String::new()];
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let last = arguments.len() - 1;
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => arguments[last].extend(chars.next().map(|(_, c)| c)),
            ('\'' | '"', None) => quote = Some(c),
            (')', None) => return Some((arguments, &text[at + 1..])),
            (',', None) => arguments.push(String::new()),
            _ => arguments[last].push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &[&str])], &str>) {
        let found = calls(text);
        let found = found.as_ref().map_err(String::as_str).map(|calls| {
            calls
                .iter()
                .map(|call| {
                    let arguments: Vec<_> = call.arguments.iter().map(String::as_str).collect();
                    (call.name.as_str(), arguments)
                })
                .collect::<Vec<_>>()
        });
        let expected = expected.map(|calls| {
            calls
                .iter()
                .map(|(name, list)| (*name, list.to_vec()))
                .collect()
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn expressions_are_split() {
        check("src", Ok(&[("src", &[])]));
        check("src,", Ok(&[("src", &[])]));
        check("src()", Ok(&[("src", &[""])]));
        check(
            "src,ipmask(24,64),lower",
            Ok(&[("src", &[]), ("ipmask", &["24", "64"]), ("lower", &[])]),
        );
        check("str('a,b)')", Ok(&[("str", &["a,b)"])]));
        check("str(a\\,b)", Ok(&[("str", &["a,b"])]));
        check("", Ok(&[("", &[])]));
        check("nbsrv(x", Err("'nbsrv(x' lacks a ')' after 'nbsrv('"));
        check(
            "nbsrv(x)y",
            Err("'nbsrv(x)y' lacks a comma between 'nbsrv(...)' and 'y'"),
        );
    }
}
