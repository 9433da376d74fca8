//! `miqro:service/state`: the service's values as the running call has left them, within the service's limits.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::fault_kind::FaultKind;
use crate::guest::bindings::miqro::service::state::{Host, StateError};
use crate::guest::store::StoreData;

/// Bytes that a key may have.
const KEY_BYTES: usize = 512;

impl Host for StoreData {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, StateError> {
        check(&key)?;
        let values = self.ctx.state.values();
        Ok(self
            .call
            .overlay
            .get(&values, &key)
            .map(|value| value.to_vec()))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        check(&key)?;
        let limits = &self.ctx.config.limits;
        let values = self.ctx.state.values();
        let size = self.call.overlay.size_with(&values, &key, value.len());
        let count = self.call.overlay.count_with(&values, &key);
        if size > limits.total.state {
            let text = format!(
                "the state would have {size} bytes, more than the {} of limits.state",
                limits.total.state
            );
            return Err(StateError::Limit(self.beyond(FaultKind::State, text)));
        }

        if count > limits.total.state_keys {
            let text = format!(
                "the state would have {count} values, more than limits.state_keys, {}",
                limits.total.state_keys
            );
            return Err(StateError::Limit(self.beyond(FaultKind::StateKeys, text)));
        }

        self.call
            .overlay
            .put(&values, key, Some(Bytes::from(value)));
        Ok(())
    }

    fn delete(&mut self, key: String) -> Result<(), StateError> {
        check(&key)?;
        self.call.overlay.put(&self.ctx.state.values(), key, None);
        Ok(())
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>, StateError> {
        let values = self.ctx.state.values();
        let mut keys: BTreeSet<&String> = values.keys(&prefix).collect();
        for (key, there) in self.call.overlay.keys(&prefix) {
            if there {
                keys.insert(key);
            } else {
                keys.remove(key);
            }
        }

        Ok(keys.into_iter().cloned().collect())
    }
}

fn check(key: &str) -> Result<(), StateError> {
    match key.len() {
        0 => Err(StateError::InvalidKey("a key must not be empty".to_owned())),
        n if n > KEY_BYTES => Err(StateError::InvalidKey(format!(
            "a key of {n} bytes is longer than {KEY_BYTES}"
        ))),
        _ => Ok(()),
    }
}
