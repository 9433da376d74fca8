//! `state.get`, `state.set`, `state.delete`, `state.keys`.

use anyhow::Result;
use miqro_tests::{Host, Mosquitto};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "state.get": survives_a_kill, nothing_where_there_is_none, sees_what_the_call_has_set;
    "state.set": a_failed_call_sets_nothing, no_key, more_than_the_limit, survives_a_swap_and_a_trap;
    "state.delete": a_deleted_key_is_gone, unknown_keys_are_ignored;
    "state.keys": those_with_the_prefix_in_order;
}

async fn keeper() -> Result<Stage> {
    Stage::new(
        "contract-full",
        json!({ "limits": { "state": "64B", "attempts": 1 } }),
    )
    .await
}

impl Stage {
    async fn set_key(&mut self, key: &str, value: &str) -> Result<()> {
        self.client
            .publish_once(
                &own("command"),
                json!({ "set": key, "value": value }).to_string(),
            )
            .await?;

        self.expect("value").await.map(drop)
    }

    async fn get_key(&mut self, key: &str) -> Result<Value> {
        self.client
            .publish_once(&own("command"), json!({ "get": key }).to_string())
            .await?;
        self.expect("value").await?.json()
    }
}

/// An answered value was kept before: the answer is sent after the state is on disk.
async fn survives_a_kill() -> Result<()> {
    let mut stage = keeper().await?;
    for number in 0..5 {
        stage.set_key("n", &number.to_string()).await?;
        stage.host.kill()?;
        stage.host.restart()?;
        stage.host.online().await?;
        assert_eq!(stage.get_key("n").await?, json!(number.to_string()));
    }

    Ok(())
}

async fn nothing_where_there_is_none() -> Result<()> {
    assert_eq!(keeper().await?.get_key("never set").await?, Value::Null);
    Ok(())
}

async fn sees_what_the_call_has_set() -> Result<()> {
    let mut stage = keeper().await?;
    stage.set_key("a", "1").await?;
    stage.set_key("a", "2").await?;
    assert_eq!(stage.get_key("a").await?, json!("2"));
    Ok(())
}

async fn a_failed_call_sets_nothing() -> Result<()> {
    let mut stage = keeper().await?;
    stage.set_key("a", "1").await?;
    stage
        .tell("command", json!({ "set": "a", "value": "2", "fail": true }))
        .await?;
    stage
        .host
        .output()
        .wait_for("the error", |line| line.contains("told to fail"))
        .await?;
    assert_eq!(stage.get_key("a").await?, json!("1"));
    Ok(())
}

async fn no_key() -> Result<()> {
    let mut stage = keeper().await?;
    for key in [String::new(), "k".repeat(513)] {
        let reason = refused(&mut stage, json!({ "set": key, "value": "" })).await?;
        assert!(reason.starts_with("StateError::InvalidKey("), "{reason}");
    }
    Ok(())
}

async fn refused(stage: &mut Stage, command: Value) -> Result<String> {
    stage.tell("command", command).await?;
    Ok(stage.expect("refused").await?.text())
}

async fn more_than_the_limit() -> Result<()> {
    let mut stage = keeper().await?;
    stage.set_key("a", &"x".repeat(63)).await?;
    let reason = refused(&mut stage, json!({ "set": "b", "value": "" })).await?;
    assert!(
        reason.starts_with("StateError::Limit(") && reason.contains("limits.state"),
        "{reason}"
    );
    // a smaller value makes room
    stage.set_key("a", "x").await?;
    stage.set_key("b", "y").await
}

async fn survives_a_swap_and_a_trap() -> Result<()> {
    let mut stage = keeper().await?;
    stage.set_key("a", "1").await?;
    let mut other = miqro_tests::guests::component("contract-full")?;
    // a custom section makes another file of it: id 0, two bytes, a name of one byte
    other.extend([0, 2, 1, b'x']);
    stage.host.replace("probe", &other)?;
    stage
        .host
        .output()
        .wait_for("the swap", |line| line.contains("takes over"))
        .await?;
    assert_eq!(stage.get_key("a").await?, json!("1"));
    Ok(())
}

async fn a_deleted_key_is_gone() -> Result<()> {
    let mut stage = keeper().await?;
    stage.set_key("a", "1").await?;
    stage.tell("command", json!({ "delete": "a" })).await?;
    assert_eq!(stage.expect("value").await?.json()?, Value::Null);
    assert_eq!(stage.get_key("a").await?, Value::Null);
    Ok(())
}

async fn unknown_keys_are_ignored() -> Result<()> {
    let mut stage = keeper().await?;
    stage
        .tell("command", json!({ "delete": "never set" }))
        .await?;
    assert_eq!(stage.expect("value").await?.json()?, Value::Null);
    Ok(())
}

async fn those_with_the_prefix_in_order() -> Result<()> {
    let mut stage = keeper().await?;
    for key in ["b/2", "a", "b/1", "c"] {
        stage.set_key(key, "").await?;
    }
    stage.tell("command", json!({ "keys": "b/" })).await?;
    assert_eq!(stage.expect("keys").await?.json()?, json!(["b/1", "b/2"]));
    stage.tell("command", json!({ "keys": "" })).await?;
    assert_eq!(
        stage.expect("keys").await?.json()?,
        json!(["a", "b/1", "b/2", "c"])
    );
    Ok(())
}

/// Two services do not see each other's keys, and all state is in one file.
#[tokio::test]
async fn services_do_not_share_keys() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port());
    let section = json!({ "swap": { "versions": 0 } });
    let host = host
        .service("a", "contract-full", section.clone())
        .service("b", "contract-full", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/+/value", 1).await?;
    let state =
        || Ok::<_, std::io::Error>(host.folder().join("state/miqro-host").read_dir()?.count());
    assert_eq!(
        state()?,
        3,
        "the control socket, the record of the identity and the state file, which has the subscriptions"
    );
    client
        .publish(
            "service/a/command",
            json!({ "set": "k", "value": "of a" }).to_string(),
        )
        .await?;

    assert_eq!(
        client.expect("service/a/value").await?.json()?,
        json!("of a")
    );
    client
        .publish("service/b/command", json!({ "get": "k" }).to_string())
        .await?;
    assert_eq!(client.expect("service/b/value").await?.json()?, Value::Null);
    assert_eq!(state()?, 3, "no further file");
    Ok(())
}
