//! docs/runtime.md, printed from the table of commands.

use super::table::COMMANDS;

/// The page.
fn markdown() -> String {
    let mut page = String::from(
        "<!-- Printed from the table in crates/daemon/runtime; `UPDATE_DOCS=1 cargo test runtime_page` writes it anew. -->\n\n\
         # Commands on the stats socket\n\n\
         HAProxy's Runtime API, on every `stats socket` (in TOML `[admin] socket`). A line is answered, an empty line \
         ends the answer, and the connection closes; `prompt` keeps it open. `;` separates commands, a backslash takes \
         a blank or `;` for itself, and a last word `<<` announces lines up to an empty one. A line has at most 16384 \
         bytes. `user` may look at what is no secret, `operator` at everything, `admin` may change what is served.\n\n\
         | command | level | what it does |\n|---|---|---|\n",
    );
    for command in COMMANDS {
        let usage = command.usage.replace('|', "\\|");
        let (level, help) = (command.level.name(), command.help);
        page.push_str(&format!("| `{usage}` | {level} | {help} |\n"));
    }
    page
}

#[test]
fn runtime_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runtime.md");
    let page = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let on_disk = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        on_disk == page,
        "docs/runtime.md differs; write it anew with UPDATE_DOCS=1"
    );
}
