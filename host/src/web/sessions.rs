//! Sessions of browsers, and how long each holds. Pure: the time and the identifier are arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::config::Role;

/// How long a session holds, and how long without a request.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
const IDLE: Duration = Duration::from_secs(3600);

/// Sessions at most; the one that was unused for longest ends.
const SESSIONS: usize = 256;

/// The sessions of one server. Only digests of their identifiers are kept.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

#[derive(Debug)]
struct Session {
    name: String,
    role: Role,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) > LONGEST
            || now.saturating_duration_since(self.used) > IDLE
    }
}

impl Sessions {
    /// Begins a session of the holder of a token.
    pub(super) fn begin(&mut self, id: &str, name: String, role: Role, now: Instant) {
        self.0.retain(|_, session| !session.is_over(now));
        if self.0.len() >= SESSIONS {
            let oldest = self.0.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.0.remove(&oldest);
            }
        }

        let session = Session {
            name,
            role,
            begun: now,
            used: now,
        };

        self.0.insert(Sha256::digest(id).into(), session);
    }

    /// The name and the role of a session that holds.
    pub(super) fn find(&mut self, id: &str, now: Instant) -> Option<(String, Role)> {
        let digest: [u8; 32] = Sha256::digest(id).into();
        let session = self.0.get_mut(&digest)?;
        if session.is_over(now) {
            self.0.remove(&digest);
            return None;
        }

        session.used = now;
        Some((session.name.clone(), session.role))
    }

    /// Ends a session.
    pub(super) fn end(&mut self, id: &str) {
        let digest: [u8; 32] = Sha256::digest(id).into();
        self.0.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sessions_end_by_age_by_idleness_and_by_command() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        let anna = Some(("anna".to_owned(), Role::Operate));
        sessions.begin("a", "anna".to_owned(), Role::Operate, start);
        assert_eq!(sessions.find("b", start), None);
        let mut now = start;
        while now + IDLE <= start + LONGEST {
            now += IDLE;
            assert_eq!(sessions.find("a", now), anna);
        }
        assert_eq!(sessions.find("a", start + LONGEST + SECOND), None);

        sessions.begin("a", "anna".to_owned(), Role::Operate, start);
        assert_eq!(sessions.find("a", start + IDLE + SECOND), None);
        sessions.begin("a", "anna".to_owned(), Role::Operate, start);
        sessions.end("a");
        assert_eq!(sessions.find("a", start), None);
    }

    #[test]
    fn number_of_sessions_is_bounded() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        for number in 0..=SESSIONS as u64 {
            let now = start + Duration::from_millis(number);
            sessions.begin(&number.to_string(), String::new(), Role::Read, now);
        }
        assert_eq!(sessions.0.len(), SESSIONS);
        assert_eq!(sessions.find("0", start), None);
        assert!(sessions.find("1", start).is_some());
    }
}
