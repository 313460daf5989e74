//! What did not run, and why.

use std::io::Write;

/// Says that a test did not run and why: on stderr, and in the file that `EVENKEEL_NOT_RUN` names,
/// from which `tests/run` prints its summary.
pub(crate) fn not_run(test: &str, reason: &str) {
    // Past the test harness, which hides what a passing test prints.
    std::io::stderr()
        .write_all(format!("NOT RUN: {test}: {reason}\n").as_bytes())
        .unwrap();
    if let Some(file) = std::env::var_os("EVENKEEL_NOT_RUN") {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        // One write, so that lines of parallel tests stay whole.
        file.write_all(format!("{test}: {reason}\n").as_bytes())
            .unwrap();
    }
}
