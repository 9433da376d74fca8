//! A session that takes nothing until the end: a broker keeps every message of a topic for it. Gives
//! the numbers that the broker kept.

use std::collections::BTreeSet;

use anyhow::Result;
use miqro_tests::Client;
use miqro_tests::client::Options;

/// The session.
pub(super) struct Witness {
    options: Options,
}

impl Witness {
    /// Begins it.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub(super) async fn new(port: u16, topic: &str) -> Result<Self> {
        let options = Options {
            keep_session: true,
            ..Options::new(port)
        };
        let mut client = Client::with(&options).await?;
        client.subscribe(topic, 1).await?;
        client.disconnect().await?;
        Ok(Self { options })
    }

    /// Its client identifier.
    pub(super) fn id(&self) -> &str {
        &self.options.id
    }

    /// The numbers that the broker has for it.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub(super) async fn kept(&self) -> Result<BTreeSet<u32>> {
        let messages = Client::with(&self.options).await?.pending().await?;
        Ok(messages
            .iter()
            .filter_map(|message| message.text().parse().ok())
            .collect())
    }
}
