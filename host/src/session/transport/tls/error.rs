//! Errors of TLS.

use tokio_rustls::rustls::Error;

use crate::pem::PemError;

/// The failure of a TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read, or does not contain the expected item.
    #[error(transparent)]
    File(#[from] PemError),
    /// The system has no trusted roots.
    #[error(
        "the system has no trusted root certificates; install ca-certificates or set tls.ca_certs"
    )]
    NoSystemRoots,
    /// The name cannot occur in a certificate.
    #[error(
        "{0:?} is neither a host name nor an address that a certificate could be for; write tls.server_name"
    )]
    ServerName(String),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(std::io::Error),
    /// The settings do not fit together, for example a key that is not the certificate's.
    #[error(transparent)]
    Settings(#[from] Error),
}
