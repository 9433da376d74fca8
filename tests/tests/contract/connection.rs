//! Optional exports about the connection, `connected`, `disconnected`, `delivered`, and about a
//! changed section, `config-changed`.

use anyhow::Result;
use miqro_tests::mosquitto::Setup;
use miqro_tests::{Host, Mosquitto};
use serde_json::{Value, json};

use super::stage::Stage;

cases! {
    "connected": at_the_start_and_after_a_loss, a_new_version_is_told_too;
    "disconnected": when_the_broker_is_gone;
    "config-changed": a_new_section_is_taken_over_without_a_restart, a_refusal_rolls_everything_back;
    "delivered": taken_by_the_broker, of_qos_0_there_is_none, not_in_time, refused_by_the_broker, left_out;
}

async fn informed() -> Result<Stage> {
    Stage::new("contract-full", json!({})).await
}

async fn at_the_start_and_after_a_loss() -> Result<()> {
    let mut broker = Mosquitto::with(&Setup {
        persistent: true,
        ..Setup::default()
    })
    .await?;
    let host = Host::on(broker.port())
        .service("probe", "contract-full", json!({}))
        .start()
        .await?;
    host.output()
        .wait_for("connected", |line| {
            line.contains("connected, session present: false")
        })
        .await?;
    broker.stop().await?;
    broker.restart().await?;
    host.output()
        .wait_for("connected again", |line| {
            line.contains("connected, session present: true")
        })
        .await?;
    Ok(())
}

async fn a_new_version_is_told_too() -> Result<()> {
    let stage = informed().await?;
    let mut other = miqro_tests::guests::component("contract-full")?;
    other.extend([0, 2, 1, b'x']);
    stage.host.replace("probe", &other)?;
    stage
        .host
        .output()
        .wait_for("connected", |line| {
            line.contains("connected, session present: true")
        })
        .await?;

    Ok(())
}

async fn when_the_broker_is_gone() -> Result<()> {
    let mut stage = informed().await?;
    stage.broker.kill()?;
    stage
        .host
        .output()
        .wait_for("disconnected", |line| line.contains(" disconnected"))
        .await?;
    Ok(())
}

/// Writes the configuration with another section of `probe`.
fn write_section(stage: &Stage, section: &Value) -> Result<()> {
    let file = stage.host.folder().join("miqro.yml");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    config["services"]["probe"] = section.clone();
    let new = file.with_extension("new");
    std::fs::write(&new, config.to_string())?;
    Ok(std::fs::rename(new, file)?)
}

async fn a_new_section_is_taken_over_without_a_restart() -> Result<()> {
    let mut stage = informed().await?;
    write_section(
        &stage,
        &json!({ "colour": "red", "subscriptions": ["more"] }),
    )?;
    assert_eq!(
        stage.expect("config_changed").await?.json()?,
        json!({ "colour": "red" })
    );
    stage
        .host
        .output()
        .wait_for("the news", |line| {
            line.contains("has taken over its new configuration")
        })
        .await?;

    // the operator's new subscription is there: the guest takes what it gets for a command
    stage.tell("more", json!({ "get": "x" })).await?;
    assert_eq!(stage.expect("value").await?.json()?, Value::Null);
    Ok(())
}

async fn a_refusal_rolls_everything_back() -> Result<()> {
    let mut stage = informed().await?;
    write_section(&stage, &json!({ "refuse_change": "not today" }))?;
    let line = stage
        .host
        .output()
        .wait_for("the refusal", |line| line.contains("not today"))
        .await?;
    assert!(
        line.contains("services.probe: refuses its new configuration"),
        "{line}"
    );
    write_section(&stage, &json!({ "colour": "blue" }))?;
    assert_eq!(
        stage.expect("config_changed").await?.json()?,
        json!({ "colour": "blue" })
    );
    Ok(())
}

async fn token(stage: &mut Stage, command: Value) -> Result<Value> {
    stage.tell("command", command).await?;
    stage.expect("token").await?.json()
}

async fn taken_by_the_broker() -> Result<()> {
    let mut stage = informed().await?;
    let mut before = 0;
    for qos in [1, 2] {
        let token = token(
            &mut stage,
            json!({ "publish": "out", "payload": "p", "qos": qos }),
        )
        .await?;
        assert!(
            token.as_u64().is_some_and(|token| token > before),
            "{token}"
        );
        before = token.as_u64().unwrap_or_default();
        let told = stage.expect("delivered").await?.json()?;
        assert_eq!(told, json!({ "token": token, "outcome": "delivered" }));
    }

    Ok(())
}

async fn of_qos_0_there_is_none() -> Result<()> {
    let mut stage = informed().await?;
    assert_eq!(
        token(&mut stage, json!({ "publish": "out", "qos": 0 })).await?,
        Value::Null
    );
    let token = token(&mut stage, json!({ "publish": "out", "qos": 1 })).await?;
    assert_eq!(stage.expect("delivered").await?.json()?["token"], token);
    Ok(())
}

/// A message that is published while the broker is away is not acknowledged.
async fn not_in_time() -> Result<()> {
    let set_up = |setup: miqro_tests::host::Setup| {
        let section = json!({ "when_disconnected": 1 });
        setup
            .broker("delivery_timeout", json!("100ms"))
            .service("probe", "contract-full", section)
    };

    let mut stage = Stage::with(set_up).await?;
    stage.broker.kill()?;
    stage
        .host
        .output()
        .wait_for("the outcome", |line| {
            line.contains("delivered \"timed-out\"")
        })
        .await?;

    Ok(())
}

async fn refused_by_the_broker() -> Result<()> {
    let setup = Setup {
        lines: vec!["max_packet_size 2000".into()],
        ..Setup::default()
    };
    let broker = Mosquitto::with(&setup).await?;
    let host = Host::on(broker.port())
        .service("probe", "contract-full", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/#", 1).await?;
    let large = json!({ "publish": "out", "payload": "x", "repeat": 2000, "qos": 1 });
    client
        .publish("service/probe/command", large.to_string())
        .await?;
    let outcome = client.expect("service/probe/delivered").await?.json()?["outcome"].clone();
    assert!(
        outcome["refused"]
            .as_str()
            .is_some_and(|why| why.contains("too large")),
        "{outcome}"
    );

    Ok(())
}

async fn left_out() -> Result<()> {
    let mut stage = informed().await?;
    let same = json!({ "publish": "out", "payload": "same", "qos": 1, "only_if_changed": true });
    stage.tell("command", same.clone()).await?;
    assert_eq!(
        stage.expect("delivered").await?.json()?["outcome"],
        "delivered"
    );
    stage.tell("command", same).await?;
    let outcome = stage.expect("delivered").await?.json()?["outcome"].clone();
    assert!(
        outcome["refused"]
            .as_str()
            .is_some_and(|why| why.contains("nothing changed")),
        "{outcome}"
    );

    Ok(())
}
