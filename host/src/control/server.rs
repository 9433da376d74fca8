//! The host's end of the control channel. It accepts connections of the same user only, and removes
//! its socket when the host ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use super::socket::short_path;
use super::upload::{Upload, UploadError, Uploads};
use super::{Answer, Caller, PendingRequest, REQUEST_BYTES, Reply, Request, Stream, ask_with};
use crate::service::Recording;
use crate::{daemon, secure_dir};

/// Most connections at a time; further ones wait. Streams are bounded by their taps, so that commands always find room.
const CONNECTIONS: usize = 128;

/// How long a connection may take to send its request, or the next piece of an upload.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a piece of an upload.
const PIECE_BYTES: usize = 64 * 1024;

/// Wait after the system could not accept a connection (out of file descriptors, perhaps).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Errors of the control channel.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another host listens on the socket.
    #[error("the control socket {0}: another host listens there")]
    InUse(PathBuf),
    /// The socket cannot be created.
    #[error("the control socket {path}: {source}")]
    Io {
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The socket, which only the same user can open.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
}

/// Removes the file of the socket when it is dropped.
#[derive(Debug)]
pub struct SocketGuard(PathBuf);

impl Drop for SocketGuard {
    fn drop(&mut self) {
        // a socket that stays behind is replaced by the next host
        let _ = fs::remove_file(&self.0);
    }
}

impl Server {
    /// Listens on `path`, and replaces a socket that a killed host has left. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When another host listens there, or the socket cannot be created.
    pub fn open(path: &Path) -> Result<(Self, SocketGuard), ControlError> {
        if short_path(path)
            .and_then(|short| BlockingStream::connect(short.path))
            .is_ok()
        {
            return Err(ControlError::InUse(path.to_owned()));
        }

        bind(path).map_err(|source| ControlError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Accepts connections for ever; each request goes to `requests`. Conversations end with this future.
    pub async fn serve(self, requests: mpsc::Sender<PendingRequest>, uploads: Uploads) {
        let mut conversations = JoinSet::new();
        loop {
            let has_room = conversations.len() < CONNECTIONS;
            tokio::select! {
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, _)) if is_same_user(&stream) => {
                        conversations.spawn(converse(stream, requests.clone(), uploads.clone()));
                    }
                    Ok(_) => warn!("the control socket: another user is refused"),
                    Err(error) => {
                        warn!("the control socket: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // an error means that the client has gone
                Some(_) = conversations.join_next() => {}
            }
        }
    }
}

/// Creates the socket under another name and renames it, so that it never has other permissions, and replaces an old one.
fn bind(path: &Path) -> io::Result<(Server, SocketGuard)> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    secure_dir::create(parent)?;
    let new = parent.join(format!(".control-{}", std::process::id()));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short_path(&new)?.path)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok((Server { listener }, SocketGuard(path.to_owned())))
}

/// The permissions of the socket ensure that already, except between its creation and `set_permissions`.
fn is_same_user(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == daemon::user())
}

/// Reads one request and writes its reply.
async fn converse(
    stream: UnixStream,
    requests: mpsc::Sender<PendingRequest>,
    uploads: Uploads,
) -> io::Result<()> {
    let caller = Caller::of_socket(&stream);
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(REQUEST_BYTES));
    let mut line = String::new();
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;

    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            reader.get_mut().set_limit(u64::MAX);
            match receive(&request, &uploads, &mut reader).await {
                Ok(upload) => ask_with(&requests, request, upload, caller).await,
                Err(error) => Reply::Error(error.to_string()),
            }
        }
        Err(error) => Reply::Error(format!("the request is not understood: {error}")),
    };
    if let Reply::Ok(Answer::Stream(stream)) = reply {
        return relay(stream, reader, writer).await;
    }

    write_line(&mut writer, &reply).await?;
    if let Reply::Ok(Answer::Recording(recording)) = reply {
        send_recording(*recording, reader, writer).await?;
    }
    Ok(())
}

/// Reads the component that follows a request; `None`: none does.
async fn receive(
    request: &Request,
    uploads: &Uploads,
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Upload>, UploadError> {
    let Request::Upload { bytes, .. } = request else {
        return Ok(None);
    };
    let mut upload = uploads.begin(*bytes)?;
    let mut piece = vec![0; PIECE_BYTES];
    while upload.rest() > 0 {
        let most = piece
            .len()
            .min(usize::try_from(upload.rest()).unwrap_or(PIECE_BYTES));
        let reading = reader.read(&mut piece[..most]);
        let read = tokio::time::timeout(REQUEST_TIMEOUT, reading)
            .await
            .map_err(io::Error::from)??;
        if read == 0 {
            break;
        }
        upload.write(&piece[..read]).await?;
    }

    upload.finish().await.map(Some)
}

/// Writes the calls of a recording, one a line, until it ends, or the client ends its side of the connection; then the end.
async fn send_recording(
    mut recording: Recording,
    mut reader: impl AsyncBufReadExt + Unpin,
    mut writer: impl AsyncWriteExt + Unpin,
) -> io::Result<()> {
    let mut rest = String::new();
    let mut is_stopped = false;
    loop {
        let call = tokio::select! {
            call = recording.next() => call,
            _ = reader.read_line(&mut rest), if !is_stopped => {
                is_stopped = true;
                recording.stop();
                continue;
            }
        };

        match call {
            Some(call) => write_line(&mut writer, &call).await?,
            None => break,
        }
    }

    let end = recording.end().await;
    write_line(&mut writer, &json!({ "end": end })).await
}

async fn write_line(
    writer: &mut (impl AsyncWriteExt + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

/// Writes the lines of a stream behind a reply that it begins, until it ends or the client has gone.
async fn relay(
    mut stream: Stream,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    writer
        .write_all(b"{\"ok\":\"the stream begins\"}\n")
        .await?;
    loop {
        let mut lines = String::new();
        let mut sink = |_: Option<u64>, json: &str| {
            lines.push_str(json);
            lines.push('\n');
        };
        tokio::select! {
            has_more = stream.next_batch(&mut sink) => match has_more {
                true => writer.write_all(lines.as_bytes()).await?,
                false => return Ok(()),
            },
            // a client has nothing more to say
            _ = reader.read_u8() => return Ok(()),
        }
    }
}
