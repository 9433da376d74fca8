//! Logins: the token or the name and password that a page sends, and the cookie that it gets.

use serde::Deserialize;

use super::guard::COOKIE;
use crate::config::WebUser;
use crate::password::PasswordHash;

/// Seconds for which a browser keeps the cookie. The session may end before.
const MAX_AGE: u32 = 12 * 3600;

/// A hash that no password has, of the same cost as those of `miqro-host hash-password`: the time of an answer does not tell whether
/// there is a user of that name.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The body of a login.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Login {
    /// By a token.
    Token(TokenLogin),
    /// By a name and a password.
    Password(PasswordLogin),
}

/// A login by a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenLogin {
    /// The token.
    pub token: String,
}

/// A login by a name and a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordLogin {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// The user whose password it is; `None` when the name or the password is wrong. Takes some 30 ms and 19 MiB.
pub(super) fn user_of(password: &str, user: Option<WebUser>) -> Option<WebUser> {
    match user {
        Some(user) => user.password.is_of(password).then_some(user),
        None => {
            // as slow as a wrong password
            let nobody = NOBODY.parse::<PasswordHash>().ok()?;
            nobody.is_of(password);
            None
        }
    }
}

/// A token that nobody can guess, for example the identifier of a session; `None` when the system has no random numbers.
pub fn random_token() -> Option<String> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Role;

    #[test]
    fn only_the_password_of_a_user_makes_one() {
        assert!(NOBODY.parse::<PasswordHash>().is_ok());
        let anna = || WebUser {
            name: "anna".to_owned(),
            role: Role::Read,
            password: PasswordHash::of("horse").unwrap(),
        };
        assert!(user_of("horse", Some(anna())).is_some());
        assert!(user_of("donkey", Some(anna())).is_none());
        assert!(user_of("horse", None).is_none());
    }
}
