//! The report as a table: severity, host and finding in columns, the way out below each.

use std::fmt::Write;

use super::{Report, Severity};

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    /// Red, yellow, cyan: SGR of ECMA-48.
    fn color(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Warning => "\x1b[33m",
            Self::Note => "\x1b[36m",
        }
    }
}

/// What the column of the host says where it is none's.
const CLUSTER: &str = "(cluster)";

impl Report {
    /// For eyes; in color where the caller knows of a terminal.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        let host = |host: &str| if host.is_empty() { CLUSTER } else { host }.to_owned();
        let hosts: Vec<_> = self
            .findings
            .iter()
            .map(|found| host(&found.host))
            .collect();
        let width = hosts.iter().map(String::len).max().unwrap_or(0);
        let severity_width = Severity::Warning.word().len();
        let mut text = String::new();
        for (finding, host) in self.findings.iter().zip(&hosts) {
            let word = finding.severity.word();
            let (before, after) = match color {
                true => (finding.severity.color(), "\x1b[0m"),
                false => ("", ""),
            };
            let gap = " ".repeat(severity_width - word.len());
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{before}{word}{after}{gap}  {host:width$}  {}",
                indented(&finding.what, severity_width + width + 4)
            );
            if !finding.fix.is_empty() {
                let indent = severity_width + width + 4;
                let _ = writeln!(
                    text,
                    "{:indent$}-> {}",
                    "",
                    indented(&finding.fix, indent + 3)
                );
            }
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// `1 error, 2 warnings and 3 notes on 5 hosts`.
    fn summary(&self) -> String {
        let all = counted(self.hosts + self.silent, "host");
        let hosts = match (self.hosts, self.silent) {
            (_, 0) => all,
            (0, _) => format!("{all}, none of which answers"),
            (_, silent) => format!("{all}, {silent} of which did not answer"),
        };
        let counts: Vec<_> = [Severity::Error, Severity::Warning, Severity::Note]
            .into_iter()
            .filter(|severity| self.count(*severity) > 0)
            .map(|severity| counted(self.count(severity), severity.word()))
            .collect();
        match counts.as_slice() {
            [] => format!("nothing found on {hosts}"),
            [one] => format!("{one} on {hosts}"),
            [first @ .., last] => format!("{} and {last} on {hosts}", first.join(", ")),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Text whose further lines stand below its first.
fn indented(text: &str, columns: usize) -> String {
    text.trim().replace('\n', &format!("\n{:columns$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Finding;

    fn finding(host: &str, severity: Severity, what: &str, fix: &str) -> Finding {
        Finding {
            host: host.to_owned(),
            severity,
            rule: "test",
            what: what.to_owned(),
            fix: fix.to_owned(),
        }
    }

    fn report() -> Report {
        Report {
            hosts: 5,
            silent: 0,
            findings: vec![
                finding(
                    "m1",
                    Severity::Error,
                    "port 6443 is taken by nginx",
                    "stop it",
                ),
                finding("", Severity::Warning, "two voters", "add a third\nor not"),
                finding("worker1", Severity::Note, "swap is on", ""),
            ],
        }
    }

    #[test]
    fn a_plain_table_is_aligned() {
        assert_eq!(
            report().text(false),
            "error    m1         port 6443 is taken by nginx\n\
             \x20                   -> stop it\n\
             warning  (cluster)  two voters\n\
             \x20                   -> add a third\n\
             \x20                      or not\n\
             note     worker1    swap is on\n\
             1 error, 1 warning and 1 note on 5 hosts\n"
        );
    }

    #[test]
    fn only_a_terminal_sees_color() {
        assert!(!report().text(false).contains('\x1b'));
        assert!(
            report()
                .text(true)
                .starts_with("\x1b[1;31merror\x1b[0m    m1         port")
        );
    }

    #[test]
    fn nothing_found_is_said() {
        let report = Report {
            hosts: 1,
            silent: 0,
            findings: Vec::new(),
        };
        assert_eq!(report.text(false), "nothing found on 1 host\n");
        assert!(!report.has_errors());
    }

    #[test]
    fn hosts_that_did_not_answer_are_counted() {
        let mut report = report();
        report.silent = 2;
        assert!(
            report
                .text(false)
                .ends_with("on 7 hosts, 2 of which did not answer\n"),
            "{}",
            report.text(false)
        );
        report.hosts = 0;
        assert!(
            report
                .text(false)
                .ends_with("on 2 hosts, none of which answers\n")
        );
    }

    #[test]
    fn programs_get_json() {
        let value: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(value["hosts"], 5);
        assert_eq!(value["findings"][0]["severity"], "error");
        assert_eq!(value["findings"][1]["host"], "");
        assert!(report().has_errors());
    }
}
