//! The host's end of the control channel. It accepts connections of the same user only, and removes
//! its socket when the host ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use super::socket::fitting;
use super::{Asked, LINE, Reply, Request};
use crate::{daemon, secure_dir};

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 16;

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Wait after the system could not accept a connection (out of file descriptors, perhaps).
const PAUSE: Duration = Duration::from_secs(1);

/// The reason why the control channel does not work.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another host listens.
    #[error("the control socket {0}: another host listens there")]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("the control socket {path}: {source}")]
    Io {
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The socket, which nobody but the user can open.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
}

/// The name of the socket; dropped, it is removed.
#[derive(Debug)]
pub struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        // a socket that stays behind is replaced by the next host
        let _ = fs::remove_file(&self.0);
    }
}

impl Server {
    /// Listens on `path`; a socket that a killed host has left is replaced. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When another host listens, or the socket cannot be made.
    pub fn open(path: &Path) -> Result<(Self, Bound), ControlError> {
        if fitting(path)
            .and_then(|fit| BlockingStream::connect(fit.path))
            .is_ok()
        {
            return Err(ControlError::InUse(path.to_owned()));
        }
        bind(path).map_err(|source| ControlError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Accepts connections for ever; each request goes to `requests`.
    pub async fn serve(self, requests: mpsc::Sender<Asked>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // it is never closed
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) if is_same_user(&stream) => {
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        // the client may have gone
                        drop(converse(stream, requests).await);
                        drop(place);
                    });
                }
                Ok(_) => warn!("the control socket: another user is refused"),
                Err(error) => {
                    warn!("the control socket: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Made under another name and then renamed, so that it never has other rights, and replaces what lies there.
fn bind(path: &Path) -> io::Result<(Server, Bound)> {
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
    let listener = UnixListener::bind(fitting(&new)?.path)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok((Server { listener }, Bound(path.to_owned())))
}

/// The rights of the socket say so already, but not between its making and its getting them.
fn is_same_user(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == daemon::user())
}

/// One request, one answer.
async fn converse(stream: UnixStream, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LINE));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => answered(request, &requests).await,
        Err(error) => Reply::Error(format!("the request is not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

async fn answered(request: Request, requests: &mpsc::Sender<Asked>) -> Reply {
    let (answer, answered) = oneshot::channel();
    let stopping = || Reply::Error("the host is stopping".to_owned());
    if requests.send(Asked { request, answer }).await.is_err() {
        return stopping();
    }
    match answered.await {
        Ok(Ok(value)) => Reply::Ok(value),
        Ok(Err(error)) => Reply::Error(error),
        Err(_) => stopping(),
    }
}
