//! Tracks which services have a presence connection of their own, and decides when to log those without one.

use std::collections::{BTreeMap, BTreeSet};

/// Number of failures in a row after which missing connections are logged: a single one may be mended at once.
const REPORT_AFTER: u32 = 2;

/// The presence connections of a host.
#[derive(Debug, Default)]
pub(super) struct PresenceStatus {
    /// Whether the service has its connection.
    services: BTreeMap<String, bool>,
    /// Services without a connection, as logged last.
    reported: BTreeSet<String>,
}

impl PresenceStatus {
    /// Adds a service.
    pub(super) fn add(&mut self, service: &str) {
        self.services.insert(service.to_owned(), false);
    }

    /// Removes a service.
    pub(super) fn remove(&mut self, service: &str) {
        self.services.remove(service);
        self.reported.remove(service);
    }

    /// Handles that a service has its connection. True: it was logged that some have none, and now all have one.
    pub(super) fn on_connected(&mut self, service: &str) -> bool {
        self.set(service, true);
        let all = !self.reported.is_empty() && self.services.values().all(|up| *up);
        if all {
            self.reported.clear();
        }
        all
    }

    /// Handles that a service has lost its connection.
    pub(super) fn on_lost(&mut self, service: &str) {
        self.set(service, false);
    }

    fn set(&mut self, service: &str, up: bool) {
        if let Some(place) = self.services.get_mut(service) {
            *place = up;
        }
    }

    /// Whether the service has no connection, and that was reported.
    pub(super) fn is_reported_missing(&self, service: &str) -> bool {
        self.services.get(service) == Some(&false) && self.reported.contains(service)
    }

    /// Handles the last of `failures` failures in a row. Returns the services without a connection, if that has changed since the last
    /// report.
    pub(super) fn on_failed(&mut self, failures: u32) -> Option<Vec<String>> {
        let without = self
            .services
            .iter()
            .filter(|(_, up)| !**up)
            .map(|(service, _)| service.clone());
        let without: BTreeSet<String> = without.collect();
        if failures < REPORT_AFTER || without == self.reported {
            return None;
        }
        self.reported.clone_from(&without);
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
            .for_each(|service| presence.add(service));
        presence
    }

    #[test]
    fn services_without_presence_are_logged_on_change() {
        let mut presence = presence();
        assert!(!presence.on_connected("a"));
        assert_eq!(presence.on_failed(1), None, "the next attempt may work");
        assert!(!presence.is_reported_missing("b"), "not yet");
        assert_eq!(
            presence.on_failed(2),
            Some(vec!["b".to_owned(), "c".to_owned()])
        );
        assert!(presence.is_reported_missing("b") && !presence.is_reported_missing("a"));
        assert_eq!(presence.on_failed(3), None);
        assert!(!presence.on_connected("c"));
        assert!(!presence.is_reported_missing("c"));
        assert_eq!(presence.on_failed(4), Some(vec!["b".to_owned()]));
        presence.on_lost("a");
        assert_eq!(
            presence.on_failed(2),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(!presence.on_connected("a"));
        assert!(presence.on_connected("b"), "all have one again");
        assert!(!presence.on_connected("b"), "reported once");
    }

    #[test]
    fn a_removed_service_needs_no_connection() {
        let mut presence = presence();
        presence.on_connected("a");
        presence.on_connected("b");
        presence.remove("c");
        assert_eq!(presence.on_failed(5), None);
    }
}
