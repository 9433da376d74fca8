//! People who use the HTTP server with a name and a password.

use super::{ROLES, Role, role_key};
use crate::config::credentials::{Secret, read_secret};
use crate::config::key::Key;
use crate::config::value::ConfigValue;
use crate::password::PasswordHash;

/// A person who may use the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUser {
    /// The name, at login and in the audit log.
    pub name: String,
    /// The actions that the person may take.
    pub role: Role,
    /// The hash of the password.
    pub password: PasswordHash,
}

/// Reads the list of people.
pub(super) fn read_users(value: ConfigValue<'_>) -> Vec<WebUser> {
    let mut users: Vec<WebUser> = Vec::new();
    for item in value.into_list("[{name: anna, role: operate, password_hash_file: anna.hash}]") {
        let Some(user) = read_user(&item) else {
            continue;
        };
        if users.iter().any(|other| other.name == user.name) {
            item.error(format!("the user {:?} is there already", user.name));
        } else {
            users.push(user);
        }
    }

    users
}

fn read_user(item: &ConfigValue<'_>) -> Option<WebUser> {
    let mut section = item.clone().into_section();
    let name = section.take_required("name");
    let role = section.take("role");
    let keys = ["password_hash", "password_hash_file", "password_hash_env"];
    let hash = read_secret(&mut section, keys);
    section.finish();

    let role = match role {
        Some(role) => role.word(&ROLES)?,
        None => Role::Read,
    };
    let name = name?.text()?.to_owned();
    match hash {
        Secret::Absent => {
            item.error(
                "has no password; write password_hash_file, password_hash_env or password_hash with what `miqro-host \
                 hash-password` prints",
            );
            None
        }
        Secret::Invalid => None,
        Secret::Text(text, place) => match text.parse() {
            Ok(password) => Some(WebUser {
                name,
                role,
                password,
            }),
            Err(error) => {
                place.error(error.to_string());
                None
            }
        },
    }
}

/// An example of the list for the reference.
pub(super) const EXAMPLE: &str = "[{name: anna, password_hash: '$argon2id$v=19$m=19456,t=2,p=1$vXXDYXaKd0lzPzCGbsiSwA$G1RL/Q4p0PFrWjLB69O0lZoiN/Q3e0v14REPTIFEeIk'}]";

/// The keys of a person for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new("name", "The name, at login and in the audit log.", "text").example("anna"),
        role_key(),
        Key::new(
            "password_hash",
            "The hash of the password, as `miqro-host hash-password` prints it.",
            "text",
        )
        .example(
            "'$argon2id$v=19$m=19456,t=2,p=1$vXXDYXaKd0lzPzCGbsiSwA$G1RL/Q4p0PFrWjLB69O0lZoiN/Q3e0v14REPTIFEeIk'",
        ),
        Key::new(
            "password_hash_file",
            "A file with the hash. A line end at its end does not count.",
            "path",
        )
        .example("/etc/miqro-host/anna.hash"),
        Key::new(
            "password_hash_env",
            "An environment variable with the hash.",
            "name",
        )
        .example("MIQRO_HASH"),
    ]
}
