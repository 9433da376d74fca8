//! `wasmcloud:messaging`: a subject is a full topic, and `reply-to` is the response topic.

use crate::guest::bindings::miqro::service::messaging::Qos;
use crate::guest::store::StoreData;

use super::bindings::wasmcloud::messaging::{consumer, types};
use super::outgoing::{messaging_text, no_properties, request_text};

impl types::Host for StoreData {}

impl consumer::Host for StoreData {
    async fn request(
        &mut self,
        subject: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<types::BrokerMessage, String>> {
        let answer = self
            .request_of_peer(subject.clone(), body, timeout_ms.into(), None)
            .await;
        let answer = answer.map(|answer| types::BrokerMessage {
            subject,
            body: answer.payload,
            reply_to: answer
                .properties
                .and_then(|properties| properties.response_topic),
        });

        Ok(answer.map_err(request_text))
    }

    fn publish(&mut self, message: types::BrokerMessage) -> wasmtime::Result<Result<(), String>> {
        let mut properties = no_properties();
        properties.response_topic = message.reply_to;
        let published =
            self.publish_of_peer(message.subject, message.body, Qos::AtLeastOnce, properties);
        Ok(published.map_err(messaging_text))
    }
}
