//! TLS on a connected socket.
//!
//! Files are read at each connect, so that the next connection uses renewed certificates.

mod error;

use std::path::Path;
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
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme, client::verify_server_name, crypto::ring,
};

use super::advice;
use crate::config::Tls;
use crate::pem::{self, Purpose, Side};
pub use error::TlsError;

/// Makes a TLS connection (1.2 or 1.3) over `tcp` to the broker called `host`.
///
/// # Errors
/// When a file cannot be used, or the handshake failed.
pub async fn handshake(
    tls: &Tls,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let connected = connect(tls, host, tcp).await;
    connected.map_err(|error| match error {
        TlsError::Handshake(error) => TlsError::Handshake(advice::advise_handshake(error, tls)),
        other => other,
    })
}

/// Makes a TLS connection as [`handshake`], whose errors have no advice on settings of a broker.
///
/// # Errors
/// When a file cannot be used, or the handshake failed.
pub async fn connect(
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

    let owned = tls.clone();
    // the system's roots are some hundred files: off the message path
    let settings = tokio::task::spawn_blocking(move || settings(&owned))
        .await
        .map_err(std::io::Error::other);
    let settings = settings.map_err(TlsError::Handshake)??;
    let connected = TlsConnector::from(Arc::new(settings))
        .connect(name, tcp)
        .await;
    connected.map_err(TlsError::Handshake)
}

/// Checks the files and the name, without connecting.
///
/// # Errors
/// When one of them cannot be used.
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
        true => Arc::new(NoVerification(provider)),
        false => Arc::new(CaVerifier::new(tls.ca_certs.as_deref(), provider)?),
    };
    // rustls calls every custom verifier dangerous
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &tls.client_certificate {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            let identity = pem::identity(Side::Client, chain, key)?;
            Ok(builder.with_client_cert_resolver(Arc::new(identity)))
        }
    }
}

/// Accepts certificates of the trusted roots, and the very certificates of `ca_certs`: small brokers often have one
/// self-signed certificate, marked as an authority, which is not allowed to be a server's by the history (RFC 5280).
#[derive(Debug)]
struct CaVerifier {
    inner: Arc<WebPkiServerVerifier>,
    exact: Vec<CertificateDer<'static>>,
}

impl CaVerifier {
    fn new(ca_certs: Option<&Path>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut exact = Vec::new();
        match ca_certs {
            Some(path) => {
                exact = pem::certificates(Purpose::Authorities, path)?;
                for (number, certificate) in (1..).zip(&exact) {
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
            exact,
        })
    }
}

/// Whether the certificate is refused only because it is marked as an authority.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else {
        return false;
    };
    inner.to_string() == "CaUsedAsEndEntity"
}

impl ServerCertVerifier for CaVerifier {
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
            Err(error) if is_authority(&error) && self.exact.contains(certificate) => {
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

/// Accepts every certificate: `cert_reqs: CERT_NONE`.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
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
