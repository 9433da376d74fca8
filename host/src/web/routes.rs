//! The paths of the server, and the answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Limited};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc};

use super::guard::{Client, Guard, Head, Refusal, STREAMS, UPLOAD};
use super::login::{Login, PasswordLogin, cookie, ended_cookie, random_token, user_of};
use super::response::{
    Answered, JSON, TEXT, describe, done, error, not_allowed, not_found, refuse, reply, with,
    with_cookie,
};
use super::stream::{EVENT_STREAM, EventStream, last_event, request_of};
use super::upload::receive;
use super::{metrics, page};
use crate::control::{self, Answer, Caller, PendingRequest, Reply, Uploads};

/// Most bytes of a command.
const COMMAND_BYTES: usize = 1 << 20;
/// How long a client may take to send a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the message path may take to answer, for the host to count as healthy.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

const OPENAPI: &str = include_str!("openapi.json");

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
    /// Passwords are compared one after the other, since each takes memory, and so that failures count before the next attempt.
    passwords: Arc<Semaphore>,
    requests: mpsc::Sender<PendingRequest>,
    uploads: Uploads,
}

impl Routes {
    /// Answers go through `requests` to the host.
    pub(super) fn new(
        guard: Guard,
        requests: mpsc::Sender<PendingRequest>,
        uploads: Uploads,
    ) -> Self {
        Self {
            guard: Arc::new(Mutex::new(guard)),
            passwords: Arc::new(Semaphore::new(1)),
            requests,
            uploads,
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
            (&Method::POST, UPLOAD) => self.upload(request, client).await,
            (&Method::GET, path) if path.starts_with(STREAMS) => {
                let query = request.uri().query().unwrap_or_default();
                let asked = request_of(path, query, last_event(request.headers()));
                Ok(self.stream(asked, client).await)
            }
            (_, "/metrics" | "/api/v1/snapshot" | "/api/v1/session" | "/api/v1/openapi.json") => {
                Ok(not_allowed("GET, HEAD"))
            }
            (_, "/api/v1/command" | UPLOAD | "/api/v1/login" | "/api/v1/logout") => {
                Ok(not_allowed("POST"))
            }
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

    /// Takes a component and has it checked.
    async fn upload(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> Result<Answered, Refusal> {
        client.may_operate()?;
        let (command, upload) = match receive(&self.uploads, request).await {
            Ok(received) => received,
            Err((status, said)) => return Ok(error(status, &said)),
        };

        let caller = Caller::Web {
            name: client.name,
            address: client.address,
        };
        let asked = control::ask_with(&self.requests, command, Some(upload), caller);
        Ok(reply(&asked.await))
    }

    /// Begins a session for the holder of a token or a password, and sets its cookie.
    async fn log_in(
        &self,
        request: Request<Incoming>,
        address: std::net::IpAddr,
    ) -> Result<Answered, Refusal> {
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(answered) => return Ok(answered),
        };
        let Ok(login) = serde_json::from_slice::<Login>(&body) else {
            return Ok(error(
                StatusCode::BAD_REQUEST,
                "expected an object with a token, or with name and password",
            ));
        };

        let Some(id) = random_token() else {
            return Ok(error(
                StatusCode::SERVICE_UNAVAILABLE,
                "the system has no random numbers",
            ));
        };

        let client = match login {
            Login::Token(login) => {
                self.lock()
                    .log_in(address, &login.token, &id, Instant::now())?
            }
            Login::Password(login) => self.check_password(login, address, &id).await?,
        };
        Ok(with_cookie(describe(&client), cookie(&id)))
    }

    /// Begins the session `id` if the password is that of the user.
    async fn check_password(
        &self,
        login: PasswordLogin,
        address: std::net::IpAddr,
        id: &str,
    ) -> Result<Client, Refusal> {
        // never closed
        let _turn = self.passwords.acquire().await;
        let user = self
            .lock()
            .find_user(address, &login.name, Instant::now())?;
        let compared = tokio::task::spawn_blocking(move || user_of(&login.password, user));
        let user = compared.await.unwrap_or_default();

        self.lock().on_password(address, user, id, Instant::now())
    }

    /// Begins a stream of events.
    async fn stream(
        &self,
        asked: Option<Result<control::Request, serde_json::Error>>,
        client: Client,
    ) -> Answered {
        let request = match asked {
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
