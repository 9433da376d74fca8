//! The state that a service has beyond one instance of its component: values, timers, the count of exceeded limits, and commands
//! that wait for a call.
//! Instances that follow one another share it.
//!
//! The locks are held for a few instructions. The calls of a service follow one another, so they are hardly ever contended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::effects::StateChange;
use crate::guest::interruption::Interruption;
use crate::guest::meter::Meter;
use crate::timers::set::TimerSet;

/// The state of a service.
#[derive(Debug, Default)]
pub struct ServiceState {
    values: Mutex<Values>,
    timers: Mutex<TimerSet>,
    meter: Meter,
    interruption: Interruption,
}

/// The committed state of a service.
#[derive(Debug, Default)]
pub(super) struct Values {
    map: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl ServiceState {
    /// Creates the state of a service with these values.
    pub fn with_state(state: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let service_state = Self::default();
        let changes = state.into_iter().map(|(key, value)| StateChange {
            key,
            value: Some(value),
        });
        service_state.apply(changes);
        service_state
    }

    /// Applies committed changes.
    pub fn apply(&self, changes: impl IntoIterator<Item = StateChange>) {
        let mut values = self.values();
        for change in changes {
            values.apply(change);
        }
    }

    /// The committed state. The values are shared, not copied.
    pub fn state(&self) -> Vec<(String, Bytes)> {
        self.values()
            .map
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The changes that make the values `wanted`.
    pub fn changes_to(&self, wanted: &[(String, Bytes)]) -> Vec<StateChange> {
        let values = self.values();
        let wanted: BTreeMap<&str, &Bytes> = wanted
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        let gone = values
            .map
            .keys()
            .filter(|key| !wanted.contains_key(key.as_str()));
        let gone = gone.map(|key| StateChange {
            key: key.clone(),
            value: None,
        });
        let other = wanted
            .iter()
            .filter(|(key, value)| values.map.get(**key) != Some(*value));
        let other = other.map(|(key, value)| StateChange {
            key: (*key).to_owned(),
            value: Some((*value).clone()),
        });
        gone.chain(other).collect()
    }

    /// Copies the state of the service for another owner, with these values.
    pub fn copy_with(&self, state: &[(String, Bytes)]) -> Self {
        let copy = Self::with_state(state.iter().cloned());
        *copy.timers() = self.timers().clone();
        copy
    }

    /// The timers.
    pub fn timers(&self) -> MutexGuard<'_, TimerSet> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The usage of the service.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The number of values, and the bytes of all keys and values.
    pub fn size(&self) -> (usize, usize) {
        let values = self.values();
        (values.len(), values.bytes())
    }

    /// Interrupts a call that waits for an answer while a command waits.
    pub fn interruption(&self) -> &Interruption {
        &self.interruption
    }

    /// The time until the timer is due; `None`: there is no such timer.
    pub(super) fn remaining(&self, timer: &str, now: Instant) -> Option<Duration> {
        self.timers()
            .at(timer)
            .map(|at| at.saturating_duration_since(now))
    }

    pub(super) fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    pub(super) fn get(&self, key: &str) -> Option<&Bytes> {
        self.map.get(key)
    }

    /// The keys that begin with `prefix`, in order.
    pub(super) fn keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a String> {
        let from = (
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        );
        self.map
            .range::<str, _>(from)
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// The bytes of all keys and values.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn apply(&mut self, change: StateChange) {
        let StateChange { key, value } = change;
        let size = key.len();
        let before = match value {
            Some(value) => {
                self.bytes += size + value.len();
                self.map.insert(key, value)
            }
            None => self.map.remove(&key),
        };

        if let Some(before) = before {
            self.bytes -= size + before.len();
        }
    }
}
