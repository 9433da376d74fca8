//! Advice on connections that failed: the cause and the configuration key, where they can be told from the error or from the first bytes
//! of the other side.

use std::fmt;
use std::io::{self, ErrorKind};

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use crate::config::{Connection, Tls, Transport};

/// Wrong port or no TLS.
const NO_TLS: &str = "this port does not speak TLS; write the port that does into broker.port (8883 as a rule), or \
     transport: tcp and no tls section";

/// TLS where there should be none.
const IS_TLS: &str = "this port speaks TLS; write a tls section (with ca_certs, unless the system knows who signed the broker's \
     certificate), or the port without TLS into broker.port (1883 as a rule)";

/// HTTP where there should be MQTT.
const IS_HTTP: &str = "it answers with HTTP; for MQTT over WebSocket write transport: ws (wss with TLS) below broker, else another \
     broker.port";

/// An error with a sentence about what to do.
#[derive(Debug)]
struct AdvisedError {
    error: io::Error,
    advice: String,
}

impl fmt::Display for AdvisedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.error, self.advice)
    }
}

impl std::error::Error for AdvisedError {}

fn with_advice(error: io::Error, advice: Option<String>) -> io::Error {
    match advice {
        Some(advice) => io::Error::new(error.kind(), AdvisedError { error, advice }),
        None => error,
    }
}

/// Adds advice to the error of a TLS handshake.
pub fn advise_handshake(error: io::Error, tls: &Tls) -> io::Error {
    let advice = match tls_error(&error) {
        Some(error) => tls_advice(error, tls),
        None if is_silent_close(&error) => Some(format!(
            "it may be that {NO_TLS}; or {}",
            client_certificate_hint(tls)
        )),
        None => None,
    };

    with_advice(error, advice)
}

/// Adds advice to the error with which a connection broke before the broker answered CONNECT.
pub fn advise_before_connack(error: io::Error, connection: &Connection) -> io::Error {
    let advice = match (tls_error(&error), &connection.transport) {
        // in TLS 1.3 the client is done before the server has looked at the client's certificate
        (Some(error), _) => tls_advice(error, &connection.tls),
        (None, Transport::Tls | Transport::SecureWebSocket(_)) if is_silent_close(&error) => {
            Some(client_certificate_hint(&connection.tls))
        }
        (None, Transport::Tcp) if is_silent_close(&error) => Some(
            "if this port speaks TLS, write a tls section; if it speaks WebSocket, write transport: ws below broker"
                .to_owned(),
        ),
        _ => None,
    };

    with_advice(error, advice)
}

/// Advice when the first bytes of the other side show that it is not an MQTT broker.
pub fn identify_foreign_protocol(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // an alert, or a part of a handshake, of any version of TLS (RFC 8446, section 5.1)
        [0x15 | 0x16, 0x03, 0x00..=0x04, ..] => Some(IS_TLS),
        bytes if bytes.starts_with(b"HTTP/") => Some(IS_HTTP),
        _ => None,
    }
}

/// Advice on a refused WebSocket upgrade. `status`: the status of the HTTP answer.
pub fn upgrade_advice(status: Option<u16>) -> &'static str {
    match status {
        Some(401 | 403) => {
            "; the server wants a login before MQTT begins, which this host does not support"
        }
        Some(_) => "; write the path that the broker has for WebSocket into broker.path",
        None => {
            "; this port speaks no WebSocket, or only over TLS (transport: wss); without WebSocket write transport: tcp (tls with TLS)"
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
}

/// Whether the other side is silent, or has closed the connection without an answer.
fn is_silent_close(error: &io::Error) -> bool {
    let gone = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
        ErrorKind::TimedOut,
    ];

    gone.contains(&error.kind())
}

fn tls_advice(error: &Error, tls: &Tls) -> Option<String> {
    match error {
        Error::InvalidCertificate(error) => certificate_advice(error, tls),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Some(NO_TLS.to_owned()),
        Error::AlertReceived(alert) => alert_advice(*alert, tls),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => Some(
            "the broker speaks only versions of TLS before 1.2; allow 1.2 or 1.3 there".to_owned(),
        ),
        _ => None,
    }
}

/// Advice on the broker's certificate.
fn certificate_advice(error: &CertificateError, tls: &Tls) -> Option<String> {
    let advice = match error {
        CertificateError::UnknownIssuer => match &tls.ca_certs {
            Some(path) => {
                let path = path.display();
                format!(
                    "it is not signed by a certificate in tls.ca_certs, {path}; write the root certificate of the broker there"
                )
            }
            None => {
                "it is not signed by an authority that this system trusts; set tls.ca_certs to the root certificate of the broker"
                    .to_owned()
            }
        },
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the broker needs a new certificate, if the clock of this machine is right".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the clock of this machine may be wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "write a name that the certificate has into tls.server_name, or into broker.host".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not a certificate for servers; make one with extendedKeyUsage serverAuth".to_owned()
        }
        CertificateError::Other(OtherError(inner)) => return verifier_advice(&inner.to_string()),
        _ => return None,
    };

    Some(advice)
}

/// Advice on errors for which the verifier has no types.
fn verifier_advice(text: &str) -> Option<String> {
    let advice = match text {
        "UnsupportedCertVersion" => {
            "it is an X.509 version 1 certificate, which cannot contain the broker's name; make one with a subjectAltName"
        }
        "CaUsedAsEndEntity" => "it is self-signed; set tls.ca_certs to this very certificate",
        _ => return None,
    };

    Some(advice.to_owned())
}

/// Advice on the broker's alert. An alert about a certificate concerns the client's.
fn alert_advice(alert: AlertDescription, tls: &Tls) -> Option<String> {
    use AlertDescription as A;
    let Some((certificate, _)) = &tls.client_certificate else {
        return match alert {
            A::CertificateRequired => Some(
                "the broker demands a client certificate: write tls.certfile and tls.keyfile"
                    .to_owned(),
            ),
            A::HandshakeFailure | A::BadCertificate | A::NoCertificate | A::AccessDenied => {
                Some(client_certificate_hint(tls))
            }
            A::ProtocolVersion => Some(
                "the broker speaks only versions of TLS before 1.2; allow 1.2 or 1.3 there"
                    .to_owned(),
            ),
            A::UnrecognisedName => Some(
                "the broker has no certificate for this name: write tls.server_name".to_owned(),
            ),
            _ => None,
        };
    };

    let what = match alert {
        A::UnknownCA => "does not trust who signed",
        A::CertificateExpired => "finds expired",
        A::CertificateRevoked => "finds revoked",
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateUnknown
        | A::AccessDenied
        | A::DecryptError => "does not accept",
        A::UnrecognisedName => {
            return Some(
                "the broker has no certificate for this name: write tls.server_name".to_owned(),
            );
        }
        A::HandshakeFailure => "may not accept",
        _ => return None,
    };

    Some(format!(
        "the broker {what} the client certificate {} (tls.certfile)",
        certificate.display()
    ))
}

fn client_certificate_hint(tls: &Tls) -> String {
    match &tls.client_certificate {
        None => {
            "the broker may demand a client certificate (tls.certfile and tls.keyfile)".to_owned()
        }
        Some((certificate, _)) => {
            format!(
                "the broker may not accept the client certificate {} (tls.certfile)",
                certificate.display()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_servers_are_known_by_their_first_bytes() {
        assert_eq!(
            identify_foreign_protocol(&[0x15, 3, 3, 0, 2, 2, 70]),
            Some(IS_TLS)
        );
        assert_eq!(
            identify_foreign_protocol(b"HTTP/1.1 400 Bad Request\r\n"),
            Some(IS_HTTP)
        );
        for packet in [
            &[0x20, 2, 0, 0][..],
            &[0x20, 3, 0, 0, 0],
            &[0xE0, 1, 0x87],
            b"",
        ] {
            assert_eq!(identify_foreign_protocol(packet), None);
        }
    }

    #[test]
    fn an_advised_error_keeps_its_kind_and_text() {
        let error = io::Error::new(
            ErrorKind::InvalidData,
            Error::AlertReceived(AlertDescription::CertificateRequired),
        );
        let error = advise_handshake(error, &Tls::default());
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let text = error.to_string();
        assert!(
            text.starts_with("received fatal alert: CertificateRequired; ")
                && text.contains("tls.certfile"),
            "{text}"
        );
    }
}
