//! Values by key that outlive the service. The host keeps them when the call succeeds.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result, StateError};
use crate::finite::Finite;
use crate::host;

/// The value of a key, which was [`set`] before; `None` when there is none.
///
/// # Errors
///
/// A [`StateError`], or when the value is of another type.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    let Some(bytes) = get_bytes(key)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::new(format!("state of {key}: {error}")))
}

/// Sets a key to a value, as JSON.
///
/// # Errors
///
/// A [`StateError`], or when the value cannot be JSON, as with a float that is infinite or not a number.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result {
    set_bytes(key, &serde_json::to_vec(&Finite(value))?)
}

/// The bytes of a key; `None` when there is none.
///
/// # Errors
///
/// A [`StateError`].
pub fn get_bytes(key: &str) -> Result<Option<Vec<u8>>> {
    Ok(host::state::get(key).map_err(StateError::from)?)
}

/// Sets a key to bytes.
///
/// # Errors
///
/// A [`StateError`].
pub fn set_bytes(key: &str, value: &[u8]) -> Result {
    Ok(host::state::set(key, value).map_err(StateError::from)?)
}

/// Removes a key; unknown keys are ignored.
///
/// # Errors
///
/// A [`StateError`].
pub fn delete(key: &str) -> Result {
    Ok(host::state::delete(key).map_err(StateError::from)?)
}

/// The keys that begin with `prefix`, in the order of their bytes.
///
/// # Errors
///
/// A [`StateError`].
pub fn keys(prefix: &str) -> Result<Vec<String>> {
    Ok(host::state::keys(prefix).map_err(StateError::from)?)
}

/// A value within values: the first word of `path` is the key, the others lead through the maps in its value.
///
/// # Errors
///
/// As [`get`].
///
/// ```
/// # use miqro_sdk::state;
/// state::set_path(&["inputs", "door", "seen"], &true).unwrap();
/// state::set_path(&["inputs", "window", "seen"], &false).unwrap();
/// assert_eq!(state::get_path(&["inputs", "door", "seen"]).unwrap(), Some(true));
/// assert_eq!(state::get_path::<bool>(&["inputs", "roof", "seen"]).unwrap(), None);
/// ```
pub fn get_path<T: DeserializeOwned>(path: &[&str]) -> Result<Option<T>> {
    let (key, rest) = split(path)?;
    let Some(mut value) = get::<Value>(key)? else {
        return Ok(None);
    };
    for word in rest {
        match value.get_mut(word).map(Value::take) {
            Some(inner) => value = inner,
            None => return Ok(None),
        }
    }

    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| Error::new(format!("state of {}: {error}", path.join("/"))))
}

/// Sets a value within values. Missing maps on the way are created, and other values on the way are replaced by maps.
///
/// # Errors
///
/// As [`set`].
pub fn set_path<T: Serialize + ?Sized>(path: &[&str], value: &T) -> Result {
    let (key, rest) = split(path)?;
    let mut whole = get::<Value>(key)?.unwrap_or_default();
    let mut place = &mut whole;
    for word in rest {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[*word];
    }

    *place = serde_json::to_value(Finite(value))?;
    set(key, &whole)
}

fn split<'p>(path: &'p [&'p str]) -> Result<(&'p str, &'p [&'p str])> {
    path.split_first()
        .map(|(key, rest)| (*key, rest))
        .ok_or_else(|| StateError::InvalidKey("an empty path".into()).into())
}
