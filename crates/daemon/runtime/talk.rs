//! Lines from a visitor and bytes to it, each bounded in time and size.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// A line, and a payload, are so long at most: HAProxy's buffer.
pub(crate) const LONGEST_BYTES: usize = 16_384;

/// The visit is over.
pub(crate) struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// What is said and heard on a visitor's stream.
pub(crate) struct Talk<S> {
    stream: S,
    /// What came and is no line yet.
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// The next line, without its line feed.
    pub(crate) async fn line(&mut self, patience: Duration) -> Result<Vec<u8>, Over> {
        let mut searched = 0;
        loop {
            let fresh = &self.received[searched..];
            if let Some(end) = fresh.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=searched + end).collect();
                line.pop();
                return Ok(line);
            }
            searched = self.received.len();
            if searched >= LONGEST_BYTES {
                let message =
                    format!("The command is too long: a line has at most {LONGEST_BYTES} bytes.\n");
                self.send(message.as_bytes(), patience).await?;
                return Err(Over);
            }
            let read = self.stream.read_buf(&mut self.received);
            match timeout(patience, read).await {
                // What is no whole line is no command.
                Ok(Ok(0)) | Err(_) => return Err(Over),
                Ok(read) => drop(read?),
            }
        }
    }

    /// Within `patience` a piece at least must go: a slow reader may take long for all of them.
    pub(crate) async fn send(&mut self, mut bytes: &[u8], patience: Duration) -> Result<(), Over> {
        while !bytes.is_empty() {
            let written = timeout(patience, self.stream.write(bytes));
            match written.await {
                Ok(Ok(written)) if written > 0 => bytes = &bytes[written..],
                _ => return Err(Over),
            }
        }
        Ok(())
    }

    /// Nothing more is said.
    pub(crate) async fn end(&mut self) {
        // Whoever has left needs not be told.
        let _ = self.stream.shutdown().await;
    }
}
