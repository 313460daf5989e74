//! Names: each host's own, and everybody's in `/etc/hosts`.

use super::{KEPT, keep, refusals};
use crate::facts::{Facts, HostFacts};
use crate::inventory::{Inventory, Node};
use crate::plan::{Action, Fact, Refusal, Step, hash, quote, seconds, unmet};

const HOSTS: &str = "/etc/hosts";
const BEGIN: &str = "# BEGIN evenkeel-bootstrap";
const END: &str = "# END evenkeel-bootstrap";

/// What names a host still lacks.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let hostname = Step {
        id: format!("{}/hostname", node.name),
        host: node.name.clone(),
        title: format!("name the host {}", node.name),
        brings: vec![Fact::Hostname {
            name: node.name.clone(),
        }],
        actions: vec![Action::Run {
            script: format!("hostnamectl set-hostname {}", quote(&node.name)).into(),
            limit: seconds(30),
        }],
        advice: "look at systemd-hostnamed on the host (journalctl -u systemd-hostnamed)"
            .to_owned(),
    };
    let before = facts.host(&node.name).and_then(|host| host.text(HOSTS));
    let after = with_block(before.unwrap_or_default(), &block(inventory));
    let names = Step {
        id: format!("{}/etc-hosts", node.name),
        host: node.name.clone(),
        title: format!("list the cluster's hosts in {HOSTS}"),
        brings: vec![Fact::File {
            path: HOSTS.to_owned(),
            sha256: hash(&after),
            mode: 0o644,
        }],
        actions: vec![
            Action::Run {
                script: keep(HOSTS).into(),
                limit: seconds(30),
            },
            Action::Write {
                path: HOSTS.to_owned(),
                content: after.into(),
                mode: 0o644,
                before: before.map(str::to_owned),
                temporary: false,
            },
        ],
        advice: format!("what was there before the first change is kept as {HOSTS}{KEPT}"),
    };
    // The list first: sudo looks its own host up, and where no list and no name server knows the new name,
    // every command waits for an answer that does not come.
    unmet(facts, [names, hostname])
}

/// All lines but ours are somebody else's, and have to be known.
pub(super) fn refusal(node: &Node, host: &HostFacts) -> Option<Refusal> {
    refusals::unknown(node, host, HOSTS)
}

/// The lines between the markers: address, full name, short name, as in the order of the inventory.
fn block(inventory: &Inventory) -> Vec<String> {
    inventory
        .nodes
        .iter()
        .map(|node| match inventory.full_name(node) {
            full if full == node.name => format!("{} {full}", node.address),
            full => format!("{} {full} {}", node.address, node.name),
        })
        .collect()
}

/// The text of a hosts file with our block in it: where the old one was, or at the end. No other line is
/// touched; a block whose end was lost is taken to end with the last line that we could have written.
fn with_block(text: &str, lines: &[String]) -> String {
    let mut result = String::with_capacity(text.len() + 256);
    let mut placed = false;
    let mut place = |result: &mut String| {
        if !placed {
            if !result.is_empty() && !result.ends_with('\n') {
                result.push('\n');
            }
            for line in [BEGIN]
                .into_iter()
                .chain(lines.iter().map(String::as_str))
                .chain([END])
            {
                result.push_str(line);
                result.push('\n');
            }
        }
        placed = true;
    };
    let whole = text.contains(END);
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => {
                inside = true;
                place(&mut result);
            }
            END if inside => inside = false,
            other if inside && (whole || is_ours(other)) => {}
            _ => {
                inside = false;
                result.push_str(line);
            }
        }
    }
    place(&mut result);
    result
}

fn is_ours(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let address = words
        .next()
        .is_some_and(|word| word.parse::<std::net::IpAddr>().is_ok());
    address && matches!(words.count(), 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lines = [
            "10.0.1.10 lb.kube.com lb".to_owned(),
            "10.0.1.11 master1.kube.com master1".to_owned(),
        ];
        let once = with_block(text, &lines);
        assert_eq!(once, expected);
        assert_eq!(
            with_block(&once, &lines),
            expected,
            "a second time changes nothing"
        );
    }

    const BLOCK: &str = "# BEGIN evenkeel-bootstrap\n10.0.1.10 lb.kube.com lb\n10.0.1.11 master1.kube.com master1\n# END evenkeel-bootstrap\n";

    #[test]
    fn a_block_is_put_at_the_end_of_a_file_that_has_none() {
        check("", BLOCK);
        check(
            "127.0.0.1 localhost\n",
            &format!("127.0.0.1 localhost\n{BLOCK}"),
        );
    }

    #[test]
    fn a_last_line_without_an_end_stays_a_line() {
        check(
            "127.0.0.1 localhost",
            &format!("127.0.0.1 localhost\n{BLOCK}"),
        );
    }

    #[test]
    fn a_block_is_replaced_where_it_stands_and_other_lines_stay() {
        let old = "127.0.0.1\tlocalhost\n# BEGIN evenkeel-bootstrap\n10.9.9.9 gone\n# END evenkeel-bootstrap\n\n10.0.1.11 mine # kept\n";
        check(
            old,
            &format!("127.0.0.1\tlocalhost\n{BLOCK}\n10.0.1.11 mine # kept\n"),
        );
    }

    #[test]
    fn a_second_block_goes() {
        check(&format!("a\n{BLOCK}b\n{BLOCK}"), &format!("a\n{BLOCK}b\n"));
    }

    #[test]
    fn a_block_whose_end_was_lost_takes_no_line_of_others() {
        let old = "# BEGIN evenkeel-bootstrap\n10.0.1.10 lb.kube.com lb\n# the printer\n10.0.0.7 printer\n";
        check(old, &format!("{BLOCK}# the printer\n10.0.0.7 printer\n"));
    }

    #[test]
    fn lines_with_carriage_returns_are_kept() {
        check(
            "127.0.0.1 localhost\r\n",
            &format!("127.0.0.1 localhost\r\n{BLOCK}"),
        );
    }
}
