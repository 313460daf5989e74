//! What the process says on its standard error, and how: lines for a person at a terminal, lines
//! each with a priority for the journal, an object each for programs, nothing with `-q`.
//!
//! A process that serves never waits for whoever reads that, nor minds that nobody does: once
//! threads may exist, a thread of its own writes what is said.

mod json;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use evenkeel_config::{Problem, Severity};
use evenkeel_proxy::{Stream, stderr_is_the_journal};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::{LogFormat, Verbosity};

/// RFC 3339, with the time zone's offset.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";
/// Set where it is not text.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();
static QUIET: OnceLock<()> = OnceLock::new();
/// What writes to the standard error while the process serves.
static WRITER: OnceLock<Stream> = OnceLock::new();
/// How long the end waits for what was said last to be read.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Installs the subscriber; to be called once, before anything is said.
pub(crate) fn start(verbosity: Verbosity, format: LogFormat) {
    let _ = FORMAT.set(format);
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
        format,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        // What goes wrong here must not be written there as well: that would panic.
        .log_internal_errors(false)
        .event_format(line)
        .with_writer(|| StandardError);
    // A second call finds one installed, which says the same things.
    let _ = subscriber.try_init();
    std::panic::set_hook(Box::new(tell_of_panic));
}

/// From here on nobody waits for the standard error; not before threads may be started.
pub(crate) fn hand_over(writer: Stream) {
    let _ = WRITER.set(writer);
}

/// Waits, within bounds, until what was said is read. For the end of the process.
pub(crate) fn finish() {
    if let Some(writer) = WRITER.get() {
        // Counted where it is lost, and nobody is left to ask.
        let _ = writer.flush(LAST_WORDS);
    }
}

/// A defect is told of like everything else, with `-q`, too.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut told = format!(
        "defect in thread '{}': {panic}",
        thread.name().unwrap_or("without a name")
    )
    .replace('\n', " ");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        told.push_str(&format!("\n{backtrace}"));
    }
    match QUIET.get() {
        None => tracing::error!("{told}"),
        Some(()) => put(&shaped(Severity::Error, told.as_str(), json::of_line)),
    }
    // The process may end of it.
    finish();
}

/// Writes a line, or has it written.
fn put(line: &str) {
    match WRITER.get() {
        Some(writer) => writer.send(line.as_bytes()),
        // Nobody is left to tell when the standard error is closed.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Takes each event's line at once, as the subscriber hands it over.
struct StandardError;

impl io::Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints an error for the operator as it is, unless `-q`: configuration problems have their own
/// shape, which editors understand.
pub(crate) fn say(error: impl fmt::Display) {
    say_as(Severity::Error, error);
}

/// Like [`say`], of something that the operator should know and that stops nothing.
pub(crate) fn caution(warning: impl fmt::Display) {
    say_as(Severity::Warning, warning);
}

fn say_as(severity: Severity, said: impl fmt::Display) {
    if QUIET.get().is_none() {
        put(&shaped(severity, said.to_string().as_str(), json::of_line));
    }
}

/// Like [`say`], of a mistake in a file, or a warning of it.
pub(crate) fn say_problem(problem: &Problem) {
    if QUIET.get().is_none() {
        let object = |_, problem: &Problem| json::of_problem(problem);
        put(&shaped(problem.severity, problem, object));
    }
}

/// As it is, or as an object if that is asked for; ready to be written.
fn shaped<T: fmt::Display + ?Sized>(
    severity: Severity,
    said: &T,
    object: fn(Severity, &T) -> String,
) -> String {
    let text = match FORMAT.get() {
        Some(LogFormat::Json) => object(severity, said),
        Some(LogFormat::Text) | None => said.to_string(),
    };
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARN,
    };
    lines(stderr_is_the_journal().then_some(level), &text)
}

/// With the end of the last line. Toward the journal each line has a priority, for it takes each as an
/// entry of its own (sd-daemon(3)).
fn lines(priority: Option<Level>, text: &str) -> String {
    let Some(level) = priority else {
        return format!("{text}\n");
    };
    let digit = digit(level);
    text.lines()
        .map(|line| format!("<{digit}>{line}\n"))
        .collect()
}

/// Prints what was asked for on the standard output; a reader that left is no error.
pub(crate) fn print(text: impl fmt::Display) {
    let _ = write!(io::stdout(), "{text}");
}

/// One event, one line.
struct Line {
    journal: bool,
    format: LogFormat,
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
        let mut text = String::new();
        if self.format == LogFormat::Json {
            text = json::of_event(event);
        } else {
            // The journal knows the time.
            if !self.journal {
                let now = jiff::Zoned::now();
                write!(text, "{} {:<5} ", now.strftime(TIMESTAMP), level)?;
            }
            context.format_fields(Writer::new(&mut text), event)?;
        }
        to.write_str(&lines(self.journal.then_some(level), &text))
    }
}

/// As syslog numbers them.
fn digit(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_message_has_its_priority_in_the_journal() {
        let text = "lb.cfg:1:1: no\nlb.cfg:2:1: neither";
        assert_eq!(
            lines(Some(Level::ERROR), text),
            "<3>lb.cfg:1:1: no\n<3>lb.cfg:2:1: neither\n"
        );
        assert_eq!(lines(Some(Level::WARN), "odd\n"), "<4>odd\n");
        assert_eq!(lines(None, text), format!("{text}\n"));
    }
}
