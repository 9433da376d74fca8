//! The certificate of the server, which is read again when its files change: certificates are renewed while the host runs.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::config::WebTls;
use crate::pem::{self, PemError, Side};

/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// The answer to a client that does not encrypt.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nexpected https, found http\n";

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error(transparent)]
    File(#[from] PemError),
    /// The settings of the library.
    #[error(transparent)]
    Settings(#[from] Error),
}

/// When the two files were changed; `None` for a file that is not there.
type Changed = [Option<SystemTime>; 2];

/// The files and what was read from them.
#[derive(Debug)]
pub(super) struct Certificate {
    files: WebTls,
    changed: Changed,
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn open(files: WebTls) -> Result<Self, CertificateError> {
        let changed = changed(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self {
            files,
            changed,
            config,
        })
    }

    /// The acceptor for the next connection. Files that have changed are read again; while they cannot be used, the former ones hold.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        let changed = changed(&self.files);
        if changed != self.changed {
            self.changed = changed;
            match read(&self.files) {
                Ok(config) => {
                    info!("the certificate of the HTTP server is renewed");
                    self.config = Arc::new(config);
                }
                Err(error) => warn!("the former certificate of the HTTP server holds: {error}"),
            }
        }

        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Makes an encrypted connection. A client that speaks HTTP is told so.
///
/// # Errors
/// When the client does not encrypt, or the handshake fails.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        return Err(io::Error::other("expected https, found http"));
    }

    acceptor.accept(stream).await
}

fn changed(files: &WebTls) -> Changed {
    [&files.certificate, &files.key].map(|file| std::fs::metadata(file).ok()?.modified().ok())
}

fn read(files: &WebTls) -> Result<ServerConfig, CertificateError> {
    let identity = pem::identity(Side::Server, &files.certificate, &files.key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(identity));
    Ok(config)
}
