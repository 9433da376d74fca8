//! Properties of messages, between the contract and MQTT.

use bytes::Bytes;

use crate::guest::bindings::miqro::service::messaging::{
    MessagingError, Properties as WitProperties,
};
use crate::message::Properties;
use crate::text;
use crate::topic::Topic;

/// Bytes that a string or binary property may have (MQTT 5, sections 1.5.4 and 1.5.6).
const PROPERTY_BYTES: usize = 65_535;

impl From<&Properties> for WitProperties {
    fn from(properties: &Properties) -> Self {
        Self {
            response_topic: properties
                .response_topic
                .as_ref()
                .map(|topic| topic.as_str().to_owned()),
            correlation_data: properties
                .correlation_data
                .as_ref()
                .map(|data| data.to_vec()),
            content_type: properties.content_type.clone(),
            message_expiry: properties.message_expiry,
            utf8: properties.utf8,
            user_properties: properties.user_properties.clone(),
        }
    }
}

/// Converts the guest's properties; `None` when there are none.
///
/// # Errors
/// When MQTT cannot carry them.
pub(super) fn validate(
    properties: WitProperties,
) -> Result<Option<Box<Properties>>, MessagingError> {
    let texts = properties
        .user_properties
        .iter()
        .flat_map(|(name, value)| [name, value]);
    for text in texts.chain(&properties.content_type) {
        check_text(text)?;
    }
    if let Some(data) = properties
        .correlation_data
        .as_ref()
        .filter(|data| data.len() > PROPERTY_BYTES)
    {
        return Err(too_long("correlation data", data.len()));
    }

    let properties = Properties {
        response_topic: properties.response_topic.map(Topic::new).transpose()?,
        correlation_data: properties.correlation_data.map(Bytes::from),
        content_type: properties.content_type,
        message_expiry: properties.message_expiry,
        expires_at: None,
        arrived_at: None,
        utf8: properties.utf8,
        user_properties: properties.user_properties,
    };

    Ok((properties != Properties::default()).then(|| Box::new(properties)))
}

fn check_text(text: &str) -> Result<(), MessagingError> {
    if text.len() > PROPERTY_BYTES {
        return Err(too_long("a text property", text.len()));
    }
    if let Some(character) = text::find_forbidden(text) {
        let name = text::name(character);
        return Err(MessagingError::InvalidProperty(format!(
            "{text:?} contains {name}, which MQTT forbids"
        )));
    }

    Ok(())
}

fn too_long(what: &str, bytes: usize) -> MessagingError {
    MessagingError::InvalidProperty(format!(
        "{what} of {bytes} bytes is longer than the {PROPERTY_BYTES} that MQTT allows"
    ))
}
