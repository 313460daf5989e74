//! What is run on a host around a script, and around a file that is put in place: pure text.

use std::path::Path;
use std::time::Duration;

use crate::plan::quote;

/// Held on a host while a script changes it.
const TURN: &str = "/run/evenkeel-bootstrap.turn";
/// Where programs may be, whatever sudo's `secure_path` says: facts, probes and steps look in the same places.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Statuses of ours, with which no script ends. The turn was not given.
pub(super) const BUSY: i32 = 75;
/// The limit has passed.
pub(super) const LATE: i32 = 76;
/// The file is another than was expected.
pub(super) const CHANGED: i32 = 77;

/// A script that does nothing at all unless all of it has arrived.
pub(super) fn whole(script: &str) -> String {
    format!("{{ :\n{script}\n}}\n")
}

/// Runs the script of the standard input, for at most `limit`.
pub(super) fn asking(limit: Duration) -> String {
    format!(
        "cat | {{ exec 3<&0 </dev/null; sh -c {}; }}",
        quote(&bounded(limit))
    )
}

/// The same, once no other script changes the host, for which it waits for `turn`. It is not to end because
/// its operator is gone: what it says goes into files without a name, and is sent when it has ended.
pub(super) fn changing(limit: Duration, turn: Duration) -> String {
    // -o: what the script starts and leaves running shall not hold the turn.
    format!(
        "cat | {{ exec 3<&0 </dev/null; o=$(mktemp -p /run) && e=$(mktemp -p /run) || exit 74; \
         exec 4>\"$o\" 5<\"$o\" 6>\"$e\" 7<\"$e\"; rm -f \"$o\" \"$e\"; \
         flock -o -w {turn} -E {BUSY} {TURN} sh -c {inner} >&4 2>&6 4>&- 5<&- 6>&- 7<&-; s=$?; \
         cat <&5; cat <&7 >&2; exit $s; }}",
        turn = turn.as_secs(),
        inner = quote(&bounded(limit)),
    )
}

/// The script is read from descriptor 3: sshd may hand over a socket, which cannot be opened by name, and the
/// standard input has to be empty for whatever the script starts. `timeout` ends with 124, or 137 if it had to
/// be rude, and so does a script whose program was killed: how long it took tells them apart. 255 is ssh's.
fn bounded(limit: Duration) -> String {
    format!(
        "export PATH=\"$PATH:{PATH}\"; read -r a b </proc/uptime; \
         timeout -k 5 {seconds} sh -eu /dev/fd/3; s=$?; read -r z b </proc/uptime; \
         if [ $s -eq 124 ] || [ $s -eq 137 ]; then [ $((${{z%.*}} - ${{a%.*}})) -lt {whole} ] || s={LATE}; fi; \
         [ $s -ne 255 ] || s=254; exit $s",
        seconds = limit.as_secs_f64(),
        whole = limit.as_secs(),
    )
}

/// Puts the standard input into a file, whole or not at all: beside it, then renamed. The file keeps what
/// SELinux calls it, and a link keeps being one.
pub(super) fn writing(path: &str, bytes: u64, mode: u32, before: Option<&str>) -> String {
    let folder = Path::new(path)
        .parent()
        .map_or_else(|| "/".into(), Path::to_string_lossy);
    let unchanged = before.map_or_else(String::new, |sum| {
        format!("[ \"$(sha256sum <\"$p\" | cut -d ' ' -f 1)\" = {sum} ] || exit {CHANGED}; ")
    });
    format!(
        "set -eu; umask 077; mkdir -p -m 755 {folder}; p={path}; \
         if [ -L \"$p\" ]; then p=$(readlink -f \"$p\"); fi; \
         t=\"$p.evenkeel-new\"; trap 'rm -f \"$t\"' EXIT; \
         cat >\"$t\"; [ \"$(wc -c <\"$t\")\" -eq {bytes} ]; chmod {mode:o} \"$t\"; \
         {unchanged}sync -d \"$t\"; mv -f \"$t\" \"$p\"; \
         if command -v restorecon >/dev/null; then restorecon \"$p\" || :; fi",
        folder = quote(&folder),
        path = quote(path),
    )
}
