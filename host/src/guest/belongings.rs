//! Machine: what a service has beyond one instance of its component: its state, its timers, the count of what it exceeded. In:
//! committed changes, the time. Out: values for host functions, timers that are due. Owns them; shared by the instances that follow
//! one another.
//!
//! The locks are held for a few instructions, and the calls of a service follow one another, so they are hardly ever contended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::effects::StateChange;
use crate::guest::meter::Meter;
use crate::timers::set::TimerSet;

/// What a service has.
#[derive(Debug, Default)]
pub struct Belongings {
    values: Mutex<Values>,
    timers: Mutex<TimerSet>,
    meter: Meter,
}

/// The committed state of a service.
#[derive(Debug, Default)]
pub(super) struct Values {
    map: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl Belongings {
    /// A service with this state.
    pub fn with_state(state: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let belongings = Self::default();
        let changes = state.into_iter().map(|(key, value)| StateChange {
            key,
            value: Some(value),
        });
        belongings.apply(changes);
        belongings
    }

    /// Takes over committed changes of the state.
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

    /// What has to change for the state to become `wanted`.
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

    /// Belongings of another owner that begin as these are, but with `state`.
    pub fn copy_with(&self, state: &[(String, Bytes)]) -> Self {
        let copy = Self::with_state(state.iter().cloned());
        *copy.timers() = self.timers().clone();
        copy
    }

    /// The timers.
    pub fn timers(&self) -> MutexGuard<'_, TimerSet> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its guest has exceeded.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How long until the timer is due; `None` when there is none.
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

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// What all keys and values take together.
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
