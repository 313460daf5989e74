//! What the process says on its standard error, and how: lines for a person at a terminal, lines
//! with a priority for the journal, nothing with `-q`.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::Verbosity;

static QUIET: OnceLock<()> = OnceLock::new();

/// Installs the subscriber; to be called once, before anything is said.
pub(crate) fn start(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Quiet => {
            let _ = QUIET.set(());
            LevelFilter::OFF
        }
        Verbosity::Normal | Verbosity::Verbose => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let line = Line {
        journal: stderr_is_the_journal(),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(line)
        .with_writer(io::stderr);
    // A second call finds one installed, which says the same things.
    let _ = subscriber.try_init();
}

/// Prints a line for the operator as it is, unless `-q`: configuration problems have their own
/// shape, which editors understand.
pub(crate) fn say(line: impl fmt::Display) {
    if QUIET.get().is_none() {
        // Nobody is left to tell when the standard error is closed.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Prints what was asked for on the standard output; a reader that left is no error.
pub(crate) fn print(text: impl fmt::Display) {
    let _ = write!(io::stdout(), "{text}");
}

/// systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that leads to the
/// journal; a redirected standard error has others.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// One event, one line.
struct Line {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journal {
            // sd-daemon(3): the journal takes the priority from this prefix and knows the time.
            write!(to, "<{}>", priority(level))?;
        } else {
            write!(
                to,
                "{} {:<5} ",
                jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"),
                level
            )?;
        }
        context.format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
