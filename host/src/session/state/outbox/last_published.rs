//! Pure: what the broker was last given for each topic where somebody wants to know. In: messages that are handed over. Out:
//! whether a message repeats the last one. Owns the last payloads, bounded in bytes.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use crate::message::{Message, OnlyIfChanged, Qos, Terms};
use crate::topic::Topic;

/// The last payloads, by topic.
#[derive(Debug, Default)]
pub struct LastPublished {
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
    /// Whether `message` is to be left out on these terms.
    pub fn repeats(&self, message: &Message, terms: Option<&Terms>) -> bool {
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

    /// Notes that `message` is handed over. Topics are remembered from the first message on that asks for it; when all together
    /// would take more than `most` bytes, everything is forgotten, which costs messages that nobody needed.
    pub fn note(&mut self, message: &Message, terms: Option<&Terms>, most: usize) {
        let asked = terms.is_some_and(|terms| terms.only_if_changed.is_some());
        if !asked && (self.last.is_empty() || !self.last.contains_key(&message.topic)) {
            return;
        }
        self.forget(&message.topic);
        let size = size(&message.topic, &message.payload);
        if self.bytes + size > most {
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

    /// The broker has not got the last message of `topic` after all.
    pub fn forget(&mut self, topic: &Topic) {
        if let Some(last) = self.last.remove(topic) {
            self.bytes -= size(topic, &last.payload);
        }
    }

    /// The connection is lost: what was on its way with QoS 0 may be lost too.
    pub fn disconnected(&mut self) {
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
    pub fn clear(&mut self) {
        self.last.clear();
        self.bytes = 0;
    }
}

fn size(topic: &Topic, payload: &Bytes) -> usize {
    size_of::<(Topic, Last)>() + topic.as_str().len() + payload.len()
}
