//! Passwords of people, kept as Argon2id hashes (RFC 9106) in the PHC string format. A hash is slow and takes memory on purpose: 19 MiB
//! and some 30 ms with the defaults here, so it is computed away from the message path.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::{
    self, PasswordHash as PhcString, PasswordHasher, PasswordVerifier, SaltString,
};
use argon2::{Algorithm, Argon2, Params};

/// The most memory of one computation, in KiB: a hash in the configuration decides how much is taken.
const MOST_MEMORY: u32 = 256 * 1024;

/// The most rounds of one computation.
const MOST_ROUNDS: u32 = 32;

const SALT_BYTES: usize = 16;

/// A problem with a hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The text is no hash of this kind.
    #[error(
        "expected the hash of a password as `miqro-host hash-password` prints it ($argon2id$...), found {0}"
    )]
    NotAHash(&'static str),
    /// Computing it would take too much.
    #[error(
        "expected a hash with at most m={MOST_MEMORY} (KiB) and t={MOST_ROUNDS}, found m={memory} and t={rounds}"
    )]
    TooCostly {
        /// Its memory in KiB.
        memory: u32,
        /// Its rounds.
        rounds: u32,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The library refused.
    #[error("cannot hash the password: {0}")]
    Hash(password_hash::Error),
}

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let hash =
            PhcString::new(text).map_err(|_| PasswordError::NotAHash("text of another form"))?;
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return Err(PasswordError::NotAHash("another algorithm"));
        }
        if hash.hash.is_none() || hash.salt.is_none() {
            return Err(PasswordError::NotAHash("one without salt or output"));
        }

        let params =
            Params::try_from(&hash).map_err(|_| PasswordError::NotAHash("unknown parameters"))?;
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_ROUNDS {
            return Err(PasswordError::TooCostly {
                memory: params.m_cost(),
                rounds: params.t_cost(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl PasswordHash {
    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn of(password: &str) -> Result<Self, PasswordError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        let salt = SaltString::encode_b64(&salt).map_err(PasswordError::Hash)?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);

        hash.map(|hash| Self(hash.to_string()))
            .map_err(PasswordError::Hash)
    }

    /// Whether the hash is that of `password`. Takes about as long whether it is or not.
    pub fn is_of(&self, password: &str) -> bool {
        PhcString::new(&self.0).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hashes_fit_their_password_only_and_are_never_shown() {
        let hash = PasswordHash::of("correct horse").unwrap();
        let again = PasswordHash::of("correct horse").unwrap();
        assert_ne!(hash, again, "each has a salt of its own");

        let read: PasswordHash = hash.to_string().parse().unwrap();
        assert!(read.is_of("correct horse"));
        assert!(!read.is_of("correct horse "));
        assert!(!read.is_of(""));
        assert_eq!(format!("{read:?}"), "***");
    }

    #[test]
    fn other_texts_are_no_hashes() {
        let good = PasswordHash::of("x").unwrap().to_string();
        let costly = good.replace("m=19456", "m=4194304");
        let other = good.replace("argon2id", "argon2d");
        let (no_output, _) = good.rsplit_once('$').unwrap();
        for (text, found) in [
            ("secret", "another form"),
            ("", "another form"),
            (&other, "another algorithm"),
            (no_output, "without salt or output"),
            (&costly, "m=4194304"),
        ] {
            let error = text.parse::<PasswordHash>().unwrap_err().to_string();
            assert!(error.contains(found), "{text}: {error}");
        }
    }
}
