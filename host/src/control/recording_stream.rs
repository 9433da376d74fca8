//! The command line's end of a recording: lines that a host sends until the recording ends.

use std::io;
use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::client_error::ClientError;
use super::socket::short_path;
use super::{Reply, Request};

/// A recording that is being made.
#[derive(Debug)]
pub struct RecordingStream {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// `None`: the recording was stopped.
    writer: Option<OwnedWriteHalf>,
}

/// Asks the host that listens on `socket` for a recording; also returns its header.
///
/// # Errors
/// When no host listens, or it rejects the request.
pub async fn record(
    socket: &Path,
    request: &Request,
) -> Result<(Value, RecordingStream), ClientError> {
    let failed = |source: io::Error| ClientError::Io {
        path: socket.to_owned(),
        source,
    };
    let short = short_path(socket).map_err(failed)?;
    let stream = UnixStream::connect(&short.path).await.map_err(failed)?;
    let (reader, mut writer) = stream.into_split();
    let mut text = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    writer.write_all(&text).await.map_err(failed)?;

    let mut lines = BufReader::new(reader).lines();
    let reply = lines.next_line().await.map_err(failed)?;
    let reply = reply.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
    match serde_json::from_str(&reply).map_err(|error| failed(error.into()))? {
        Reply::Ok(header) => {
            let writer = Some(writer);
            Ok((header, RecordingStream { lines, writer }))
        }
        Reply::Error(error) => Err(ClientError::Rejected(error)),
    }
}

impl RecordingStream {
    /// The next line; `None`: the host has ended the connection. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        self.lines.next_line().await
    }

    /// Has the host end the recording. Lines that are on their way, and the end, still come.
    pub fn stop(&mut self) {
        // ends this side of the connection
        self.writer = None;
    }
}
