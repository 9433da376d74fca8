//! A conversation with a service, the same with the original and with its port.

use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::{Client, Deadline, Message};
use serde_json::Value;

use super::Said;
use crate::languages::COMPILING;

/// A conversation: commands to a service, and everything that it says.
pub(super) struct Conversation {
    client: Client,
    port: u16,
    base: String,
    said: Said,
}

impl Conversation {
    /// Listens below the base topic of a service and to the topics of `others`.
    pub(super) async fn start(port: u16, name: &str, others: &[&str]) -> Result<Self> {
        let base = format!("service/{name}/");
        let mut client = Client::connect(port).await?;
        client.subscribe(&format!("{base}#"), 1).await?;
        for filter in others {
            client.subscribe(filter, 1).await?;
        }
        Ok(Self {
            client,
            port,
            base,
            said: Said::new(),
        })
    }

    /// Sends a message to the service.
    pub(super) async fn tell(&mut self, topic: &str, text: &str) -> Result<()> {
        let topic = format!("{}{topic}", self.base);
        self.tell_all(&topic, text).await
    }

    /// Publishes on a full topic.
    pub(super) async fn tell_all(&mut self, topic: &str, text: &str) -> Result<()> {
        self.client.publish(topic, text.to_owned()).await
    }

    /// Sends a message once a second until the service has answered with a topic and a part of a payload: it may not be there yet.
    pub(super) async fn wakes(
        &mut self,
        topic: &str,
        text: &str,
        answer: (&str, &str),
    ) -> Result<()> {
        let question = Message::new(format!("{}{topic}", self.base), text.to_owned());
        let woken = async {
            let mut again = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = again.tick() => self.client.send(question.clone()).await?,
                    message = self.client.next() => {
                        let (topic, text) = self.note(&message?);
                        if topic == answer.0 && text.contains(answer.1) {
                            return anyhow::Ok(());
                        }
                    }
                }
            }
        };
        let deadline = Deadline::after(COMPILING);
        deadline.wait(format!("{answer:?}"), woken).await?
    }

    /// Listens until each of `expected` was said: topics, and parts of their payloads.
    pub(super) async fn hears(&mut self, expected: &[(&str, &str)]) -> Result<()> {
        let mut missing = expected.to_vec();
        while !missing.is_empty() {
            let message = self.client.next().await;
            let message = message.with_context(|| format!("missing: {missing:?}"))?;
            let (topic, text) = self.note(&message);
            missing.retain(|(place, part)| *place != topic || !text.contains(part));
        }
        Ok(())
    }

    /// Forgets everything that was said so far.
    pub(super) fn forget(&mut self) {
        self.said.clear();
    }

    /// Everything that was said, commands included.
    pub(super) fn said(self) -> Said {
        self.said
    }

    /// The retained message on a full topic.
    pub(super) async fn kept(&self, topic: &str) -> Result<Value> {
        let mut late = Client::connect(self.port).await?;
        late.subscribe(topic, 1).await?;
        late.next().await?.json()
    }

    fn note(&mut self, message: &Message) -> (String, String) {
        let topic = message.topic.strip_prefix(&self.base);
        let topic = topic.unwrap_or(&message.topic).to_owned();
        let said = (topic, message.text());
        // how often a service says that it is online is its own affair
        if said.0 != "online" {
            self.said.insert(said.clone());
        }
        said
    }
}
