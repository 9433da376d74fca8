//! The paths of the server, and the answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::debug;

use super::guard::{Client, Guard, Head, Refusal, STREAMS};
use super::login::{cookie, ended_cookie, new_id, token_of};
use super::stream::{EVENT_STREAM, EventStream, request_of};
use super::{metrics, page};
use crate::config::Role;
use crate::control::{self, Answer, Caller, PendingRequest, Reply};

/// Most bytes of a command.
const COMMAND_BYTES: usize = 1 << 20;
/// How long a client may take to send a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the message path may take to answer, for the host to count as healthy.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

const OPENAPI: &str = include_str!("openapi.json");

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Headers of every answer. Nothing of it is for other sites, or to be kept.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'self'; frame-ancestors 'self'; object-src 'none'; base-uri 'none'; form-action 'self'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Everything that a request needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    /// Locked for one decision at a time, on the pool.
    guard: Arc<Mutex<Guard>>,
    requests: mpsc::Sender<PendingRequest>,
}

type Answered = Response<Either<Full<Bytes>, EventStream>>;

impl Routes {
    /// Answers go through `requests` to the host.
    pub(super) fn new(guard: Guard, requests: mpsc::Sender<PendingRequest>) -> Self {
        Self {
            guard: Arc::new(Mutex::new(guard)),
            requests,
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        self,
        request: Request<Incoming>,
        peer: std::net::IpAddr,
    ) -> Answered {
        let mut answered = match self.route(request, peer).await {
            Ok(answered) => answered,
            Err(refusal) => refuse(refusal),
        };
        for (name, value) in HEADERS {
            answered
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        answered
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        peer: std::net::IpAddr,
    ) -> Result<Answered, Refusal> {
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            peer,
        };

        if request.uri().path() == "/healthz" {
            self.lock().check_host(&head)?;
            return Ok(self.health().await);
        }

        if let (&Method::GET | &Method::HEAD, Some((_, kind, content))) =
            (request.method(), page::find(request.uri().path()))
        {
            self.lock().check_host(&head)?;
            return Ok(with(StatusCode::OK, kind, *content));
        }

        if (request.method(), request.uri().path()) == (&Method::POST, "/api/v1/login") {
            let address = self.lock().check_login(&head)?;
            return self.log_in(request, address).await;
        }

        let client = self.lock().check(&head, Instant::now())?;
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => Ok(self.metrics(client).await),
            (&Method::GET | &Method::HEAD, "/api/v1/snapshot") => Ok(reply(
                &self.ask(control::Request::Snapshot {}, client).await,
            )),
            (&Method::GET | &Method::HEAD, "/api/v1/openapi.json") => {
                Ok(with(StatusCode::OK, JSON, OPENAPI))
            }
            (&Method::GET | &Method::HEAD, "/api/v1/session") => Ok(describe(&client)),
            (&Method::POST, "/api/v1/logout") => {
                self.lock().log_out(request.headers());
                Ok(with_cookie(done(), ended_cookie()))
            }
            (&Method::POST, "/api/v1/command") => self.command(request, client).await,
            (&Method::GET, path) if path.starts_with(STREAMS) => {
                let query = request.uri().query().unwrap_or_default();
                Ok(self.stream(path, query, client).await)
            }
            (_, "/metrics" | "/api/v1/snapshot" | "/api/v1/session" | "/api/v1/openapi.json") => {
                Ok(not_allowed("GET, HEAD"))
            }
            (_, "/api/v1/command" | "/api/v1/login" | "/api/v1/logout") => Ok(not_allowed("POST")),
            (_, path) if path.starts_with(STREAMS) => Ok(not_allowed("GET")),
            _ => Ok(not_found()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a command and has it carried out. A command that only asks needs no more than the right to read.
    async fn command(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> Result<Answered, Refusal> {
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(answered) => return Ok(answered),
        };
        let command = match serde_json::from_slice::<control::Request>(&body) {
            Ok(command) => command,
            Err(problem) => {
                let said = format!("the request is not understood: {problem}");
                return Ok(error(StatusCode::BAD_REQUEST, &said));
            }
        };

        if command.is_stream() {
            let said = format!("expected GET of a path below {STREAMS}, which is a stream");
            return Ok(error(StatusCode::BAD_REQUEST, &said));
        }
        if command.is_change() {
            client.may_operate()?;
        }
        Ok(reply(&self.ask(command, client).await))
    }

    /// Begins a session for the holder of a token, and sets its cookie.
    async fn log_in(
        &self,
        request: Request<Incoming>,
        address: std::net::IpAddr,
    ) -> Result<Answered, Refusal> {
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(answered) => return Ok(answered),
        };
        let Some(token) = token_of(&body) else {
            return Ok(error(
                StatusCode::BAD_REQUEST,
                "expected an object with a token",
            ));
        };

        let Some(id) = new_id() else {
            return Ok(error(
                StatusCode::SERVICE_UNAVAILABLE,
                "the system has no random numbers",
            ));
        };

        let client = self.lock().log_in(address, &token, &id, Instant::now())?;
        Ok(with_cookie(describe(&client), cookie(&id)))
    }

    /// Begins a stream of events.
    async fn stream(&self, path: &str, query: &str, client: Client) -> Answered {
        let request = match request_of(path, query) {
            None => return not_found(),
            Some(Ok(request)) => request,
            Some(Err(problem)) => {
                let said = format!("the query is not understood: {problem}");
                return error(StatusCode::BAD_REQUEST, &said);
            }
        };

        match self.ask(request, client).await {
            Reply::Ok(Answer::Stream(stream)) => {
                let mut answered = Response::new(Either::Right(EventStream(stream)));
                let kind = HeaderValue::from_static(EVENT_STREAM);
                answered.headers_mut().insert(header::CONTENT_TYPE, kind);
                answered
            }
            other => reply(&other),
        }
    }

    async fn metrics(&self, client: Client) -> Answered {
        let said = match self.ask(control::Request::Snapshot {}, client).await {
            Reply::Ok(Answer::Snapshot(snapshot)) => match metrics::encode(*snapshot) {
                Ok(text) => return with(StatusCode::OK, METRICS, text),
                Err(problem) => format!("the metrics cannot be encoded: {problem}"),
            },
            Reply::Ok(_) => "expected a snapshot, found another answer".to_owned(),
            Reply::Error(problem) => problem,
        };

        error(StatusCode::SERVICE_UNAVAILABLE, &said)
    }

    /// Whether the message path answers.
    async fn health(&self) -> Answered {
        let caller = Caller::Web {
            name: None,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
        };
        let asked = control::ask(&self.requests, control::Request::Services {}, caller);
        match tokio::time::timeout(HEALTH_TIMEOUT, asked).await {
            Ok(Reply::Ok(_)) => with(StatusCode::OK, TEXT, "ok\n"),
            Ok(Reply::Error(said)) => with(StatusCode::SERVICE_UNAVAILABLE, TEXT, said),
            Err(_) => with(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "the host does not answer\n",
            ),
        }
    }

    async fn ask(&self, request: control::Request, client: Client) -> Reply<Answer> {
        let caller = Caller::Web {
            name: client.name,
            address: client.address,
        };
        control::ask(&self.requests, request, caller).await
    }
}

/// Reads the body of a request.
///
/// # Errors
/// The answer when it is too large, or does not arrive in time.
async fn read_body(request: Request<Incoming>) -> Result<Bytes, Answered> {
    let body = Limited::new(request.into_body(), COMMAND_BYTES).collect();
    match tokio::time::timeout(COMMAND_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(problem)) => {
            let said = format!("the command cannot be read: {problem}");
            Err(error(StatusCode::PAYLOAD_TOO_LARGE, &said))
        }
        Err(_) => Err(error(
            StatusCode::REQUEST_TIMEOUT,
            "the command did not arrive in time",
        )),
    }
}

/// The sender of a request, as it sees itself.
fn describe(client: &Client) -> Answered {
    let role = match client.role {
        Role::Read => "read",
        Role::Operate => "operate",
    };
    let described = serde_json::json!({"name": client.name, "role": role});
    json(StatusCode::OK, &Reply::Ok(described))
}

fn done() -> Answered {
    json(StatusCode::OK, &Reply::Ok("done"))
}

fn with_cookie(mut answered: Answered, cookie: String) -> Answered {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answered.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answered
}

fn refuse(refusal: Refusal) -> Answered {
    debug!("refused a request: {refusal}");
    let status = match refusal {
        Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
        Refusal::CrossSite | Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
    };

    let mut answered = error(status, &refusal.to_string());
    let headers = answered.headers_mut();
    if let Refusal::Throttled(wait) = refusal {
        headers.insert(header::RETRY_AFTER, wait.as_secs().saturating_add(1).into());
    }
    if refusal == Refusal::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answered
}

/// The reply of the host. One that it rejects is a conflict with its state.
fn reply(reply: &Reply<Answer>) -> Answered {
    let status = match reply {
        Reply::Ok(_) => StatusCode::OK,
        Reply::Error(_) => StatusCode::CONFLICT,
    };
    json(status, reply)
}

fn error(status: StatusCode, said: &str) -> Answered {
    json(status, &Reply::<()>::Error(said.to_owned()))
}

fn not_found() -> Answered {
    error(
        StatusCode::NOT_FOUND,
        "there is nothing at this path; /api/v1/openapi.json lists all",
    )
}

fn not_allowed(allowed: &'static str) -> Answered {
    let mut answered = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("expected {allowed}"),
    );
    answered
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    answered
}

fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    match serde_json::to_vec(value) {
        Ok(text) => with(status, JSON, text),
        Err(problem) => with(StatusCode::INTERNAL_SERVER_ERROR, TEXT, problem.to_string()),
    }
}

fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut answered = Response::new(Either::Left(Full::new(body.into())));
    *answered.status_mut() = status;
    answered
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answered
}
