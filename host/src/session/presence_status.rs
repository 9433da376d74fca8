//! Pure: which services have a presence connection of their own. In: connections made and lost, by the service's name. Out: the names
//! of those that have none, when that is to be said. Owns the names.

use std::collections::{BTreeMap, BTreeSet};

/// After so many failures one after the other it is said who has no connection: a single one may be about to be mended.
const ENOUGH: u32 = 2;

/// The presence connections of a host.
#[derive(Debug, Default)]
pub struct PresenceStatus {
    /// Whether the service has its connection.
    services: BTreeMap<String, bool>,
    /// Who has none, as it was said last.
    said: BTreeSet<String>,
}

impl PresenceStatus {
    /// A service shall have a connection.
    pub fn join(&mut self, service: &str) {
        self.services.insert(service.to_owned(), false);
    }

    /// A service is gone.
    pub fn leave(&mut self, service: &str) {
        self.services.remove(service);
        self.said.remove(service);
    }

    /// A service has its connection now. True: it was said that some have none, and now all have one.
    pub fn up(&mut self, service: &str) -> bool {
        self.set(service, true);
        let all = !self.said.is_empty() && self.services.values().all(|up| *up);
        if all {
            self.said.clear();
        }
        all
    }

    /// A service has lost its connection.
    pub fn down(&mut self, service: &str) {
        self.set(service, false);
    }

    fn set(&mut self, service: &str, up: bool) {
        if let Some(place) = self.services.get_mut(service) {
            *place = up;
        }
    }

    /// Whether it was said of a service that it has no connection, and it has none.
    pub fn is_without(&self, service: &str) -> bool {
        self.services.get(service) == Some(&false) && self.said.contains(service)
    }

    /// A connection failed, as the last of `failures` one after the other: who has none, if that is not what was said last.
    pub fn failed(&mut self, failures: u32) -> Option<Vec<String>> {
        let without = self
            .services
            .iter()
            .filter(|(_, up)| !**up)
            .map(|(service, _)| service.clone());
        let without: BTreeSet<String> = without.collect();
        if failures < ENOUGH || without == self.said {
            return None;
        }
        self.said.clone_from(&without);
        Some(without.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> PresenceStatus {
        let mut presence = PresenceStatus::default();
        ["a", "b", "c"]
            .iter()
            .for_each(|service| presence.join(service));
        presence
    }

    #[test]
    fn services_without_presence_are_logged_on_change() {
        let mut presence = presence();
        assert!(!presence.up("a"));
        assert_eq!(presence.failed(1), None, "the next attempt may work");
        assert!(!presence.is_without("b"), "not yet");
        assert_eq!(
            presence.failed(2),
            Some(vec!["b".to_owned(), "c".to_owned()])
        );
        assert!(presence.is_without("b") && !presence.is_without("a"));
        assert_eq!(presence.failed(3), None);
        assert!(!presence.up("c"));
        assert!(!presence.is_without("c"));
        assert_eq!(presence.failed(4), Some(vec!["b".to_owned()]));
        presence.down("a");
        assert_eq!(
            presence.failed(2),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(!presence.up("a"));
        assert!(presence.up("b"), "all have one again");
        assert!(!presence.up("b"), "said once");
    }

    #[test]
    fn a_service_that_is_gone_needs_none() {
        let mut presence = presence();
        presence.up("a");
        presence.up("b");
        presence.leave("c");
        assert_eq!(presence.failed(5), None);
    }
}
