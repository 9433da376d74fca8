//! The service `probe` with the guest `contract-swap`, which answers with its version and its counts of messages.

use anyhow::Result;
use serde_json::{Value, json};

use crate::host::Setup;
use crate::{Client, Host, guests};

/// Starts a host with the service, and a client that hears its answers.
///
/// # Errors
/// When the host does not start.
pub async fn start(setup: Setup, section: Value) -> Result<(Host, Client)> {
    let host = setup
        .service("probe", "contract-swap", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    Ok((host, client))
}

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
