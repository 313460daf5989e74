//! What a table of a TOML language may hold: a kind of table with its keys, and the reference that
//! is printed from them.

/// A kind of table.
#[derive(Debug)]
pub struct Section {
    /// Where it stands, `frontend.NAME` (capital letters are names of the operator's choice); words
    /// with a space call it by a description; empty is the top of the file.
    pub path: &'static str,
    /// What the reference says of it in front of its keys, as Markdown.
    pub about: &'static str,
    /// Every key that it may hold.
    pub keys: &'static [Key],
}

impl Section {
    /// How the section is called in messages and headings.
    #[must_use]
    pub fn title(&self) -> String {
        match self.path {
            "" => "the top of the file".to_owned(),
            words if words.contains(' ') => words.to_owned(),
            path => format!("[{path}]"),
        }
    }
}

/// One key of a [`Section`]; each text is a cell of the reference.
#[derive(Debug)]
pub struct Key {
    /// The key itself.
    pub name: &'static str,
    /// Which values it takes, with their unit.
    pub value: &'static str,
    /// What holds where it is not said.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A [`Key`], written as one row.
#[must_use]
pub const fn key(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        value,
        default,
        about,
    }
}

/// The reference of a language: `introduction`, then a heading and a table of keys for each section.
#[must_use]
pub fn reference(introduction: &str, sections: &[&Section]) -> String {
    let mut page = String::from(introduction);
    for section in sections {
        let title = section.title().replace('[', "`[").replace(']', "]`");
        page.push_str(&format!("\n## {title}\n"));
        if !section.about.is_empty() {
            page.push_str(&format!("\n{}\n", section.about));
        }
        if section.keys.is_empty() {
            continue;
        }
        page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
        for Key {
            name,
            value,
            default,
            about,
        } in section.keys
        {
            page.push_str(&format!("| `{name}` | {value} | {default} | {about} |\n"));
        }
    }
    page
}
