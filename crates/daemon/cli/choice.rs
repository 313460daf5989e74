//! Options of a command, a table each: from it they are read, and its help is printed.

/// One option of a command that builds up a `T`.
pub(crate) struct Choice<T> {
    pub(crate) name: &'static str,
    /// As the help shows it; empty when nothing follows.
    pub(crate) argument: &'static str,
    pub(crate) help: &'static str,
    /// Takes what follows, or nothing.
    pub(crate) take: fn(&mut T, &str) -> Result<(), String>,
}

/// What `words` choose for `command`; each option may be written `--name value` or `--name=value`. What
/// is no option, and all that follows `--`, `operand` takes, if the command takes such.
pub(super) fn choose<T: Default>(
    command: &str,
    choices: &[Choice<T>],
    operand: Option<fn(&mut T, &str)>,
    words: &[String],
) -> Result<T, String> {
    let mut chosen = T::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(operand) = operand
            && (!word.starts_with('-') || word == "-")
        {
            operand(&mut chosen, word);
            continue;
        }
        if let Some(operand) = operand
            && word == "--"
        {
            words.by_ref().for_each(|word| operand(&mut chosen, word));
            break;
        }
        let (name, glued) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word.as_str(), None),
        };
        let Some(choice) = choices.iter().find(|choice| choice.name == name) else {
            let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
            let known = match names.as_slice() {
                [] => "it has none".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            return Err(format!("{command} has no option '{name}'; {known}"));
        };
        let value = match (choice.argument, glued) {
            ("", Some(_)) => return Err(format!("option '{name}' takes no argument")),
            ("", None) => "",
            (argument, None) => words
                .next()
                .ok_or_else(|| format!("option '{name}' needs an argument: {argument}"))?,
            (_, Some(value)) => value,
        };
        (choice.take)(&mut chosen, value).map_err(|why| format!("option '{name}': {why}"))?;
    }
    Ok(chosen)
}

/// What the help shows: name, argument, explanation.
pub(super) fn shown<T>(choices: &[Choice<T>]) -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |choice: &Choice<T>| (choice.name, choice.argument, choice.help);
    choices.iter().map(row).collect()
}
