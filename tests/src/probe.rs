//! The service `probe` with the guest `contract-swap`, which answers with its version and its counts of messages.

use anyhow::Result;
use serde_json::json;

use crate::{Client, guests};

/// Asks the service once. It is to answer as `version`, with so many messages counted in memory and in its state.
///
/// # Errors
/// When no answer comes.
///
/// # Panics
/// When another answer comes.
pub async fn assert_works(
    client: &mut Client,
    version: u32,
    memory: u64,
    state: u64,
) -> Result<()> {
    client.publish_once("service/probe/work", "").await?;
    assert_answers(client, version, memory, state, "").await
}

/// Waits for an answer to `payload`, as [`assert_works`].
///
/// # Errors
/// When no answer comes.
///
/// # Panics
/// When another answer comes.
pub async fn assert_answers(
    client: &mut Client,
    version: u32,
    memory: u64,
    state: u64,
    payload: &str,
) -> Result<()> {
    let answer = client.expect("service/probe/worked").await?.json()?;
    let expected = json!({
        "version": guests::version(version),
        "memory": memory,
        "state": state,
        "payload": payload,
    });

    assert_eq!(answer, expected);
    Ok(())
}
