//! The listener and its connections, with bounds for number and time, so that slow clients hold up nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::guard::Guard;
use super::routes::Routes;
use crate::config::Web;
use crate::control::PendingRequest;

/// Most connections at a time; further ones wait.
const CONNECTIONS: usize = 256;
/// How long a client may take to send the head of a request, the first one or the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live. A client that does not read is cut off then.
const LIFETIME: Duration = Duration::from_secs(360);
/// Bytes that are buffered of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// Wait after the system could not accept a connection (out of file descriptors, perhaps).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("web.listen: cannot listen on {address}: {source}")]
pub struct WebError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The HTTP server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    routes: Routes,
}

impl Server {
    /// Listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open(web: &Web, requests: mpsc::Sender<PendingRequest>) -> Result<Self, WebError> {
        let listener = TcpListener::bind(web.listen)
            .await
            .map_err(|source| WebError {
                address: web.listen,
                source,
            })?;
        let routes = Routes::new(Guard::new(web), requests);
        Ok(Self { listener, routes })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections for ever. They end with this future.
    pub async fn serve(self) {
        let mut connections = JoinSet::new();
        loop {
            let has_room = connections.len() < CONNECTIONS;
            tokio::select! {
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(converse(stream, peer, self.routes.clone()));
                    }
                    Err(error) => {
                        warn!("the HTTP server: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, peer: SocketAddr, routes: Routes) {
    let answer = service_fn(|request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.answer(request, peer.ip()).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    match tokio::time::timeout(LIFETIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("a client of the HTTP server: {error}"),
        Err(_) => debug!("a client of the HTTP server was cut off: it was connected too long"),
    }
}
