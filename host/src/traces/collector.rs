//! The collector of traces: one POST over HTTP for each batch (OTLP/HTTP with binary protobuf, opentelemetry-proto 1.10).

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::otlp;
use crate::config::Tls;
use crate::session::transport::tls::{self, TlsError};
use crate::text;

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Bytes of a reason from the collector that are logged.
const REASON_BYTES: usize = 200;

/// The place that takes spans.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    url: Uri,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

/// Spans of a batch that the collector did not take, and the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) spans: u64,
    pub(super) reason: String,
}

/// The reason why a batch did not reach the collector; it may be sent again.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS failed: {0}")]
    Tls(#[from] TlsError),
    #[error("no answer in HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("it is busy: status {0}")]
    Busy(StatusCode),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Collector {
    /// The collector at a checked URL. Its certificate has to be one of `ca_file`, or of the system's roots without it.
    pub(super) fn new(url: Uri, ca_file: Option<PathBuf>) -> Self {
        let is_encrypted = url.scheme_str() == Some("https");
        let default_port = if is_encrypted { 443 } else { 80 };
        let host = url.host().unwrap_or_default();
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_u16().unwrap_or(default_port),
            tls: is_encrypted.then(|| Tls {
                ca_certs: ca_file,
                ..Tls::default()
            }),
            url,
        }
    }

    /// Reads the file with trusted roots. Blocks.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) fn check(&self) -> Result<(), TlsError> {
        self.tls
            .as_ref()
            .map_or(Ok(()), |settings| tls::check(settings, &self.host))
    }

    /// Sends one batch over a connection of its own. Returns the spans that the collector refuses for good.
    ///
    /// # Errors
    /// When it may be sent again.
    pub(super) async fn post(&self, batch: Bytes, spans: usize) -> Result<Refusal, PostError> {
        let request = Request::post(self.path())
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(
                header::USER_AGENT,
                concat!("miqro-host/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONNECTION, "close")
            .body(Full::new(batch))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await?;

        // an error of the connection is also one of the sender or the body
        let driven = async {
            let _ = connection.await;
            pending::<Infallible>().await
        };
        let exchanged = pin!(async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES)
                .collect()
                .await;
            let body = body.map_err(PostError::Body)?.to_bytes();
            refusal(status, &body, spans)
        });
        tokio::select! {
            result = exchanged => result,
            never = driven => match never {},
        }
    }

    fn path(&self) -> String {
        format!("{}/v1/traces", self.url.path().trim_end_matches('/'))
    }

    fn authority(&self) -> &str {
        self.url
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, PostError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(PostError::Connect)?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some(settings) => Box::new(tls::connect(settings, &self.host, tcp).await?),
        })
    }
}

impl std::fmt::Display for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// A connection with or without TLS.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Reads an answer (OTLP/HTTP, "Failures"): some statuses ask for another attempt, all other failures refuse the whole batch.
fn refusal(status: StatusCode, body: &[u8], spans: usize) -> Result<Refusal, PostError> {
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(PostError::Busy(status)),
        status if status.is_success() => {
            let (spans, reason) = otlp::refused(body);
            let reason = text::escape(&reason, REASON_BYTES);
            Ok(Refusal { spans, reason })
        }
        status => Ok(Refusal {
            spans: u64::try_from(spans).unwrap_or(u64::MAX),
            reason: format!("status {status}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_appended_to_the_url() {
        for (url, path, authority, port) in [
            (
                "http://127.0.0.1:4318",
                "/v1/traces",
                "127.0.0.1:4318",
                4318,
            ),
            (
                "https://otel.example/base/",
                "/base/v1/traces",
                "otel.example",
                443,
            ),
            ("http://[::1]", "/v1/traces", "[::1]", 80),
        ] {
            let collector = Collector::new(url.parse().unwrap(), None);
            assert_eq!(
                (collector.path().as_str(), collector.authority()),
                (path, authority)
            );
            assert_eq!(collector.port, port);
            assert!(!collector.host.contains('['));
        }
    }

    #[test]
    fn answers_say_whether_a_batch_is_sent_again() {
        assert_eq!(refusal(StatusCode::OK, b"", 7).unwrap(), Refusal::default());
        assert_eq!(refusal(StatusCode::BAD_REQUEST, b"", 7).unwrap().spans, 7);
        assert_eq!(refusal(StatusCode::NOT_FOUND, b"", 7).unwrap().spans, 7);
        for busy in [429, 502, 503, 504] {
            let busy = StatusCode::from_u16(busy).unwrap();
            assert!(matches!(refusal(busy, b"", 7), Err(PostError::Busy(_))));
        }
    }
}
