//! One process here, with bounds on its time and its output.

use std::cell::Cell;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::Failure;

/// What a command left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Exit status; 128 and the signal's number if one ended it.
    pub status: i32,
    /// What it wrote, 4 MiB of it at most, less the line before it.
    pub stdout: String,
    /// Likewise.
    pub stderr: String,
}

impl Outcome {
    /// All that it said, for a message.
    #[must_use]
    pub fn words(&self) -> String {
        let both = [self.stdout.trim_end(), self.stderr.trim_end()];
        both.into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Of each output; what a host says beyond it is read and thrown away.
const MOST_OUTPUT_BYTES: usize = 4 << 20;
/// For output that is on its way when the process has ended. A shared ssh connection that stays may keep
/// the standard error open.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Starts a command with pipes; it is killed when the child is dropped.
pub(super) fn start(words: &[String]) -> Result<Child, Failure> {
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A terminal's Ctrl-C goes to its whole foreground group: what has begun is to end by itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => Failure::NoProgram {
                program: words[0].clone(),
            },
            _ => Failure::Local {
                doing: "start a process".to_owned(),
                cause,
            },
        })
}

/// What a command reads: some bytes, then a file.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    file: Option<File>,
}

impl Input {
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, file: None }
    }

    /// A file, and how long it is.
    pub(super) async fn file(path: &Path) -> std::io::Result<(Self, u64)> {
        let file = File::open(path).await?;
        let length = file.metadata().await?.len();
        let input = Self {
            bytes: Vec::new(),
            file: Some(file),
        };
        Ok((input, length))
    }

    pub(super) fn begin_with(&mut self, bytes: &[u8]) {
        self.bytes.splice(..0, bytes.iter().copied());
    }

    /// Writes all of it, a piece at a time; `moved` is told of each that was taken.
    async fn feed(self, mut to: impl AsyncWrite + Unpin, moved: impl Fn()) -> std::io::Result<()> {
        for piece in self.bytes.chunks(PIECE_BYTES) {
            to.write_all(piece).await?;
            moved();
        }
        if let Some(mut file) = self.file {
            let mut piece = vec![0; PIECE_BYTES];
            while let bytes @ 1.. = file.read(&mut piece).await? {
                to.write_all(&piece[..bytes]).await?;
                moved();
            }
        }
        to.shutdown().await
    }
}

/// Of input that is written at once.
const PIECE_BYTES: usize = 64 << 10;

/// Runs a command to its end, or for `limit`, which counts from the last piece of input that it took.
pub(super) async fn run(
    words: &[String],
    input: Input,
    limit: Duration,
) -> Result<Outcome, Failure> {
    let mut child = start(words)?;
    let stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let last = Cell::new(Instant::now());
    let ended = {
        let feed = async {
            if let Some(stdin) = stdin {
                // Whoever ends without reading has its exit status to say why.
                let _ = input.feed(stdin, || last.set(Instant::now())).await;
            }
        };
        let talk =
            async { tokio::join!(collect(out, &mut stdout), collect(err, &mut stderr), feed) };
        tokio::pin!(talk);
        let whole = async {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = &mut talk => return child.wait().await,
            };
            let _ = timeout(LAST_WORDS, &mut talk).await;
            status
        };
        tokio::pin!(whole);
        loop {
            let until = last.get() + limit;
            match timeout_at(until, &mut whole).await {
                Ok(status) => break Some(status),
                Err(_) if last.get() + limit <= Instant::now() => break None,
                Err(_) => {}
            }
        }
    };
    let outcome = |status| Outcome {
        status,
        stdout: text(&stdout),
        stderr: text(&stderr),
    };
    match ended {
        Some(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            let signal = status.signal().map_or(-1, |signal| 128 + signal);
            Ok(outcome(status.code().unwrap_or(signal)))
        }
        Some(Err(cause)) => Err(Failure::Local {
            doing: "wait for a process".to_owned(),
            cause,
        }),
        None => Err(Failure::TimedOut {
            limit,
            said: outcome(0).words(),
        }),
    }
}

async fn collect(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 16 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        let room = MOST_OUTPUT_BYTES - into.len();
        into.extend_from_slice(&chunk[..bytes.min(room)]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
