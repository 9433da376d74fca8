//! A message as a test sends and receives it, the same for both protocol versions.

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The full topic.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Outgoing: to be kept by the broker. Incoming: was kept by it.
    pub retain: bool,
    /// Its MQTT 5 properties.
    pub properties: Properties,
}

/// The properties that travel from publisher to subscriber (MQTT 5, section 3.3.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Full topic for a response.
    pub response_topic: Option<String>,
    /// Opaque bytes.
    pub correlation_data: Option<Bytes>,
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    /// Payload format indicator.
    pub utf8: bool,
    /// Pairs of name and value.
    pub user_properties: Vec<(String, String)>,
}

impl Message {
    /// A message of QoS 1 without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: 1,
            ..Self::default()
        }
    }

    /// The same message with another quality of service.
    pub fn qos(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    /// The same message, to be kept by the broker.
    pub fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }

    /// The same message with properties.
    pub fn with(self, properties: Properties) -> Self {
        Self { properties, ..self }
    }

    /// The payload as text; invalid bytes are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The payload as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| anyhow::anyhow!("{}: {error}: {}", self.topic, self.text()))
    }
}

impl From<v5::PublishProperties> for Properties {
    fn from(from: v5::PublishProperties) -> Self {
        Self {
            response_topic: from.response_topic,
            correlation_data: from.correlation_data,
            content_type: from.content_type,
            message_expiry: from.message_expiry_interval,
            utf8: from.payload_format_indicator == Some(1),
            user_properties: from.user_properties,
        }
    }
}

impl From<Properties> for v5::PublishProperties {
    fn from(from: Properties) -> Self {
        Self {
            response_topic: from.response_topic,
            correlation_data: from.correlation_data,
            content_type: from.content_type,
            message_expiry_interval: from.message_expiry,
            payload_format_indicator: from.utf8.then_some(1),
            user_properties: from.user_properties,
            ..Self::default()
        }
    }
}
