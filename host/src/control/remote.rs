//! The HTTP API of a host as a transport of requests. The token travels in a header only, never in the URL.

mod event_reader;
mod follow;
mod request_body;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::request_body::RequestBody;
use super::client_error::ClientError;
use super::upload_progress::UploadProgress;
use super::{REPLY_BYTES, REQUEST_BYTES, Reply, Request};
use crate::config::Tls;
use crate::session::transport::tls::{self, TlsError};

pub use follow::LAST_EVENT_ID;

/// The reason why a URL or token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The text is not the URL of a host.
    #[error(
        "expected http://HOST[:PORT] or https://HOST[:PORT] without user and query, found {0:?}"
    )]
    Url(String),
    /// The token cannot travel in a header.
    #[error("expected a token of visible characters, found others in it")]
    Token,
}

/// A request over HTTP, or the reason why there is none.
type Asked = Result<http::Request<RequestBody>, ClientError>;

/// A host that is asked over HTTP.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    /// Its path, without a slash at its end.
    path: String,
    authority: Authority,
    port: u16,
    tls: Option<Tls>,
    /// The value of the header `Authorization`.
    authorization: Option<HeaderValue>,
}

impl Remote {
    /// The host at `url`, which gets `token`. Its certificate has to be one of `ca_file`, or of the system's roots without it.
    ///
    /// # Errors
    /// When the URL or the token cannot be used.
    pub fn new(
        url: &str,
        token: Option<&str>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }

        let (tls, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => (None, 80),
            Some(scheme) if *scheme == Scheme::HTTPS => {
                let tls = Tls {
                    ca_certs: ca_file,
                    ..Tls::default()
                };
                (Some(tls), 443)
            }
            _ => return Err(wrong()),
        };

        let authorization = match token {
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| RemoteError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };

        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            authority,
            tls,
            authorization,
        })
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and waits for its reply.
    pub(super) fn send(&self, request: &Request, limit: Duration) -> Result<Value, ClientError> {
        self.exchange(self.request_for(request), limit)
    }

    /// Sends a request with a component, whose bytes are counted in `progress`, and waits for its reply.
    pub(super) fn upload(
        &self,
        request: &Request,
        component: Bytes,
        progress: &UploadProgress,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let body = RequestBody::new(component, progress.clone());
        self.exchange(self.upload_for(request, body), limit)
    }

    fn exchange(&self, http: Asked, limit: Duration) -> Result<Value, ClientError> {
        let http = http?;
        self.block_on(async {
            let asked = self.with_connection(http, async |answer| self.reply(answer).await);
            timeout(limit, asked)
                .await
                .map_err(|_| self.failed(late(limit)))?
        })
    }

    /// The HTTP request: GET of a path for a stream, a command for all others.
    fn request_for(&self, request: &Request) -> Asked {
        let json = serde_json::to_value(request).map_err(|error| self.unusable(&error))?;
        if let Some(path) = stream_path(request) {
            let query = query_of(&json);
            let builder = http::Request::get(format!("{}{path}?{query}", self.path));
            return self.complete(builder, whole(Bytes::new()));
        }

        let body = Bytes::from(json.to_string());
        if body.len() as u64 > REQUEST_BYTES {
            return Err(self.failed(format!("expected a request below {REQUEST_BYTES} bytes")));
        }
        let builder = http::Request::post(format!("{}/api/v1/command", self.path))
            .header(header::CONTENT_TYPE, "application/json");
        self.complete(builder, whole(body))
    }

    /// The HTTP request of an upload.
    fn upload_for(&self, request: &Request, component: RequestBody) -> Asked {
        let mut json = serde_json::to_value(request).map_err(|error| self.unusable(&error))?;
        // the length of the body says that
        json.as_object_mut().map(|members| members.remove("bytes"));
        let query = query_of(&json);
        let builder = http::Request::post(format!("{}/api/v1/upload?{query}", self.path))
            .header(header::CONTENT_TYPE, "application/wasm");
        self.complete(builder, component)
    }

    fn complete(&self, builder: http::request::Builder, body: RequestBody) -> Asked {
        let mut http = builder
            .header(header::HOST, self.authority.as_str())
            .body(body)
            .map_err(|error| self.unusable(&error))?;
        if let Some(value) = &self.authorization {
            http.headers_mut()
                .insert(header::AUTHORIZATION, value.clone());
        }
        Ok(http)
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> ClientError {
        self.failed(error.to_string())
    }

    async fn with_connection<T>(
        &self,
        http: http::Request<RequestBody>,
        read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.with_connection_within(Duration::MAX, http, read).await
    }

    /// Connects, sends the request, at most for `limit`, and has the answer read.
    async fn with_connection_within<T>(
        &self,
        limit: Duration,
        http: http::Request<RequestBody>,
        read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let stream = timeout(limit, self.connect())
            .await
            .map_err(|_| self.failed(late(limit)))??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(error.to_string()))?;
        // an error of the connection is also one of the sender or the body
        let driven = async {
            let _ = connection.await;
            pending::<Infallible>().await
        };
        let exchanged = async {
            let answer = timeout(limit, sender.send_request(http))
                .await
                .map_err(|_| self.failed(late(limit)))?
                .map_err(|error| self.failed(self.no_answer(&error)))?;
            read(answer).await
        };

        let exchanged = pin!(exchanged);
        tokio::select! {
            result = exchanged => result,
            never = driven => match never {},
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, ClientError> {
        let host = self.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = match TcpStream::connect((host, self.port)).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(ClientError::NotListening(self.url.clone()));
            }
            stream => stream.map_err(|error| self.failed(format!("cannot connect: {error}")))?,
        };

        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(settings) => match tls::connect(settings, host, stream).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(TlsError::Handshake(error)) => Err(self.failed(format!(
                    "TLS failed: {error}; --ca-file FILE names the authority of a certificate that this system does not know, and \
                     http:// is for a port without TLS"
                ))),
                Err(TlsError::NoSystemRoots) => Err(self.failed(
                    "this system has no trusted certificates; name some with --ca-file FILE".to_owned(),
                )),
                Err(error) => Err(self.failed(error.to_string())),
            },
        }
    }

    /// The reply in an answer.
    async fn reply(&self, answer: http::Response<Incoming>) -> Result<Value, ClientError> {
        let status = answer.status();
        let limit = usize::try_from(REPLY_BYTES).unwrap_or(usize::MAX);
        let body = Limited::new(answer.into_body(), limit).collect().await;
        let body = body.map_err(|error| self.failed(format!("the answer broke off: {error}")))?;
        let Ok(reply) = serde_json::from_slice::<Reply>(&body.to_bytes()) else {
            return Err(self.failed(format!(
                "expected the HTTP API of a MIQRO host, found another server (status {status})"
            )));
        };

        match (status, reply) {
            (StatusCode::OK, Reply::Ok(value)) => Ok(value),
            (StatusCode::CONFLICT, Reply::Error(reason)) => Err(ClientError::Rejected(reason)),
            (StatusCode::UNAUTHORIZED, _) if self.authorization.is_none() => Err(self.failed(
                "expected a token, found none; name its file with --token-file FILE".to_owned(),
            )),
            (StatusCode::UNAUTHORIZED, _) => Err(self.failed(
                "expected a token of the host's web.tokens, found an unknown one".to_owned(),
            )),
            (StatusCode::FORBIDDEN, _) if self.authorization.is_some() => Err(self.failed(
                "expected a token with role: operate, found one with role: read".to_owned(),
            )),
            (_, Reply::Error(reason)) => Err(self.failed(reason)),
            (status, Reply::Ok(_)) => Err(self.failed(format!("unexpected status {status}"))),
        }
    }

    /// The reason why a server gave no answer.
    fn no_answer(&self, error: &hyper::Error) -> String {
        let hint = if self.tls.is_none() {
            "; https:// is for a port with TLS"
        } else {
            ""
        };
        format!("expected an answer in HTTP, found none: {error}{hint}")
    }

    fn failed(&self, reason: String) -> ClientError {
        ClientError::Remote {
            url: self.url.clone(),
            reason,
        }
    }

    fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.failed(error.to_string()))?
            .block_on(future)
    }
}

/// A connection with or without TLS.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// A body whose progress nobody asks for.
fn whole(bytes: Bytes) -> RequestBody {
    RequestBody::new(bytes, UploadProgress::default())
}

fn late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

/// The path of a stream; `None`: the request is a command.
fn stream_path(request: &Request) -> Option<&'static str> {
    match request {
        Request::Logs { .. } => Some("/api/v1/stream/logs"),
        Request::Tail { .. } => Some("/api/v1/stream/calls"),
        _ => None,
    }
}

/// The members of a request besides its command, as a query.
fn query_of(request: &Value) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let members = request.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, _)| *name != "command") {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        query.append_pair(name, &text);
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn urls_of_hosts_have_a_scheme_and_no_secret() {
        for good in [
            "http://pi:8180",
            "https://home.example/miqro/",
            "http://[::1]:8180",
        ] {
            let remote = Remote::new(good, Some("t"), None).unwrap();
            assert_eq!(remote.url(), good.trim_end_matches('/'));
        }
        for bad in [
            "pi:8180",
            "ftp://pi",
            "http://",
            "http://user@pi",
            "http://pi/?token=x",
            "",
        ] {
            assert!(
                matches!(Remote::new(bad, None, None), Err(RemoteError::Url(_))),
                "{bad}"
            );
        }
        let control = Remote::new("http://pi", Some("a\nb"), None);
        assert!(matches!(control, Err(RemoteError::Token)));
    }

    #[test]
    fn streams_are_asked_for_by_path_and_query() {
        let remote = Remote::new("http://pi/base/", None, None).unwrap();
        let logs = Request::Logs {
            service: Some("a b&c".to_owned()),
            level: None,
            follow: false,
            after: None,
        };
        let asked = remote.request_for(&logs).unwrap();
        assert_eq!(asked.uri().path(), "/base/api/v1/stream/logs");
        // the order of members depends on a feature of serde_json
        let query = asked.uri().query().unwrap_or_default();
        let mut pairs: Vec<&str> = query.split('&').collect();
        pairs.sort_unstable();
        assert_eq!(pairs, ["follow=false", "service=a+b%26c"]);
        let asked = remote.request_for(&Request::Services {}).unwrap();
        assert_eq!(asked.uri(), "/base/api/v1/command");

        let upload = Request::Upload {
            service: "it".to_owned(),
            bytes: 3,
            signature: None,
        };
        let asked = remote
            .upload_for(&upload, whole(Bytes::from_static(b"abc")))
            .unwrap();
        assert_eq!(asked.uri(), "/base/api/v1/upload?service=it");
    }
}
