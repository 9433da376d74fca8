//! The stream of bytes to a broker: TCP, TLS and WebSocket.
//!
//! The caller bounds the time of the whole connect, and reconnects.

pub mod advice;
mod resolve;
pub mod tls;
pub mod websocket;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::config::{Connection, Transport};
pub use resolve::Resolver;
use tls::TlsError;
use websocket::{Frames, WebSocketError};

/// How long an address may stay silent before the next one is tried in parallel (RFC 8305, section 5).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// The failure of a connection to the broker. Each message names the step that failed; the caller knows the broker.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The host name could not be resolved.
    #[error("cannot resolve the host name {host:?}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// The host has no address at all, or none of the family of `bind_address`.
    #[error("the host {host:?} has no address to connect to{}", match .bind { Some(bind) => format!(" from {bind}"), None => String::new() })]
    NoAddress {
        /// The name.
        host: String,
        /// The local address to connect from.
        bind: Option<std::net::IpAddr>,
    },
    /// None of the host's addresses accepted the connection.
    #[error("TCP to {address}: {source}")]
    Connect {
        /// The address whose failure is reported: of several, the last one.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// There is a connection, but no TLS over it.
    #[error("TLS handshake: {0}")]
    Tls(#[from] TlsError),
    /// There is a connection, but no WebSocket over it.
    #[error("WebSocket upgrade: {0}")]
    WebSocket(#[from] WebSocketError),
}

/// A stream of bytes to and from a broker. Written bytes may stay in a buffer until they are flushed.
#[derive(Debug)]
pub enum Stream {
    /// TCP without Nagle's delay.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// WebSocket over TCP.
    WebSocket(Box<Frames<TcpStream>>),
    /// WebSocket over TLS.
    SecureWebSocket(Box<Frames<TlsStream<TcpStream>>>),
}

/// Connects to the broker with `connection.transport`.
///
/// # Errors
/// Names the step that failed. There is no time limit here: wrap the call in `connection.session.connect_timeout`.
pub async fn connect(
    connection: &Connection,
    resolver: &Resolver,
) -> Result<Stream, TransportError> {
    let tcp = connect_tcp(connection, resolver).await?;
    match &connection.transport {
        Transport::Tcp => Ok(Stream::Tcp(tcp)),
        Transport::Tls => Ok(Stream::Tls(Box::new(encrypt(connection, tcp).await?))),
        Transport::WebSocket(path) => Ok(Stream::WebSocket(Box::new(
            upgrade(connection, path, tcp).await?,
        ))),
        Transport::SecureWebSocket(path) => {
            let tls = encrypt(connection, tcp).await?;
            Ok(Stream::SecureWebSocket(Box::new(
                upgrade(connection, path, tls).await?,
            )))
        }
    }
}

/// Reads the files with certificates and keys that the settings name, without connecting. Blocks.
///
/// # Errors
/// When a file cannot be used, whatever the broker is.
pub fn check(connection: &Connection) -> Result<(), TransportError> {
    if matches!(
        connection.transport,
        Transport::Tls | Transport::SecureWebSocket(_)
    ) {
        tls::check(&connection.tls, &connection.host)?;
    }

    Ok(())
}

async fn encrypt(
    connection: &Connection,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let handshake = tls::handshake(&connection.tls, &connection.host, tcp);
    let late = |error| TlsError::Handshake(advice::advise_handshake(error, &connection.tls));
    with_time_limit(connection, handshake, late).await
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection,
    path: &str,
    stream: S,
) -> Result<Frames<S>, WebSocketError> {
    let authority = authority(connection);
    let upgrade = websocket::upgrade(stream, &authority, path, connection.session.max_packet_size);
    with_time_limit(connection, upgrade, WebSocketError::late).await
}

/// Runs `step` with a time limit; `late` makes its error. The limit is shorter than that of the whole connect, so that the error names
/// this step.
async fn with_time_limit<T, E>(
    connection: &Connection,
    step: impl Future<Output = Result<T, E>>,
    late: impl FnOnce(io::Error) -> E,
) -> Result<T, E> {
    let limit = connection.session.connect_timeout * 9 / 10;
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| {
        Err(late(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("not answered within {limit:?}"),
        )))
    })
}

/// The broker as `host:port` for the request, an IPv6 address in brackets.
fn authority(connection: &Connection) -> String {
    match connection.host.contains(':') {
        true => format!("[{}]:{}", connection.host, connection.port),
        false => format!("{}:{}", connection.host, connection.port),
    }
}

/// Tries every address of the host in the resolver's order. After a failure the next one is tried at once; after `NEXT_ADDRESS_DELAY` it is
/// tried in parallel, and the first that answers wins.
async fn connect_tcp(
    connection: &Connection,
    resolver: &Resolver,
) -> Result<TcpStream, TransportError> {
    let mut waiting = addresses(connection, resolver).await?.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failed = None;
    loop {
        match waiting.next() {
            Some(address) => trying.push(connect_address(connection, address)),
            None if trying.is_empty() => break,
            None => {}
        }
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            Some(outcome) = trying.next() => match outcome {
                Ok(tcp) => return Ok(tcp),
                Err(failure) => failed = Some(failure),
            },
            () = tokio::time::sleep(NEXT_ADDRESS_DELAY), if more => {}
            else => break,
        }
    }

    Err(match failed {
        Some((address, source)) => TransportError::Connect { address, source },
        None => TransportError::NoAddress {
            host: connection.host.clone(),
            bind: connection.bind_address,
        },
    })
}

/// The addresses of the host; with `bind_address` only those of its family.
async fn addresses(
    connection: &Connection,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, TransportError> {
    let found = resolver
        .addresses(&connection.host, connection.port)
        .await
        .map_err(|source| TransportError::Resolve {
            host: connection.host.clone(),
            source,
        })?;
    Ok(found
        .into_iter()
        .filter(|address| {
            connection
                .bind_address
                .is_none_or(|b| b.is_ipv4() == address.is_ipv4())
        })
        .collect())
}

async fn connect_address(
    connection: &Connection,
    address: SocketAddr,
) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let attempt = async {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(bind) = connection.bind_address {
            socket.bind(SocketAddr::new(bind, 0))?;
        }
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    };

    attempt.await.map_err(|error| (address, error))
}

/// Forwards a call to the inner stream.
macro_rules! inner {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp(stream) => inner!(@ stream, $inner => $call),
            Stream::Tls(stream) => inner!(@ stream, $inner => $call),
            Stream::WebSocket(stream) => inner!(@ stream, $inner => $call),
            Stream::SecureWebSocket(stream) => inner!(@ stream, $inner => $call),
        }
    };
    (@ $stream:ident, $inner:ident => $call:expr) => {{
        let $inner = Pin::new($stream);
        $call
    }};
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::SessionSettings;

    fn to(host: &str, port: u16) -> Connection {
        Connection {
            host: host.to_owned(),
            port,
            client_id: "test".to_owned(),
            session: SessionSettings {
                clean_start: true,
                ..SessionSettings::default()
            },
            ..Connection::default()
        }
    }

    async fn dial(connection: &Connection) -> Result<Stream, TransportError> {
        connect(connection, &Resolver::default()).await
    }

    #[tokio::test]
    async fn bytes_pass_in_both_directions() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&bytes).await.unwrap();
        };

        let ask = async {
            // "localhost" may resolve to ::1 first, where no socket listens: then the next address is tried
            let mut stream = dial(&to("localhost", port)).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            stream.flush().await.unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            bytes
        };

        let ((), bytes) = tokio::join!(answer, ask);
        assert_eq!(&bytes, b"ping");
    }

    #[tokio::test]
    async fn the_configured_local_address_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection = to("127.0.0.1", listener.local_addr().unwrap().port());
        connection.bind_address = Some("127.0.0.9".parse().unwrap());
        let (stream, accepted) = tokio::join!(dial(&connection), listener.accept());
        assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.9");
        drop(stream.unwrap());
    }

    #[tokio::test]
    async fn a_refusal_names_address_and_reason() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = dial(&to("127.0.0.1", port)).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("TCP to 127.0.0.1:{port}: ")),
            "{error}"
        );
        assert!(error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_host_is_named_in_the_error() {
        let error = dial(&to("no-such-host.invalid", 1883))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot resolve the host name \"no-such-host.invalid\": "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_address_of_the_wrong_family_is_not_tried() {
        let mut connection = to("127.0.0.1", 1883);
        connection.bind_address = Some("::1".parse().unwrap());
        let error = dial(&connection).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the host \"127.0.0.1\" has no address to connect to from ::1"
        );
    }
}
