//! The listener and its connections, with bounds for number and time, so that slow clients hold up nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::certificate::{Certificate, CertificateError, accept};
use super::guard::Guard;
use super::routes::Routes;
use crate::config::Web;
use crate::control::{PendingRequest, Uploads};

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

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("web.listen: cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The problem.
        source: std::io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// The HTTP server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    certificate: Option<Certificate>,
    routes: Routes,
}

impl Server {
    /// Listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the certificate cannot be used.
    pub async fn open(
        web: &Web,
        requests: mpsc::Sender<PendingRequest>,
        uploads: Uploads,
    ) -> Result<Self, WebError> {
        let certificate = web.tls.clone().map(Certificate::open).transpose()?;
        let listener = TcpListener::bind(web.listen)
            .await
            .map_err(|source| WebError::Listen {
                address: web.listen,
                source,
            })?;
        let routes = Routes::new(Guard::new(web), requests, uploads);
        Ok(Self {
            listener,
            certificate,
            routes,
        })
    }

    /// The scheme of its URLs.
    pub const fn scheme(&self) -> &'static str {
        match self.certificate {
            Some(_) => "https",
            None => "http",
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections for ever. They end with this future.
    pub async fn serve(mut self) {
        let mut connections = JoinSet::new();
        loop {
            let has_room = connections.len() < CONNECTIONS;
            tokio::select! {
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, peer)) => {
                        let acceptor = self.certificate.as_mut().map(Certificate::acceptor);
                        connections.spawn(serve_client(stream, peer, self.routes.clone(), acceptor));
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

/// Serves one connection, which is encrypted where there is an acceptor.
async fn serve_client(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
    acceptor: Option<TlsAcceptor>,
) {
    let Some(acceptor) = acceptor else {
        return converse(stream, peer, routes).await;
    };

    match tokio::time::timeout(HEAD_TIMEOUT, accept(&acceptor, stream)).await {
        Ok(Ok(stream)) => converse(stream, peer, routes).await,
        Ok(Err(error)) => debug!("a client of the HTTP server: {error}"),
        Err(_) => debug!("a client of the HTTP server has not encrypted its connection in time"),
    }
}

/// Answers the requests of one connection.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, routes: Routes) {
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
