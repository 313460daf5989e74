//! What the kernel knows of a running process.

use std::fs;

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Memory that is the process's own, in bytes. Clean pages are left out: those are the program's
/// file, and change from private to shared whenever another process runs the same file.
pub(crate) fn private_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap();
    kibibytes * 1024
}
