//! Requests and their answers (MQTT 5, section 4.10).

use std::time::Duration;

use crate::bindings::messaging::{Properties, RequestOptions};
use crate::decode::{Decode, Json};
use crate::encode::Encode;
use crate::error::{DecodeError, RequestError, Result};
use crate::host;
use crate::messaging::milliseconds;

/// Default time to wait for an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A request to `topic`. It is sent at once and stays sent when the call fails later; while it waits, the service handles
/// nothing else.
///
/// ```no_run
/// # fn f() -> miqro_sdk::Result {
/// use std::time::Duration;
/// let answer = miqro_sdk::request("heater/get").global().timeout(Duration::from_secs(2)).send("state")?;
/// let state: serde_json::Value = answer.json()?;
/// # Ok(()) }
/// ```
pub fn request(topic: &str) -> Request<'_> {
    Request {
        topic,
        options: RequestOptions {
            global: false,
            deadline: milliseconds(TIMEOUT),
            properties: None,
        },
    }
}

/// A request in the making; see [`request`].
#[derive(Debug, Clone)]
#[must_use = "nothing is requested before `send`"]
pub struct Request<'a> {
    topic: &'a str,
    options: RequestOptions,
}

impl Request<'_> {
    /// The topic is a full one, which takes a grant.
    pub fn global(mut self) -> Self {
        self.options.global = true;
        self
    }

    /// How long to wait for the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.deadline = milliseconds(timeout);
        self
    }

    /// Properties that travel with the request; response topic and correlation data are the host's own.
    pub fn properties(mut self, properties: Properties) -> Self {
        self.options.properties = Some(properties);
        self
    }

    /// Sends `value` and waits for the answer.
    ///
    /// # Errors
    ///
    /// A [`RequestError`], or when the value cannot be JSON.
    pub fn send(&self, value: impl Encode) -> Result<Response> {
        let answer = host::messaging::request(self.topic, &value.encode()?, Some(&self.options))
            .map_err(RequestError::from)?;
        Ok(Response {
            payload: answer.payload,
            properties: answer.properties,
        })
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// The bytes of the answer.
    pub payload: Vec<u8>,
    /// The properties, where it carried any.
    pub properties: Option<Properties>,
}

impl Response {
    /// The payload as anything that a handler can take.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> Result<T, DecodeError> {
        T::decode(&self.payload)
    }

    /// The payload as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, DecodeError> {
        self.decode()
    }

    /// The payload as JSON.
    ///
    /// # Errors
    ///
    /// When it is not the JSON that the type wants.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode().map(|Json(value)| value)
    }
}
