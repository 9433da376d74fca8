//! The service's section of `miqro.yml` as typed values, and its identity.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::host;

pub use crate::bindings::config::Identity;

/// The service's section as a type.
///
/// # Errors
///
/// When the section is not what the type wants; says what and where.
pub fn section<T: DeserializeOwned>() -> Result<T> {
    serde_json::from_str(&host::config::get())
        .map_err(|error| Error::new(format!("configuration: {error}")))
}

/// The value of one key of the section; `None` where it is missing or null.
///
/// # Errors
///
/// When the value is not what the type wants.
///
/// ```
/// # use miqro_sdk::{config, test};
/// test::set_config(serde_json::json!({"poll": "20s"}));
/// let poll: Option<miqro_sdk::Span> = config::get("poll").unwrap();
/// assert_eq!(poll.unwrap().0.as_secs(), 20);
/// ```
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    match section::<Map<String, Value>>()?.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value)
            .map(Some)
            .map_err(|error| Error::new(format!("configuration: {key}: {error}"))),
    }
}

/// Returns the identity of the service: its name, its base topic (with a slash at the end), and the topic prefix for
/// announcements to Home Assistant.
pub fn me() -> Identity {
    host::config::me()
}
