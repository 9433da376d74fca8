//! The section `tls`, in MIQRO's words, which are those of Python's `ssl` module.

use std::path::PathBuf;

use super::Tls;
use super::key::Key;
use super::section::Section;

/// Reads the section; an empty one stands for TLS with the system's roots.
pub(super) fn read_tls(mut section: Section<'_>) -> Tls {
    let ca_certs = read_path(&mut section, "ca_certs");
    let certfile = read_path(&mut section, "certfile");
    let keyfile = read_path(&mut section, "keyfile");
    let client_certificate = match (certfile, keyfile) {
        // as in Python: without `keyfile` the key is in the same file as the certificate
        (Some(certificate), key) => Some((certificate.clone(), key.unwrap_or(certificate))),
        (None, Some(_)) => {
            section.error("has keyfile but no certfile");
            None
        }
        (None, None) => None,
    };

    let insecure = section
        .take("cert_reqs")
        .and_then(|value| value.word(&CERT_REQS));
    let server_name = section
        .take("server_name")
        .and_then(|value| Some(value.text()?.to_owned()));

    if let Some(value) = section.take("tls_version") {
        value.parse(check_version);
    }
    if let Some(value) = section.take("ciphers")
        && value.text().is_some_and(|text| text != "None")
    {
        value.warning(
            "is ignored: the TLS library chooses, and offers only ciphers that are safe today",
        );
    }

    section.finish();

    Tls {
        ca_certs,
        client_certificate,
        insecure: insecure.unwrap_or(false),
        server_name,
    }
}

/// The words of `cert_reqs`: whether the certificate is not verified.
const CERT_REQS: [(&str, bool); 3] = [
    ("CERT_REQUIRED", false),
    ("CERT_OPTIONAL", false),
    ("CERT_NONE", true),
];

/// Reads the path of a file. The file is opened when the connection is made, and may come into being until then: hence only a
/// warning.
fn read_path(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let value = section.take(key)?;
    let path = value.path()?;
    if !path.exists() {
        value.warning(format!("there is no file {}", path.display()));
    }
    Some(path)
}

/// Names of Python's `ssl` module for versions that are spoken. `PROTOCOL_SSLv23` is its former name of `PROTOCOL_TLS`, the best
/// version that both sides have.
const ACCEPTED: [&str; 5] = [
    "PROTOCOL_TLS",
    "PROTOCOL_TLS_CLIENT",
    "PROTOCOL_SSLv23",
    "PROTOCOL_TLSv1_2",
    "PROTOCOL_TLSv1_3",
];

const BROKEN: [&str; 4] = [
    "PROTOCOL_SSLv2",
    "PROTOCOL_SSLv3",
    "PROTOCOL_TLSv1",
    "PROTOCOL_TLSv1_1",
];

/// A version of TLS that is not spoken.
#[derive(Debug, thiserror::Error)]
enum VersionError {
    /// A version with known attacks.
    #[error("{0} is broken and no longer spoken; leave tls_version out for TLS 1.2 or 1.3")]
    Broken(String),
    /// Not the name of a version.
    #[error(
        "expected one of {accepted}, found {0:?}; leave it out for TLS 1.2 or 1.3",
        accepted = ACCEPTED.join(", ")
    )]
    Unknown(String),
}

fn check_version(text: &str) -> Result<(), VersionError> {
    if ACCEPTED.contains(&text) || text == "None" {
        Ok(())
    } else if BROKEN.contains(&text) {
        Err(VersionError::Broken(text.to_owned()))
    } else {
        Err(VersionError::Unknown(text.to_owned()))
    }
}

/// The keys for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new("ca_certs", "A file with trusted roots (PEM).", "path")
            .default("the system's roots")
            .example("/etc/ssl/certs/ca-certificates.crt"),
        Key::new("certfile", "A file with the client's certificate chain (PEM).", "path")
            .example("/etc/miqro-host/client.crt"),
        Key::new("keyfile", "A file with the client's key (PEM).", "path")
            .default("the same as `certfile`")
            .example("/etc/miqro-host/client.key"),
        Key::new(
            "cert_reqs",
            "Whether the certificate of the broker is verified. `CERT_OPTIONAL` is the same as `CERT_REQUIRED`. With `CERT_NONE` \
             anybody can pretend to be the broker.",
            "`CERT_REQUIRED`, `CERT_OPTIONAL`, `CERT_NONE`",
        )
        .default("`CERT_REQUIRED`")
        .example("CERT_REQUIRED"),
        Key::new("server_name", "The name to verify.", "text")
            .default("`broker.host`")
            .example("broker.example"),
        Key::new(
            "tls_version",
            "Accepted for MIQRO's sake: the host speaks TLS 1.2 and 1.3 whatever is written, and refuses the names of older \
             versions.",
            "a name of Python's `ssl` module",
        )
        .example("PROTOCOL_TLS"),
        Key::new("ciphers", "Accepted for MIQRO's sake and ignored.", "text").example("None"),
    ]
}
