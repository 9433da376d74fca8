//! Machine: `miqro:service/state`. In: keys and values of a guest. Out: state changes in the effects of the running call, checked
//! against the service's limits, and values as this call has left them. Owns nothing.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::effects::StateChange;
use crate::guest::bindings::miqro::service::state::{Host, StateError};
use crate::guest::store::Data;

/// Bytes that a key may have.
const KEY_BYTES: usize = 512;

impl Host for Data {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, StateError> {
        check(&key)?;
        if let Some(change) = self.changed(&key) {
            return Ok(change.value.as_ref().map(|value| value.to_vec()));
        }
        Ok(self.setting.belongings.values().get(&key).map(|value| value.to_vec()))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        check(&key)?;
        let (used, limit) = (self.bytes_without(&key) + key.len() + value.len(), self.setting.limits.state);
        if used > limit {
            let text = format!("the state would have {used} bytes, more than the {limit} of limits.state");
            return Err(StateError::Limit(text));
        }
        self.effects.state.push(StateChange { key, value: Some(Bytes::from(value)) });
        Ok(())
    }

    fn delete(&mut self, key: String) -> Result<(), StateError> {
        check(&key)?;
        if Host::get(self, key.clone())?.is_some() {
            self.effects.state.push(StateChange { key, value: None });
        }
        Ok(())
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>, StateError> {
        let values = self.setting.belongings.values();
        let mut keys: BTreeSet<&String> = values.keys(&prefix).collect();
        for change in self.effects.state.iter().filter(|change| change.key.starts_with(&prefix)) {
            if change.value.is_some() {
                keys.insert(&change.key);
            } else {
                keys.remove(&change.key);
            }
        }
        Ok(keys.into_iter().cloned().collect())
    }
}

impl Data {
    /// The last change of `key` in this call.
    fn changed(&self, key: &str) -> Option<&StateChange> {
        self.effects.state.iter().rev().find(|change| change.key == key)
    }

    /// What the state takes, as this call has left it, but for `key`.
    fn bytes_without(&self, key: &str) -> usize {
        let values = self.setting.belongings.values();
        let size = |key: &str, value: Option<&Bytes>| value.map_or(0, |value| key.len() + value.len());
        let mut touched: BTreeSet<&str> = self.effects.state.iter().map(|change| change.key.as_str()).collect();
        touched.insert(key);
        let (mut bytes, mut added) = (values.bytes(), 0);
        for touched in touched {
            bytes -= size(touched, values.get(touched));
            if touched != key {
                added += size(touched, self.changed(touched).and_then(|change| change.value.as_ref()));
            }
        }
        bytes + added
    }
}

fn check(key: &str) -> Result<(), StateError> {
    match key.len() {
        0 => Err(StateError::InvalidKey("a key must not be empty".to_owned())),
        n if n > KEY_BYTES => Err(StateError::InvalidKey(format!("a key of {n} bytes is longer than {KEY_BYTES}"))),
        _ => Ok(()),
    }
}
