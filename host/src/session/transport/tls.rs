//! Machine: TLS on a connected socket. In: `config::Tls`, the name of the broker, a TCP stream. Out: the encrypted stream, or
//! what was wrong with a file or the handshake. Owns nothing: files are read at each connect, so that renewed certificates are
//! taken up by the next connection.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_native_certs::load_native_certs;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, OtherError,
    RootCertStore, SignatureScheme, client::verify_server_name, crypto::ring,
};

use super::advice;
use crate::config::Tls;
use files::{Purpose, certificates, private_key};

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file could not be read, or has not what it should have.
    #[error("{what} {path}: {reason}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no trusted roots.
    #[error(
        "the system has no trusted root certificates; install ca-certificates or set tls.ca_certs"
    )]
    NoSystemRoots,
    /// The name can stand in no certificate.
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

/// Makes a TLS connection (1.2 or 1.3) over `tcp` to the broker called `host`.
///
/// # Errors
/// A file that cannot be used, or the reason for which the handshake failed.
pub async fn handshake(
    tls: &Tls,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let name = server_name(tls, host)?;
    if tls.insecure {
        tracing::warn!(
            host,
            "the broker's certificate is not verified (cert_reqs: CERT_NONE)"
        );
    }
    let (tls, advised) = (tls.clone(), tls);
    // The system's roots are some hundred files: off the message path.
    let settings = tokio::task::spawn_blocking(move || settings(&tls))
        .await
        .map_err(std::io::Error::other);
    let settings = settings.map_err(TlsError::Handshake)??;
    let connected = TlsConnector::from(Arc::new(settings))
        .connect(name, tcp)
        .await;
    connected.map_err(|error| TlsError::Handshake(advice::of_handshake(error, advised)))
}

/// Reads the files and the name; connects to nothing.
///
/// # Errors
/// What cannot be used.
pub fn check(tls: &Tls, host: &str) -> Result<(), TlsError> {
    server_name(tls, host)?;
    settings(tls).map(drop)
}

fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

fn settings(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match tls.insecure {
        true => Arc::new(Anybody(provider)),
        false => Arc::new(Trusted::new(tls.ca_certs.as_deref(), provider)?),
    };
    // "Dangerous" is to bring a verifier of one's own.
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &tls.client_certificate {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            Ok(builder.with_client_cert_resolver(Arc::new(identity(chain, key)?)))
        }
    }
}

/// The client's certificate and key. The certificate may be of X.509 version 1, as mosquitto's manual makes them: what of it is
/// good enough is for the broker to say.
fn identity(chain: &Path, key: &Path) -> Result<SingleCertAndKey, TlsError> {
    let certificates = certificates(Purpose::ClientCertificate, chain)?;
    let unusable = |reason: String| Purpose::ClientKey.unusable(key, reason);
    let loaded = ring::default_provider()
        .key_provider
        .load_private_key(private_key(key)?);
    let loaded =
        loaded.map_err(|error| unusable(format!("{error}; RSA, ECDSA and Ed25519 are known")))?;
    let identity = CertifiedKey::new(certificates, loaded);
    match identity.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(unusable(format!(
            "it is not the key of the client certificate {}; tls.certfile and tls.keyfile have to be a pair",
            chain.display()
        ))),
        _ => Ok(SingleCertAndKey::from(identity)),
    }
}

/// Accepts certificates of the trusted roots, and the very certificates of `ca_certs`: small brokers often have one
/// self-signed certificate, marked as an authority, which is not allowed to be a server's by the history (RFC 5280).
#[derive(Debug)]
struct Trusted {
    inner: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn new(ca_certs: Option<&Path>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut given = Vec::new();
        match ca_certs {
            Some(path) => {
                given = certificates(Purpose::Authorities, path)?;
                for (number, certificate) in (1..).zip(&given) {
                    let malformed =
                        |error| format!("certificate {number} in it cannot be read: {error}");
                    let added = roots.add(certificate.clone());
                    added.map_err(|error| Purpose::Authorities.unusable(path, malformed(error)))?;
                }
            }
            None => drop(roots.add_parsable_certificates(load_native_certs().certs)),
        }
        if roots.is_empty() {
            return Err(TlsError::NoSystemRoots);
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self {
            inner: inner.map_err(|error| Error::General(error.to_string()))?,
            given,
        })
    }
}

/// Whether the only fault of a certificate is that it is an authority's.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else {
        return false;
    };
    inner.to_string() == "CaUsedAsEndEntity"
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .inner
            .verify_server_cert(certificate, chain, name, ocsp, now)
        {
            Err(error) if is_authority(&error) && self.given.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts whoever answers: `cert_reqs: CERT_NONE`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
