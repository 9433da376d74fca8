//! Outgoing HTTP of guests through `wasi:http`, for hosts that the service is granted.
//!
//! A name is resolved once, every address is checked, and the connection goes to a checked address, so no DNS trick leads
//! elsewhere. A redirect is a request of its own and needs a grant of its own.

use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tracing::{Instrument, warn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::config::HttpGrant;
use crate::guest::grant_usage::GrantKind;
use crate::guest::interruption::INTERRUPTED;
use crate::guest::ip_policy::is_reachable;
use crate::guest::wait_clock::WaitClock;
use crate::service_ctx::ServiceCtx;

/// Connect timeout of a request whose guest sets none.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most names that are looked up at once.
const LOOKUPS: usize = 4;

/// The outcome of a request: the response, and a future that holds the connection open while the body is read.
type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// The hook of `wasi:http`: sends requests that the grants of a service allow.
pub(super) struct HttpPolicy {
    ctx: Arc<ServiceCtx>,
    wait_clock: Arc<WaitClock>,
}

impl HttpPolicy {
    /// Creates the policy of a service's grants. The time until a response begins counts on `wait_clock` as waiting.
    pub(super) fn new(ctx: &Arc<ServiceCtx>, wait_clock: Arc<WaitClock>) -> Self {
        Self {
            ctx: ctx.clone(),
            wait_clock,
        }
    }
}

impl WasiHttpHooks for HttpPolicy {
    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTPS)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _errors: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let ctx = self.ctx.clone();
        let wait = self.wait_clock.begin();
        let sending = async move {
            let _wait = wait;
            let target = Target::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
            let grants = &ctx.config.grants.http;
            let mut known = grants.iter().enumerate();
            let Some((place, grant)) =
                known.find(|(_, grant)| grant.allows(&target.host, target.port))
            else {
                let service = &ctx.config.name;
                let wanted = HttpGrant {
                    host: target.host,
                    port: Some(target.port),
                };
                let line = format!("services.{service}.grants.http: [\"{wanted}\"]");
                ctx.state
                    .meter()
                    .denied(&format!("HTTP to {wanted}"), &line);
                return Err(Error::HttpRequestDenied);
            };

            ctx.grant_usage.note(GrantKind::Http, place);
            let response = send(request, &target, grant, options.unwrap_or_default());
            let response = ctx.state.interruption().wait(response).await;
            response.unwrap_or_else(|| Err(Error::InternalError(Some(INTERRUPTED.to_owned()))))
        };

        // polled by a task of its own
        Box::new(sending.in_current_span())
    }
}

/// The destination of a request.
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(uri: &Uri) -> Option<Self> {
        let tls = uri.scheme() != Some(&Scheme::HTTP);
        let host = uri
            .host()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        Some(Self {
            host,
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }
}

async fn send(
    mut request: Request<WasiBody>,
    target: &Target,
    grant: &HttpGrant,
    options: RequestOptions,
) -> Sent {
    let limit = options.connect_timeout.unwrap_or(TIMEOUT);
    let connecting = async {
        let stream = connect(target, grant).await?;
        if target.tls {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|_| Error::HttpRequestUriInvalid)?;
            let stream = TlsConnector::from(tls())
                .connect(name, stream)
                .await
                .map_err(Error::Tls)?;
            return handshake(stream).await;
        }

        handshake(stream).await
    };

    let mut sender = tokio::time::timeout(limit, connecting)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    // scheme and authority are for proxies only
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let limit = options.first_byte_timeout.unwrap_or(TIMEOUT);
    let response = tokio::time::timeout(limit, sender.send_request(request)).await;
    let response = response.map_err(|_| Error::ConnectionReadTimeout)??;
    // the connection is driven by its own task; the sender keeps it open until the body was read
    let open: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async move {
        drop(sender);
        Ok(())
    });
    Ok((
        response.map(|body| body.map_err(Error::from).boxed_unsync()),
        open,
    ))
}

/// Connects to an address of the target that the grant allows.
async fn connect(target: &Target, grant: &HttpGrant) -> Result<TcpStream, Error> {
    let found = addresses(target.host.clone(), target.port)
        .await
        .map_err(Error::Connect)?;
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| is_reachable(address.ip(), &grant.host))
        .collect();
    if allowed.is_empty() {
        return Err(Error::DestinationIpProhibited);
    }
    TcpStream::connect(&*allowed).await.map_err(Error::Connect)
}

/// Looks a name up. The system's resolver blocks a thread for as long as it likes: requests beyond `LOOKUPS` wait for one of them.
async fn addresses(host: String, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    static FREE: Semaphore = Semaphore::const_new(LOOKUPS);
    let active_call = FREE.acquire().await.map_err(std::io::Error::other)?;
    let lookup = tokio::task::spawn_blocking(move || {
        let _turn = active_call;
        (host, port).to_socket_addrs().map(Iterator::collect)
    });
    lookup.await.map_err(std::io::Error::other)?
}

#[expect(clippy::disallowed_methods, reason = "it ends with its connection")]
async fn handshake<S>(stream: S) -> Result<http1::SendRequest<WasiBody>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // an error here is also reported by the sender or the body
        let _ = connection.await;
    });
    Ok(sender)
}

/// TLS with the system's roots, read when it is first needed.
fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let error = found
                .errors
                .first()
                .map_or_else(|| "none found".to_owned(), ToString::to_string);
            warn!("no trusted certificates on this system, so https fails: {error}");
        }

        Arc::new(
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    });

    config.clone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_name_does_not_lead_to_this_machine_or_its_link() {
        for ip in [
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(!is_reachable(ip, "innocent.example"), "{ip}");
            assert!(is_reachable(ip, &ip.to_string()), "{ip}");
        }

        assert!(is_reachable(
            "192.168.1.1".parse().unwrap(),
            "router.example"
        ));
        assert!(is_reachable("127.0.0.1".parse().unwrap(), "localhost"));
    }

    #[test]
    fn a_grant_is_for_a_host_and_perhaps_a_port() {
        let grant = HttpGrant {
            host: "router.example".to_owned(),
            port: Some(8080),
        };
        assert!(grant.allows("router.example", 8080));
        assert!(!grant.allows("router.example", 80) && !grant.allows("evil-router.example", 8080));
        let target = Target::of(&"http://Router.Example:8080/x".parse().unwrap()).unwrap();
        assert!(grant.allows(&target.host, target.port) && !target.tls);
        let target = Target::of(&"https://[::1]/".parse().unwrap()).unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.tls),
            ("::1", 443, true)
        );
    }
}
