//! What the real kubeadm said, and whether its double says the same of the same commands on machines of the
//! same names.

use std::fs;
use std::path::Path;

use crate::lab::Lab;

/// The hash of the authority that the transcripts were made with.
const THEIR_HASH: &str = "sha256:128811ad781c082d5e203be01ea836270b6e1e7de35944012a0f21cba7543100";

/// Plays transcripts on machines and gathers what differs, so that all of it is seen at once.
pub(crate) struct Replay<'a> {
    lab: &'a Lab,
    played: usize,
    differences: String,
}

/// One command of a transcript.
struct Block {
    node: String,
    command: String,
    said: String,
    code: i32,
}

impl<'a> Replay<'a> {
    pub(crate) fn on(lab: &'a Lab) -> Self {
        Self {
            lab,
            played: 0,
            differences: String::new(),
        }
    }

    /// Runs the commands of a transcript that are picked by their number, in a cluster whose authority has this
    /// hash. What the last of them said.
    pub(crate) fn play(&mut self, name: &str, picked: &[usize], hash: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/bootstrap/transcripts")
            .join(format!("{name}.txt"));
        let text = fs::read_to_string(&path).unwrap();
        let (files, blocks) = read(&text);
        let ours = |text: &str| {
            text.replace(THEIR_HASH, hash)
                // How long an answer is waited for does not show in it.
                .replace("discovery: 20s", "discovery: 3s")
        };
        let mut last = String::new();
        for number in picked {
            let block = &blocks[*number];
            let node = self.lab.node(&block.node);
            for (path, content) in &files {
                node.write(path, ours(content));
            }
            let output = node.try_sh(&format!("{} 2>&1", ours(&block.command)));
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            let (expected, found) = (masked(&block.said), masked(&last));
            let code = output.status.code().unwrap_or(-1);
            if expected != found || code != block.code {
                self.differences += &format!(
                    "== {name}, command {number}: {}\nexit code {code}, kubeadm's is {}\n{}",
                    block.command,
                    block.code,
                    difference(&expected, &found)
                );
            }
            self.played += 1;
        }
        last
    }

    #[track_caller]
    pub(crate) fn end(self) {
        eprintln!("{} commands of transcripts were played", self.played);
        assert!(self.differences.is_empty(), "{}", self.differences);
    }
}

/// Files that commands read, and the commands.
fn read(text: &str) -> (Vec<(String, String)>, Vec<Block>) {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        if let Some(code) = line.strip_prefix("[exit code ") {
            let block = blocks.last_mut().unwrap();
            block.code = code.trim_end_matches(']').parse().unwrap();
            is_open = false;
        } else if is_open {
            let block = blocks.last_mut().unwrap();
            block.said += line;
            block.said.push('\n');
        } else if let Some((node, command)) =
            line.split_once("# ").filter(|(node, _)| !node.is_empty())
        {
            blocks.push(Block {
                node: node.to_owned(),
                command: command.to_owned(),
                said: String::new(),
                code: 0,
            });
            is_open = true;
        } else if let Some(path) = line
            .strip_prefix("# /")
            .and_then(|path| path.strip_suffix(':'))
        {
            files.push((format!("/{path}"), String::new()));
        } else if let (Some(content), Some((_, file))) =
            (line.strip_prefix("#   "), files.last_mut())
        {
            *file += content;
            file.push('\n');
        }
    }
    assert!(!blocks.is_empty(), "a transcript without a command");
    (files, blocks)
}

/// Lines without what is another each time.
fn masked(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        // Of the machine, and in the transcripts taken out.
        if line.contains("SystemVerification]") || line.contains("The system verification failed") {
            continue;
        }
        let line = match line.split_once("] ").filter(|_| is_klog(line)) {
            Some((head, rest)) => {
                let place = head.split_whitespace().last().unwrap_or_default();
                format!("{} {place}] {rest}", &line[..1])
            }
            None => line.to_owned(),
        };
        let line = match line.split_once("healthy after ") {
            Some((head, _)) => format!("{head}healthy after TIME"),
            None => line,
        };
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        lines.push(words.join(" "));
    }
    // Components become healthy in any order.
    let begin = lines.iter().position(|line| {
        line.ends_with("healthy after TIME") && line.starts_with("[control-plane-check]")
    });
    if let Some(begin) = begin {
        let length = lines[begin..]
            .iter()
            .take_while(|line| line.ends_with("healthy after TIME"))
            .count();
        lines[begin..begin + length].sort();
    }
    lines
}

/// `W1122 12:04:41.475810     293 utils.go:69] ...`
fn is_klog(line: &str) -> bool {
    let mut letters = line.chars();
    letters.next().is_some_and(|letter| "IWE".contains(letter))
        && letters
            .by_ref()
            .take(4)
            .all(|letter| letter.is_ascii_digit())
        && letters.next() == Some(' ')
}

fn word(word: &str) -> String {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_token = |text: &str| {
        text.len() == 23
            && text.as_bytes()[6] == b'.'
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.')
    };
    let is_time = |text: &str| text.len() == 5 && text.as_bytes()[2] == b':';
    let is_month = |text: &str| {
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
            .split(' ')
            .any(|month| month == text)
    };
    if is_hex(word) {
        "HEX".to_owned()
    } else if word
        .trim_matches('"')
        .strip_prefix("sha256:")
        .is_some_and(is_hex)
    {
        "sha256:HEX".to_owned()
    } else if is_token(word) {
        "TOKEN".to_owned()
    } else if is_time(word) {
        "TIME".to_owned()
    } else if is_month(word) {
        "MONTH".to_owned()
    } else if word
        .strip_suffix(',')
        .is_some_and(|day| day.parse::<u8>().is_ok())
    {
        "DAY,".to_owned()
    } else if word
        .parse::<u16>()
        .is_ok_and(|year| (2026..2099).contains(&year))
    {
        "YEAR".to_owned()
    } else {
        word.to_owned()
    }
}

/// What only one of them has.
fn difference(expected: &[String], found: &[String]) -> String {
    let mut text = String::new();
    for line in expected.iter().filter(|line| !found.contains(line)) {
        text += &format!("kubeadm only: {line}\n");
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        text += &format!("double only:  {line}\n");
    }
    if text.is_empty() {
        text = format!("the same lines in another order, or another number of them:\n{found:#?}\n");
    }
    text
}
