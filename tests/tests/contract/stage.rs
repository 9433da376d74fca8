//! The set-up of every case: a broker, a host with one guest as the service `probe`, and a client
//! that sends commands to it and reads its answers.

use anyhow::{Context, Result};
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Version};
use serde_json::Value;

/// A running service `it`.
pub(super) struct Stage {
    pub host: Host,
    pub client: Client,
    pub broker: Mosquitto,
}

impl Stage {
    /// Starts the guest with the section over MQTT 5.
    pub(super) async fn new(guest: &str, section: Value) -> Result<Self> {
        Self::version(guest, section, Version::V5).await
    }

    /// Starts the guest with the section.
    pub(super) async fn version(guest: &str, section: Value, version: Version) -> Result<Self> {
        Self::with(|setup| setup.version(version).service("probe", guest, section)).await
    }

    /// Starts a host that `set_up` has described.
    pub(super) async fn with(set_up: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let host = set_up(Host::on(broker.port())).start().await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("service/probe/#", 2).await?;
        Ok(Self {
            host,
            client,
            broker,
        })
    }

    /// A further client that has subscribed to `filter`: to see that nothing comes, which the first client cannot, because
    /// it passes over messages.
    pub(super) async fn watch(&self, filter: &str) -> Result<Client> {
        let mut client = Client::connect(self.broker.port()).await?;
        client.subscribe(filter, 1).await?;
        Ok(client)
    }

    /// Publishes below the service's base topic.
    pub(super) async fn tell(&mut self, topic: &str, payload: impl ToString) -> Result<()> {
        self.client.publish(&own(topic), payload.to_string()).await
    }

    /// The next message on a topic below the service's base topic.
    pub(super) async fn expect(&mut self, topic: &str) -> Result<Message> {
        let message = self.client.expect(&own(topic)).await;
        message.with_context(|| self.host.output().told("the message did not come"))
    }

    /// Publishes a command and returns how the guest answers it: `done`, or `refused` with the reason.
    pub(super) async fn command(
        &mut self,
        topic: &str,
        command: Value,
    ) -> Result<Result<(), String>> {
        self.tell(topic, command).await?;
        loop {
            let message = self.client.next().await;
            let message = message
                .with_context(|| self.host.output().told(&format!("no answer to {topic}")))?;
            match message.topic.as_str() {
                "service/probe/done" => return Ok(Ok(())),
                "service/probe/refused" => return Ok(Err(message.text())),
                _ => {}
            }
        }
    }

    /// Publishes a command and returns why the guest says that the host has refused it.
    pub(super) async fn refused(&mut self, topic: &str, command: Value) -> Result<String> {
        match self.command(topic, command.clone()).await? {
            Ok(()) => anyhow::bail!("{command} was not refused"),
            Err(reason) => Ok(reason),
        }
    }
}

/// The full topic of a topic of the service `probe`.
pub(super) fn own(topic: &str) -> String {
    format!("service/probe/{topic}")
}
