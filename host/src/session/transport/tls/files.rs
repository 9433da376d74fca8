//! Certificates and keys in PEM files (RFC 7468), with advice on files in other formats.

use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Certificates that vouch for the broker.
    Authorities,
    /// The client's certificate, and the chain to an authority.
    ClientCertificate,
    /// The client's private key.
    ClientKey,
}

impl Purpose {
    /// Its name, with the key of the configuration.
    const fn name(self) -> &'static str {
        match self {
            Self::Authorities => "tls.ca_certs",
            Self::ClientCertificate => "client certificate (tls.certfile)",
            Self::ClientKey => "client key (tls.keyfile)",
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Authorities | Self::ClientCertificate => "CERTIFICATE",
            Self::ClientKey => "PRIVATE KEY",
        }
    }

    /// The openssl command that converts the binary form to PEM.
    const fn conversion(self) -> &'static str {
        match self {
            Self::Authorities | Self::ClientCertificate => "openssl x509 -inform der",
            Self::ClientKey => "openssl pkey -inform der",
        }
    }

    /// An error about the file.
    pub(super) fn unusable(self, path: &Path, reason: impl ToString) -> TlsError {
        TlsError::File {
            what: self.name(),
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, TlsError> {
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
pub(super) fn certificates(
    purpose: Purpose,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = purpose.read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(purpose.unusable(path, other(purpose, path, &bytes))),
        Ok(found) => Ok(found),
        Err(error) => Err(purpose.unusable(path, damaged(&error))),
    }
}

/// The private key in a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let purpose = Purpose::ClientKey;
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
