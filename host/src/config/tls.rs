//! Pure: the `tls` section, in MIQRO's words. In: the section. Out: `Tls`. Owns nothing.

use std::path::PathBuf;

use super::Tls;
use super::given::Given;
use super::place::Place;
use super::section::Section;

/// Reads the section; an empty one stands for TLS with the system's roots.
pub(super) fn tls(mut section: Section<'_>, place: &Place) -> Tls {
    let mut path = |key| section.take(key).and_then(|given| existing(&given, place));
    let ca_certs = path("ca_certs");
    let (certfile, keyfile) = (path("certfile"), path("keyfile"));
    let client_certificate = match (certfile, keyfile) {
        // as in Python: without `keyfile` the key is in the same file as the certificate
        (Some(certificate), key) => Some((certificate.clone(), key.unwrap_or(certificate))),
        (None, Some(_)) => {
            section.problem("has keyfile but no certfile");
            None
        }
        (None, None) => None,
    };
    let insecure = section.take("cert_reqs").and_then(|given| {
        given.word(&[
            ("CERT_REQUIRED", false),
            ("CERT_OPTIONAL", false),
            ("CERT_NONE", true),
        ])
    });
    let server_name = section
        .take("server_name")
        .and_then(|given| Some(given.text()?.to_owned()));
    if let Some(given) = section.take("tls_version") {
        given.read(version);
    }
    if let Some(given) = section.take("ciphers")
        && given.text().is_some_and(|text| text != "None")
    {
        given.warning(
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

/// The file is opened when the connection is made, and may come into being until then: hence only a warning.
fn existing(given: &Given<'_>, place: &Place) -> Option<PathBuf> {
    let path = place.path(given.text()?);
    if !path.exists() {
        given.warning(format!("there is no file {}", path.display()));
    }
    Some(path)
}

/// Names of Python's `ssl` module. `PROTOCOL_SSLv23` is its old name of `PROTOCOL_TLS`, the best that both sides have.
fn version(text: &str) -> Result<(), String> {
    let accepted = [
        "PROTOCOL_TLS",
        "PROTOCOL_TLS_CLIENT",
        "PROTOCOL_SSLv23",
        "PROTOCOL_TLSv1_2",
        "PROTOCOL_TLSv1_3",
    ];
    if accepted.contains(&text) || text == "None" {
        return Ok(());
    }
    if [
        "PROTOCOL_SSLv2",
        "PROTOCOL_SSLv3",
        "PROTOCOL_TLSv1",
        "PROTOCOL_TLSv1_1",
    ]
    .contains(&text)
    {
        return Err(format!(
            "{text} is broken and no longer spoken; leave tls_version out for TLS 1.2 or 1.3"
        ));
    }
    Err(format!(
        "{text:?} is no TLS version; leave it out for TLS 1.2 or 1.3, or write one of {}",
        accepted.join(", ")
    ))
}
