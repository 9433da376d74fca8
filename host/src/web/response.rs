//! Answers of the HTTP server.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde::Serialize;
use tracing::debug;

use super::guard::{Client, Refusal};
use super::stream::EventStream;
use crate::config::Role;
use crate::control::{Answer, Reply};

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer: a whole one, or a stream of events.
pub(super) type Answered = Response<Either<Full<Bytes>, EventStream>>;

/// The sender of a request, as it sees itself.
pub(super) fn describe(client: &Client) -> Answered {
    let role = match client.role {
        Role::Read => "read",
        Role::Operate => "operate",
    };
    let described = serde_json::json!({"name": client.name, "role": role});
    json(StatusCode::OK, &Reply::Ok(described))
}

/// The answer to a request that has nothing to tell.
pub(super) fn done() -> Answered {
    json(StatusCode::OK, &Reply::Ok("done"))
}

/// The same answer with a header that sets a cookie.
pub(super) fn with_cookie(mut answered: Answered, cookie: String) -> Answered {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answered.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answered
}

/// The answer to a request that may not pass.
pub(super) fn refuse(refusal: Refusal) -> Answered {
    debug!("refused a request: {refusal}");
    let status = match refusal {
        Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
        Refusal::CrossSite | Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::NotJson | Refusal::NotWasm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unauthorized | Refusal::WrongLogin => StatusCode::UNAUTHORIZED,
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
pub(super) fn reply(reply: &Reply<Answer>) -> Answered {
    let status = match reply {
        Reply::Ok(_) => StatusCode::OK,
        Reply::Error(_) => StatusCode::CONFLICT,
    };
    json(status, reply)
}

/// An error in words.
pub(super) fn error(status: StatusCode, said: &str) -> Answered {
    json(status, &Reply::<()>::Error(said.to_owned()))
}

/// The answer for a path that does not exist.
pub(super) fn not_found() -> Answered {
    error(
        StatusCode::NOT_FOUND,
        "there is nothing at this path; /api/v1/openapi.json lists all",
    )
}

/// The answer to a method that the path does not have.
pub(super) fn not_allowed(allowed: &'static str) -> Answered {
    let mut answered = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("expected {allowed}"),
    );
    answered
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    answered
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    match serde_json::to_vec(value) {
        Ok(text) => with(status, JSON, text),
        Err(problem) => with(StatusCode::INTERNAL_SERVER_ERROR, TEXT, problem.to_string()),
    }
}

/// Content of a kind.
pub(super) fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut answered = Response::new(Either::Left(Full::new(body.into())));
    *answered.status_mut() = status;
    answered
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answered
}
