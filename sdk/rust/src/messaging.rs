//! Publishing and subscribing. Messages are sent when the call succeeds.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::bindings::messaging::{OnlyIfChanged, PublishOptions, Qos, SubscribeOptions};
use crate::decode::Json;
use crate::encode::Encode;
use crate::error::{Error, MessagingError, Result};
use crate::finite::Finite;
use crate::host;

pub use crate::bindings::messaging::{DeliveryOutcome, Properties};

/// Names one published message in the method that is annotated with `#[delivered]`. Never zero.
pub type Token = u64;

/// Publishes `value` below the service's base topic, with QoS 0 and not retained; [`message`] says more.
///
/// # Errors
///
/// A [`MessagingError`], or when the value cannot be JSON or is a float that is infinite or not a number.
///
/// ```
/// # fn f() -> miqro_sdk::Result {
/// miqro_sdk::publish("temperature", 21.53)?;
/// miqro_sdk::publish("on", true)?; // the payload is 1
/// # Ok(()) }
/// # f().unwrap();
/// ```
pub fn publish(topic: &str, value: impl Encode) -> Result {
    host::messaging::publish(topic, &value.encode()?, None).map_err(MessagingError::from)?;
    Ok(())
}

/// Publishes `value` as JSON, also where [`publish`] would send it plain.
///
/// # Errors
///
/// As [`publish`].
pub fn publish_json<T: Serialize + ?Sized>(topic: &str, value: &T) -> Result {
    publish(topic, Json(value))
}

/// Publishes one message for each key of `value` at `topic/key`, through all maps within maps; lists go as JSON. With an
/// empty `topic` right below the base topic.
///
/// # Errors
///
/// As [`publish`].
pub fn publish_json_keys<T: Serialize + ?Sized>(topic: &str, value: &T) -> Result {
    message(topic).send_keys(value)
}

/// A message to `topic` with more than [`publish`] gives it: quality of service, retained, elsewhere, only if changed.
///
/// ```
/// # fn f() -> miqro_sdk::Result {
/// use miqro_sdk::message;
/// let token = message("state").qos(1).retain().only_if_changed().send("on")?;
/// message("zigbee2mqtt/lamp/set").global().send(serde_json::json!({"state": "ON"}))?;
/// # assert!(token.is_some()); Ok(()) }
/// # miqro_sdk::test::grant("zigbee2mqtt/#");
/// # f().unwrap();
/// ```
pub fn message(topic: &str) -> Publication<'_> {
    let options = PublishOptions {
        qos: Qos::AtMostOnce,
        retain: false,
        global: false,
        only_if_changed: None,
        properties: None,
    };

    Publication {
        topic,
        qos: 0,
        options,
    }
}

/// A message in the making; see [`message`].
#[derive(Debug, Clone)]
#[must_use = "nothing is published before `send`"]
pub struct Publication<'a> {
    topic: &'a str,
    qos: u8,
    options: PublishOptions,
}

impl Publication<'_> {
    /// Quality of service: 0, 1 or 2.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// The broker keeps the message for later subscribers.
    pub fn retain(mut self) -> Self {
        self.options.retain = true;
        self
    }

    /// The topic is a full one, which takes a grant.
    pub fn global(mut self) -> Self {
        self.options.global = true;
        self
    }

    /// The host leaves the message out when its payload is that of the last one for this topic.
    pub fn only_if_changed(mut self) -> Self {
        self.options.only_if_changed = Some(OnlyIfChanged::Always);
        self
    }

    /// As [`only_if_changed`](Self::only_if_changed), when the last one is younger than `span`.
    pub fn only_if_changed_within(mut self, span: Duration) -> Self {
        self.options.only_if_changed = Some(OnlyIfChanged::Within(milliseconds(span)));
        self
    }

    /// Properties that travel with the message (MQTT 5).
    pub fn properties(mut self, properties: Properties) -> Self {
        self.options.properties = Some(properties);
        self
    }

    /// Publishes `value`; the token names the message in `#[delivered]`, where its QoS is 1 or 2.
    ///
    /// # Errors
    ///
    /// As [`publish`].
    pub fn send(&self, value: impl Encode) -> Result<Option<Token>> {
        self.send_to(self.topic, value)
    }

    /// Publishes `value` as JSON, also where [`send`](Self::send) would send it plain.
    ///
    /// # Errors
    ///
    /// As [`publish`].
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<Option<Token>> {
        self.send(Json(value))
    }

    /// Publishes one message for each key, as [`publish_json_keys`] does.
    ///
    /// # Errors
    ///
    /// As [`publish`].
    pub fn send_keys<T: Serialize + ?Sized>(&self, value: &T) -> Result {
        self.fan_out(self.topic, &serde_json::to_value(Finite(value))?)
    }

    fn fan_out(&self, topic: &str, value: &Value) -> Result {
        let Value::Object(members) = value else {
            return self.send_to(topic, value).map(|_| ());
        };
        members.iter().try_for_each(|(key, value)| {
            // a key that is foreign data must not make the topic an impossible one
            let key = key.replace(['+', '#', '\0'], "_");
            let topic = if topic.is_empty() {
                key
            } else {
                format!("{topic}/{key}")
            };
            self.fan_out(&topic, value)
        })
    }

    fn send_to(&self, topic: &str, value: impl Encode) -> Result<Option<Token>> {
        let options = PublishOptions {
            qos: to_qos(self.qos)?,
            ..self.options.clone()
        };
        Ok(
            host::messaging::publish(topic, &value.encode()?, Some(&options))
                .map_err(MessagingError::from)?,
        )
    }
}

/// Subscribes to a filter without a handler of its own: its messages go to the handlers that match, or to the fallback.
///
/// # Errors
///
/// A [`MessagingError`].
pub fn subscribe(filter: &str, global: bool, qos: u8) -> Result {
    let options = SubscribeOptions {
        qos: to_qos(qos)?,
        global,
    };
    Ok(host::messaging::subscribe(filter, Some(options)).map_err(MessagingError::from)?)
}

/// Ends a subscription; unknown filters are ignored.
///
/// # Errors
///
/// A [`MessagingError`].
pub fn unsubscribe(filter: &str, global: bool) -> Result {
    Ok(host::messaging::unsubscribe(filter, global).map_err(MessagingError::from)?)
}

pub(crate) fn to_qos(qos: u8) -> Result<Qos> {
    match qos {
        0 => Ok(Qos::AtMostOnce),
        1 => Ok(Qos::AtLeastOnce),
        2 => Ok(Qos::ExactlyOnce),
        other => Err(Error::new(format!(
            "there is no quality of service {other}"
        ))),
    }
}

pub(crate) fn qos_number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
