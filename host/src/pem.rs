//! Certificates and keys in PEM files (RFC 7468), with advice on files in other formats.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, InconsistentKeys, crypto::ring};

/// A side of a TLS connection, which identifies itself by a certificate and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client of the broker.
    Client,
    /// The HTTP server.
    Server,
}

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Certificates that vouch for the broker.
    Authorities,
    /// A certificate, and the chain to an authority.
    Certificate(Side),
    /// A private key.
    Key(Side),
}

/// A file that cannot be read, or does not contain the expected item.
#[derive(Debug, thiserror::Error)]
#[error("{purpose} {path}: {reason}")]
pub struct PemError {
    purpose: &'static str,
    path: PathBuf,
    reason: String,
}

impl Purpose {
    /// Its name, with the key of the configuration.
    const fn name(self) -> &'static str {
        match self {
            Self::Authorities => "tls.ca_certs",
            Self::Certificate(Side::Client) => "client certificate (tls.certfile)",
            Self::Certificate(Side::Server) => "server certificate (web.tls.certfile)",
            Self::Key(Side::Client) => "client key (tls.keyfile)",
            Self::Key(Side::Server) => "server key (web.tls.keyfile)",
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Authorities | Self::Certificate(_) => "CERTIFICATE",
            Self::Key(_) => "PRIVATE KEY",
        }
    }

    /// The openssl command that converts the binary form to PEM.
    const fn conversion(self) -> &'static str {
        match self {
            Self::Authorities | Self::Certificate(_) => "openssl x509 -inform der",
            Self::Key(_) => "openssl pkey -inform der",
        }
    }

    /// An error about the file.
    pub fn unusable(self, path: &Path, reason: impl ToString) -> PemError {
        PemError {
            purpose: self.name(),
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, PemError> {
        let mut bytes = std::fs::read(path).map_err(|error| self.unusable(path, error))?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            // some editors write it; the parser would not recognize the first line
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(bytes)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The certificates in a file, at least one.
///
/// # Errors
/// When the file cannot be read, or contains none.
pub fn certificates(
    purpose: Purpose,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let bytes = purpose.read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(purpose.unusable(path, other(purpose, path, &bytes))),
        Ok(found) => Ok(found),
        Err(error) => Err(purpose.unusable(path, damaged(&error))),
    }
}

/// The certificate of a side and its key. The certificate may be of X.509 version 1, as in mosquitto's manual: the other side decides
/// whether it is acceptable.
///
/// # Errors
/// When a file cannot be used, or the key is not the certificate's.
pub fn identity(side: Side, chain: &Path, key: &Path) -> Result<SingleCertAndKey, PemError> {
    let certificates = certificates(Purpose::Certificate(side), chain)?;
    let unusable = |reason: String| Purpose::Key(side).unusable(key, reason);
    let loaded = ring::default_provider()
        .key_provider
        .load_private_key(private_key(side, key)?);
    let loaded =
        loaded.map_err(|error| unusable(format!("{error}; RSA, ECDSA and Ed25519 are known")))?;
    let identity = CertifiedKey::new(certificates, loaded);
    match identity.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let (certificate, keys) = match side {
                Side::Client => ("client certificate", "tls.certfile and tls.keyfile"),
                Side::Server => ("server certificate", "web.tls.certfile and web.tls.keyfile"),
            };
            Err(unusable(format!(
                "it is not the key of the {certificate} {}; {keys} have to be a pair",
                chain.display()
            )))
        }
        _ => Ok(SingleCertAndKey::from(identity)),
    }
}

/// The private key in a file.
fn private_key(side: Side, path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let purpose = Purpose::Key(side);
    let bytes = purpose.read(path)?;
    if is_encrypted(&bytes) {
        let reason = format!(
            "it is encrypted, and the host cannot ask for the password; write a key without one, readable by the host's user \
             only: openssl pkey -in {} -out NEW",
            path.display()
        );
        return Err(purpose.unusable(path, reason));
    }

    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => purpose.unusable(path, other(purpose, path, &bytes)),
        error => purpose.unusable(path, damaged(&error)),
    })
}

/// Whether a key is encrypted: in PKCS#8 by its label, in older forms by a header below the label (RFC 1421).
fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn damaged(error: &pem::Error) -> String {
    format!("it is damaged: {error}; was it copied whole?")
}

/// The message about a file without the expected item: its actual content, and how to convert it.
fn other(purpose: Purpose, path: &Path, bytes: &[u8]) -> String {
    let wanted = purpose.wanted();
    let path = path.display();
    if bytes
        .iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == 0)
    {
        return format!("expected {wanted} in PEM form, found an empty file");
    }

    if let Some(content) = der(bytes) {
        // PKCS#12 begins with its version, 3 (RFC 7292)
        return match content.starts_with(&[2, 1, 3]) {
            true => {
                format!(
                    "expected PEM, found PKCS#12; convert it: openssl pkcs12 -in {path} -nodes -out NEW"
                )
            }
            false => format!(
                "expected PEM, found DER; convert it: {} -in {path} -out NEW",
                purpose.conversion()
            ),
        };
    }

    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return "it is text in UTF-16; save it as ASCII or UTF-8".to_owned();
    }
    let text = String::from_utf8_lossy(bytes);
    let labels = text.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("-----BEGIN ")?
            .strip_suffix("-----")
    });
    let labels: Vec<&str> = labels.collect();
    match labels.is_empty() {
        true => format!("expected {wanted} in PEM form, found no line that begins with -----BEGIN"),
        false => format!("expected {wanted} in PEM form, found {}", labels.join(", ")),
    }
}

/// The content of the outermost sequence in DER (X.690); `None` when the bytes are not DER.
fn der(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x30, 0x81, _, content @ ..]
        | [0x30, 0x82, _, _, content @ ..]
        | [0x30, 0x83, _, _, _, content @ ..] => Some(content),
        _ => None,
    }
}
