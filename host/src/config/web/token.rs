//! Clients of the HTTP server that send a token: programs, and people who like that better than a password.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{ROLES, Role, role_key};
use crate::config::credentials::{Secret, read_secret};
use crate::config::key::Key;
use crate::config::value::ConfigValue;

/// Tokens of fewer bytes can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// A client of the HTTP server that sends a token.
#[derive(Clone, PartialEq, Eq)]
pub struct WebToken {
    /// The name in the audit log.
    pub name: String,
    /// The actions that it may take.
    pub role: Role,
    /// SHA-256 of its token.
    pub digest: [u8; 32],
}

impl fmt::Debug for WebToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.name)
    }
}

impl WebToken {
    /// A client with this token.
    pub fn new(name: String, role: Role, token: &str) -> Self {
        let digest = Sha256::digest(token).into();
        Self { name, role, digest }
    }
}

/// Reads the list of clients.
pub(super) fn read_tokens(value: ConfigValue<'_>) -> Vec<WebToken> {
    let mut tokens: Vec<WebToken> = Vec::new();
    for item in value.into_list("[{name: anna, role: operate, token_file: anna.token}]") {
        let Some(token) = read_token(&item) else {
            continue;
        };
        let taken = tokens
            .iter()
            .find(|other| other.name == token.name || other.digest == token.digest);
        match taken {
            Some(other) => item.error(format!("has the name or the token of {:?}", other.name)),
            None => tokens.push(token),
        }
    }

    tokens
}

fn read_token(item: &ConfigValue<'_>) -> Option<WebToken> {
    let mut section = item.clone().into_section();
    let name = section.take_required("name");
    let role = section.take("role");
    let token = read_secret(&mut section, ["token", "token_file", "token_env"]);
    section.finish();

    let role = match role {
        Some(role) => role.word(&ROLES)?,
        None => Role::Read,
    };
    let name = name?.text()?.to_owned();
    match token {
        Secret::Absent => {
            item.error("has no token; write token_file, token_env or token");
            None
        }
        Secret::Invalid => None,
        Secret::Text(token, place) => {
            if token.len() < SHORTEST_TOKEN {
                place.warning(format!(
                    "can be guessed: expected {SHORTEST_TOKEN} bytes or more, found {}; `openssl rand -hex 32` makes a good one",
                    token.len()
                ));
            }

            Some(WebToken::new(name, role, &token))
        }
    }
}

/// The keys of a client for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new("name", "The name in the audit log.", "text").example("anna"),
        role_key(),
        Key::new("token", "The token. It is better kept in a file.", "text")
            .example("0123456789abcdef0123"),
        Key::new(
            "token_file",
            "A file with the token. A line end at its end does not count.",
            "path",
        )
        .example("/etc/miqro-host/anna.token"),
        Key::new(
            "token_env",
            "An environment variable with the token.",
            "name",
        )
        .example("MIQRO_TOKEN"),
    ]
}
