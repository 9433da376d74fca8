//! MQTT over WebSocket (MQTT 5, section 6): a stream of bytes in which packets may be split and joined by frames in any way.
//!
//! The library answers pings.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::uri::{InvalidUri, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::advice;

/// The largest frame that is sent, in bytes; some brokers have small limits.
const MAX_FRAME: usize = 64 << 10;

/// The largest message that is accepted, in bytes, unless larger packets are allowed.
const MIN_MESSAGE_LIMIT: usize = 64 << 20;

/// The failure of a WebSocket upgrade.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The path cannot stand in a request.
    #[error("the path {path:?}: {source}")]
    Path {
        /// The path.
        path: String,
        /// The syntax error.
        source: InvalidUri,
    },
    /// The broker did not agree to change to WebSocket.
    #[error("{0}{advice}", advice = advice::upgrade_advice(status(.0)))]
    Upgrade(#[from] Box<tungstenite::Error>),
}

impl WebSocketError {
    /// Whether the server has understood and said no: that will not change by itself.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Path { .. } => true,
            Self::Upgrade(error) => {
                matches!(&**error, tungstenite::Error::Http(response) if response.status().is_client_error())
            }
        }
    }

    /// The request was not answered in time.
    pub(super) fn late(error: Error) -> Self {
        Self::Upgrade(Box::new(tungstenite::Error::Io(error)))
    }
}

fn status(error: &tungstenite::Error) -> Option<u16> {
    match error {
        tungstenite::Error::Http(response) => Some(response.status().as_u16()),
        _ => None,
    }
}

/// The bytes inside the binary frames of a WebSocket.
#[derive(Debug)]
pub struct Frames<S> {
    socket: WebSocketStream<S>,
    /// The rest of the current frame.
    unread: Bytes,
    /// An error that came after bytes that had to be returned first.
    failed: Option<Error>,
}

/// Upgrades `stream` to a WebSocket with the subprotocol `mqtt`. `host`: the host and port in the request.
///
/// # Errors
/// When the broker refuses, for example because of the path.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    path: &str,
    max_packet_size: u32,
) -> std::result::Result<Frames<S>, WebSocketError> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let uri: Uri = format!("ws://{host}{slash}{path}")
        .parse()
        .map_err(|source| WebSocketError::Path {
            path: path.to_owned(),
            source,
        })?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
    let largest = MIN_MESSAGE_LIMIT.max(max_packet_size as usize);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let (socket, _) = client_async_with_config(request, stream, Some(limits))
        .await
        .map_err(Box::new)?;
    Ok(Frames {
        socket,
        unread: Bytes::new(),
        failed: None,
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Waits for the next frame with data; `false` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(text_frame())),
                // A close frame is followed by the end; the library answers it, and pings, when it is polled again.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
                None => return Poll::Ready(Ok(false)),
            }
        }

        Poll::Ready(Ok(true))
    }
}

/// The error for a text frame, which MQTT forbids (MQTT 5, section 6).
fn text_frame() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "the broker sent a text frame over WebSocket; MQTT has binary ones only",
    )
}

fn into_io(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            ErrorKind::BrokenPipe.into()
        }
        other => Error::new(ErrorKind::InvalidData, other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<S> {
    /// Fills the buffer with everything that has arrived, from any number of frames.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            let read_some = buf.filled().len() > before;
            match self.poll_frame(cx) {
                Poll::Ready(Ok(true)) => {
                    let part = self.unread.len().min(buf.remaining());
                    buf.put_slice(&self.unread.split_to(part));
                }
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) if read_some => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if read_some => break,
                Poll::Pending => return Poll::Pending,
            }
        }

        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    /// Puts the bytes into a frame. Waits while the socket does not take earlier ones.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(into_io)?;
        let part = &bytes[..bytes.len().min(MAX_FRAME)];
        socket
            .start_send(Message::Binary(Bytes::copy_from_slice(part)))
            .map_err(into_io)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(into_io)
    }
}
