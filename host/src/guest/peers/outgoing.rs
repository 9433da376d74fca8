//! Messages that guests of peers publish and request: with full topics and QoS 1, through the functions of the contract.

use crate::guest::bindings::miqro::service::messaging::{
    Host, MessagingError, Properties, PublishOptions, Qos, RequestError, RequestOptions, Response,
};
use crate::guest::store::StoreData;

/// Milliseconds that a request waits when the guest does not say it.
pub(super) const DEADLINE: u64 = 30_000;

/// Properties without content.
pub(super) const fn no_properties() -> Properties {
    Properties {
        response_topic: None,
        correlation_data: None,
        content_type: None,
        message_expiry: None,
        utf8: false,
        user_properties: Vec::new(),
    }
}

impl StoreData {
    /// Publishes a message on a full topic. When it answers the message being handled, it carries the correlation data of that.
    pub(super) fn publish_of_peer(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        mut properties: Properties,
    ) -> Result<(), MessagingError> {
        let current = self.call.current.as_ref();
        let handled = current.and_then(|current| current.message.properties.as_deref());
        if let Some(handled) = handled
            && handled
                .response_topic
                .as_ref()
                .is_some_and(|response| response.as_str() == topic)
        {
            properties.correlation_data =
                handled.correlation_data.as_ref().map(|data| data.to_vec());
        }

        let options = PublishOptions {
            qos,
            retain: false,
            global: true,
            only_if_changed: None,
            properties: Some(properties),
        };

        self.publish(topic, payload, Some(options)).map(drop)
    }

    /// Sends a request on a full topic and waits for the answer.
    pub(super) async fn request_of_peer(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        deadline: u64,
        properties: Option<Properties>,
    ) -> Result<Response, RequestError> {
        let options = RequestOptions {
            global: true,
            deadline,
            properties,
        };
        self.request(topic, payload, Some(options)).await
    }
}

/// The text of an error.
pub(super) fn messaging_text(error: MessagingError) -> String {
    match error {
        MessagingError::InvalidTopic(text)
        | MessagingError::Denied(text)
        | MessagingError::InvalidProperty(text)
        | MessagingError::Limit(text) => text,
    }
}

/// The text of an error.
pub(super) fn request_text(error: RequestError) -> String {
    match error {
        RequestError::Refused(error) => messaging_text(error),
        RequestError::Unavailable(text) => text,
        RequestError::TimedOut => "no answer came in time".to_owned(),
    }
}
