//! The command line's end of the control channel.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::socket::{SUFFIX, fitting};
use super::{LINE, Reply, Request};

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no host listens on {0}")]
    Nobody(PathBuf),
    /// The host could not be asked.
    #[error("{path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The host says why not.
    #[error("{0}")]
    Refused(String),
}

/// Asks the host that listens on `socket`, and waits for its answer as long as `patience`.
///
/// # Errors
/// When nobody listens, no answer comes in time, or the host refuses.
pub fn ask(socket: &Path, request: &Request, patience: Duration) -> Result<Value, AskError> {
    let failed = |source: io::Error| AskError::Io {
        path: socket.to_owned(),
        source,
    };
    let stream = match fitting(socket).and_then(|fit| UnixStream::connect(fit.path)) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(AskError::Nobody(socket.to_owned()));
        }
        stream => stream.map_err(failed)?,
    };
    match exchange(&stream, request, patience).map_err(failed)? {
        Reply::Ok(value) => Ok(value),
        Reply::Error(error) => Err(AskError::Refused(error)),
    }
}

fn exchange(mut stream: &UnixStream, request: &Request, patience: Duration) -> io::Result<Reply> {
    stream.set_read_timeout(Some(patience))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// The control sockets in `directory`, sorted.
///
/// # Errors
/// When it cannot be read; one that is not there, or is another user's, has none to ask.
pub fn sockets(directory: &Path) -> Result<Vec<PathBuf>, AskError> {
    let failed = |source: io::Error| AskError::Io {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed)?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed));
    let mut sockets = paths.collect::<Result<Vec<_>, _>>()?;
    sockets.retain(|path| {
        path.as_os_str()
            .as_encoded_bytes()
            .ends_with(SUFFIX.as_bytes())
    });
    sockets.sort();
    Ok(sockets)
}
