//! The last payload of each topic whose publisher wants unchanged messages to be left out, bounded in bytes.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use crate::message::{Message, OnlyIfChanged, Qos, Terms};
use crate::topic::Topic;

/// The last payloads, by topic.
#[derive(Debug, Default)]
pub(super) struct LastPublished {
    last: HashMap<Topic, Last>,
    bytes: usize,
}

#[derive(Debug)]
struct Last {
    payload: Bytes,
    qos: Qos,
    /// `None`: the message carried no time.
    at: Option<Instant>,
}

impl LastPublished {
    /// Whether `message` repeats the last one, and these terms say to leave it out then.
    pub(super) fn is_repeat(&self, message: &Message, terms: Option<&Terms>) -> bool {
        let Some(terms) = terms else { return false };
        let Some(rule) = terms.only_if_changed else {
            return false;
        };
        let Some(last) = self
            .last
            .get(&message.topic)
            .filter(|last| last.payload == message.payload)
        else {
            return false;
        };

        match rule {
            OnlyIfChanged::Always => true,
            OnlyIfChanged::Within(span) => last
                .at
                .is_some_and(|at| terms.at.saturating_duration_since(at) < span),
        }
    }

    /// Records that `message` is sent. A topic is remembered from the first message on that asks for it. When all together would
    /// exceed `max_bytes`, everything is forgotten: the worst that follows is a message that was not needed.
    pub(super) fn record(&mut self, message: &Message, terms: Option<&Terms>, max_bytes: usize) {
        let is_asked_for = terms.is_some_and(|terms| terms.only_if_changed.is_some());
        if !is_asked_for && (self.last.is_empty() || !self.last.contains_key(&message.topic)) {
            return;
        }
        self.forget(&message.topic);
        let size = size(&message.topic, &message.payload);
        if self.bytes + size > max_bytes {
            self.clear();
        }
        self.bytes += size;
        let last = Last {
            payload: message.payload.clone(),
            qos: message.qos,
            at: terms.map(|terms| terms.at),
        };
        self.last.insert(message.topic.clone(), last);
    }

    /// Forgets the last message of `topic`, which the broker refused.
    pub(super) fn forget(&mut self, topic: &Topic) {
        if let Some(last) = self.last.remove(topic) {
            self.bytes -= size(topic, &last.payload);
        }
    }

    /// Handles the loss of the connection: QoS 0 messages that were on their way may be lost too.
    pub(super) fn on_disconnected(&mut self) {
        let bytes = &mut self.bytes;
        self.last.retain(|topic, last| {
            let stays = last.qos != Qos::AtMostOnce;
            if !stays {
                *bytes -= size(topic, &last.payload);
            }
            stays
        });
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.bytes = 0;
    }
}

fn size(topic: &Topic, payload: &Bytes) -> usize {
    size_of::<(Topic, Last)>() + topic.as_str().len() + payload.len()
}
