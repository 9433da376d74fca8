//! The client that sent a request, as far as MQTT tells, and the message that answers it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::topics::Topics;
use crate::control::{Answer, Caller, Reply};
use crate::message::{Message, Qos};
use crate::topic::Topic;

/// The client that sent a request.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// The topic that it asked to be answered on.
    response_topic: Option<Topic>,
    correlation_data: Option<Bytes>,
    /// Value by which it recognises the answer.
    transaction: Option<Value>,
    /// The command that it named.
    command: Option<String>,
}

/// A response topic that answers may not go to.
#[derive(Debug, thiserror::Error)]
#[error("answers may not go to its response topic {0:?}")]
pub(super) struct BadResponseTopic(String);

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    reply: &'a Reply<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<&'a Value>,
}

impl Asker {
    /// The sender of a message.
    ///
    /// # Errors
    /// When answers may not go to its response topic.
    pub(super) fn of(message: &Message, topics: &Topics) -> Result<Self, BadResponseTopic> {
        let properties = message.properties.as_deref();
        let response_topic = properties.and_then(|properties| properties.response_topic.as_ref());
        if let Some(topic) = response_topic.filter(|topic| !topics.allows_answers_on(topic)) {
            return Err(BadResponseTopic(shorten(topic.as_str())));
        }

        // copies, since the message shares the buffer into which it was read
        let correlation = properties.and_then(|properties| properties.correlation_data.as_deref());
        Ok(Self {
            response_topic: response_topic.map(Topic::to_detached),
            correlation_data: correlation.map(Bytes::copy_from_slice),
            transaction: None,
            command: None,
        })
    }

    /// The same client with the names in its request.
    pub(super) fn with_names(self, transaction: Option<Value>, command: Option<String>) -> Self {
        Self {
            transaction,
            command,
            ..self
        }
    }

    /// Whether the client can tell its answer from those of others.
    pub(super) const fn is_waiting(&self) -> bool {
        self.response_topic.is_some() || self.transaction.is_some()
    }

    /// The client for the audit log.
    pub(super) fn caller(&self) -> Caller {
        Caller::Mqtt {
            response_topic: self
                .response_topic
                .as_ref()
                .map(|topic| shorten(topic.as_str())),
            transaction: self.transaction.as_ref().map(ToString::to_string),
        }
    }

    /// The message that answers the request; `None` when there is no topic for it.
    pub(super) fn answer(&self, reply: &Reply<Answer>, topics: &Topics) -> Option<Message> {
        let topic = match &self.response_topic {
            Some(topic) => topic.clone(),
            None => topics.response(self.command.as_deref()?)?,
        };

        let transaction = self.transaction.as_ref();
        let payload = serde_json::to_vec(&Document { reply, transaction }).ok()?;
        let mut message = Message::new(topic, payload, Qos::AtLeastOnce, false);
        let properties = message.properties.get_or_insert_default();
        properties
            .correlation_data
            .clone_from(&self.correlation_data);
        properties.content_type = Some("application/json".to_owned());
        properties.utf8 = true;
        Some(message)
    }
}

/// The beginning of a text that a stranger chose.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::message::Properties;

    fn asker(response_topic: Option<&str>) -> Result<Asker, BadResponseTopic> {
        let topic = |text: &str| Topic::from_received(text.to_owned()).unwrap();
        let mut message = Message::new(topic("miqro/host/request"), "", Qos::AtMostOnce, false);
        message.properties = Some(Box::new(Properties {
            response_topic: response_topic.map(topic),
            correlation_data: Some(Bytes::from_static(b"7")),
            ..Properties::default()
        }));
        Asker::of(&message, &Topics::new("host").unwrap())
    }

    #[test]
    fn answers_go_to_the_response_topic_or_to_that_of_the_command() {
        let topics = Topics::new("host").unwrap();
        let reply = Reply::Ok(Answer::from(json!("done")));
        let answer = asker(Some("a/b")).unwrap().answer(&reply, &topics).unwrap();
        assert_eq!(answer.topic.as_str(), "a/b");
        assert_eq!(answer.payload, r#"{"ok":"done"}"#);
        let properties = answer.properties.unwrap();
        assert_eq!(properties.correlation_data.unwrap(), "7");

        let nobody = asker(None).unwrap();
        assert!(!nobody.is_waiting() && nobody.answer(&reply, &topics).is_none());
        let by_transaction = nobody.with_names(Some(json!(1)), Some("restart".to_owned()));
        let answer = by_transaction.answer(&Reply::Error("no".to_owned()), &topics);
        let answer = answer.unwrap();
        assert_eq!(answer.topic.as_str(), "miqro/host/response/restart");
        assert_eq!(answer.payload, r#"{"error":"no","transaction":1}"#);
        assert!(!answer.retain);
    }

    #[test]
    fn topics_of_the_host_and_the_broker_get_no_answers() {
        for topic in ["$SYS/x", "miqro/host/health", "a\nb"] {
            assert!(asker(Some(topic)).is_err(), "{topic}");
        }
        let long = format!("$SYS/{}", "x".repeat(1000));
        assert!(asker(Some(&long)).unwrap_err().to_string().len() < 200);
    }
}
