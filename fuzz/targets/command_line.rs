#![no_main]

use libfuzzer_sys::fuzz_target;

// The binary has no library: the file itself is taken in.
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/daemon/runtime/line.rs"]
mod line;

fuzz_target!(|data: &[u8]| {
    let line = line::Line::parse(data);
    assert!(!line.commands.is_empty());
    for word in line.commands.iter().flat_map(|command| &command.words) {
        assert!(!word.contains('\0') && !word.is_empty());
    }
    // A carriage return before the line feed changes nothing; what comes back is stable.
    if data.last() != Some(&b'\r') {
        assert_eq!(line::Line::parse(&[data, b"\r"].concat()), line);
    }
    // Words, with what is special in them escaped, are the same words again.
    let escape = |word: &String| -> String {
        let special = |c| matches!(c, ' ' | '\t' | ';' | '\\');
        let escaped = word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c]));
        escaped.collect()
    };
    let commands: Vec<String> = line
        .commands
        .iter()
        .map(|command| command.words.iter().map(escape).collect::<Vec<_>>().join(" "))
        .collect();
    let mut text = commands.join(";");
    if let Some(end) = &line.payload_end {
        text.push_str(" <<");
        text.push_str(&escape(end));
    }
    let again = line::Line::parse(format!("{text} \r").as_bytes());
    let announces = |line: &line::Line| {
        let last = line.commands.last().and_then(|command| command.words.last());
        last.is_some_and(|word| word.starts_with("<<"))
    };
    // A payload is announced once; a second '<<' before it stays a word and would be taken for one.
    if line.payload_end.is_some() || !announces(&line) {
        assert_eq!(again, line, "{text:?}");
    }
});
