//! Parts of a login: the token that a page sends, and the cookie that it gets.
use serde::Deserialize;

use super::guard::COOKIE;

/// Seconds for which a browser keeps the cookie. The session may end before.
const MAX_AGE: u32 = 12 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// The token of a login; `None` when the body is something else.
pub(super) fn token_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Login>(body)
        .ok()
        .map(|login| login.token)
}

/// A new identifier of a session; `None` when the system has no random numbers.
pub(super) fn new_id() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

/// The header that sets the cookie of a session.
pub(super) fn cookie(id: &str) -> String {
    format!("{COOKIE}={id}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={MAX_AGE}")
}

/// The header that removes the cookie.
pub(super) fn ended_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}
