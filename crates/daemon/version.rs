//! What `-v` and its kin print.

use crate::cli::VersionDetail;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The line that `-v` prints and that stands above the help.
pub(crate) fn banner() -> String {
    format!(
        "evenkeel version {VERSION} - {}\n",
        env!("CARGO_PKG_REPOSITORY")
    )
}

/// The answer to `detail`.
pub(crate) fn text(detail: VersionDetail) -> String {
    match detail {
        VersionDetail::Line => banner(),
        VersionDetail::Full => format!("{VERSION}\n"),
        VersionDetail::Branch => format!(
            "{}.{}\n",
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR")
        ),
        VersionDetail::Build => build(),
    }
}

fn build() -> String {
    let running = rustix::system::uname();
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "{}Running on: {} {} {}\n\
         Build: {} {}, {profile}\n\
         Language: HAProxy 3.0's haproxy.cfg in TCP mode; 'evenkeel keywords' lists it\n\
         Relays: copy, splice\n\
         Poller: epoll\n",
        banner(),
        running.sysname().to_string_lossy(),
        running.release().to_string_lossy(),
        running.machine().to_string_lossy(),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}
