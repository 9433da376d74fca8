//! The command line's end of the control channel: one client over two transports, the control socket and the HTTP API.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::client_error::ClientError;
use super::remote::Remote;
use super::socket::{SUFFIX, short_path};
use super::upload_progress::UploadProgress;
use super::{REPLY_BYTES, Reply, Request};

/// Bytes of an upload that are sent at once.
pub(super) const PIECE: usize = 64 * 1024;

/// The place where a host takes requests.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// The control socket of a host on this machine.
    Socket(PathBuf),
    /// The HTTP API of a host.
    Remote(Box<Remote>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Remote(remote) => f.write_str(remote.url()),
        }
    }
}

impl Endpoint {
    /// Sends a request to the host, and waits for its reply, at most `timeout`.
    ///
    /// # Errors
    /// When no host listens, no reply arrives in time, or the host rejects the request.
    pub fn send(&self, request: &Request, timeout: Duration) -> Result<Value, ClientError> {
        match self {
            Self::Socket(socket) => ask(socket, request, timeout).map(|(value, _)| value),
            Self::Remote(remote) => remote.send(request, timeout),
        }
    }

    /// Sends a request with a component, whose bytes are counted in `progress`, and waits for its reply, at most `timeout` from the end of
    /// the upload on.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    pub fn upload(
        &self,
        request: &Request,
        component: Bytes,
        progress: &UploadProgress,
        timeout: Duration,
    ) -> Result<Value, ClientError> {
        match self {
            Self::Socket(socket) => {
                begin(socket, request, &component, progress, timeout).map(|(value, _)| value)
            }
            Self::Remote(remote) => remote.upload(request, component, progress, timeout),
        }
    }

    /// Sends a request whose answer is a stream, and hands each of its lines to `on_line` until that returns `false`. Waits at
    /// most `timeout` for its beginning.
    ///
    /// # Errors
    /// As [`Endpoint::send`], and when the stream breaks. Those of `on_line`.
    pub fn follow(
        &self,
        request: &Request,
        timeout: Duration,
        on_line: impl FnMut(Value) -> io::Result<bool>,
    ) -> Result<(), ClientError> {
        match self {
            Self::Socket(socket) => follow(socket, request, timeout, on_line),
            Self::Remote(remote) => remote.follow(request, timeout, on_line),
        }
    }
}

fn follow(
    socket: &Path,
    request: &Request,
    timeout: Duration,
    mut on_line: impl FnMut(Value) -> io::Result<bool>,
) -> Result<(), ClientError> {
    let failed = |source: io::Error| ClientError::Io {
        path: socket.to_owned(),
        source,
    };
    let (_, mut reader) = ask(socket, request, timeout)?;
    reader.get_mut().set_limit(u64::MAX);
    // nothing may happen for long
    let stream = reader.get_ref().get_ref();
    stream.set_read_timeout(None).map_err(failed)?;

    let mut line = String::new();
    while reader.read_line(&mut line).map_err(failed)? > 0 {
        let value = serde_json::from_str(&line).map_err(|error| failed(error.into()))?;
        if !on_line(value).map_err(failed)? {
            break;
        }
        line.clear();
    }

    Ok(())
}

/// The rest of an answer.
type Rest = BufReader<io::Take<UnixStream>>;

/// Sends a request and reads its reply. Also returns the rest of the answer.
fn ask(socket: &Path, request: &Request, timeout: Duration) -> Result<(Value, Rest), ClientError> {
    begin(socket, request, &[], &UploadProgress::default(), timeout)
}

/// As [`ask`], with bytes that follow the request.
fn begin(
    socket: &Path,
    request: &Request,
    further: &[u8],
    progress: &UploadProgress,
    timeout: Duration,
) -> Result<(Value, Rest), ClientError> {
    let failed = |source: io::Error| ClientError::Io {
        path: socket.to_owned(),
        source,
    };
    let stream = match short_path(socket).and_then(|short| UnixStream::connect(short.path)) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(ClientError::NotListening(socket.display().to_string()));
        }
        stream => stream.map_err(failed)?,
    };

    let send_further = |stream: &mut UnixStream| send(stream, further, progress);
    match exchange(stream, request, send_further, timeout).map_err(failed)? {
        (Reply::Ok(value), rest) => Ok((value, rest)),
        (Reply::Error(error), _) => Err(ClientError::Rejected(error)),
    }
}

fn exchange(
    mut stream: UnixStream,
    request: &Request,
    send_further: impl FnOnce(&mut UnixStream) -> io::Result<()>,
    timeout: Duration,
) -> io::Result<(Reply, Rest)> {
    stream.set_read_timeout(Some(timeout))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    match send_further(&mut stream) {
        // the host has refused it already: its reply says why
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }

    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(REPLY_BYTES));
    reader.read_line(&mut line)?;
    Ok((serde_json::from_str(&line)?, reader))
}

/// Sends bytes in pieces.
fn send(stream: &mut UnixStream, bytes: &[u8], progress: &UploadProgress) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        stream.write_all(piece)?;
        progress.add(piece.len());
    }
    Ok(())
}

/// The control sockets in `directory`, sorted.
///
/// # Errors
/// When it cannot be read. A directory that does not exist, or belongs to another user, counts as empty.
pub fn sockets(directory: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let failed = |source: io::Error| ClientError::Io {
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
