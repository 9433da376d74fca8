//! `timers.every`, `timers.after`, `timers.cancel`, `timers.remaining`, `timers.due`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "timers.every": comes_again_and_again, missed_ticks_come_once_with_a_count, the_same_name_replaces, no_timer,
        more_than_the_limit;
    "timers.after": comes_once;
    "timers.cancel": a_cancelled_timer_does_not_come, unknown_names_are_ignored;
    "timers.remaining": until_it_is_due;
    "timers.due": empty_outside_of_tick, in_the_order_of_becoming_due, of_the_section, of_a_changed_section;
}

async fn timekeeper(section: Value) -> Result<Stage> {
    Stage::new("contract-timers", section).await
}

impl Stage {
    async fn set(&mut self, command: Value) -> Result<()> {
        ensure!(
            self.command("command", command.clone()).await? == Ok(()),
            "{command} was refused"
        );
        Ok(())
    }

    /// Name and count of due timers, one tick after the other, until `count` timers have come.
    async fn due(&mut self, count: usize) -> Result<Vec<(String, u64)>> {
        let mut all = Vec::new();
        while all.len() < count {
            let due = self.expect("due").await?.json()?;
            for timer in due.as_array().into_iter().flatten() {
                all.push((
                    timer["name"].as_str().unwrap_or("?").into(),
                    timer["count"].as_u64().unwrap_or(0),
                ));
            }
        }

        Ok(all)
    }
}

async fn comes_again_and_again() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage
        .tell("command", json!({ "every": "a", "period": 20, "delay": 0 }))
        .await?;
    let due = stage.due(5).await?;
    assert!(
        due.iter().all(|(name, count)| name == "a" && *count >= 1),
        "{due:?}"
    );
    Ok(())
}

async fn missed_ticks_come_once_with_a_count() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage
        .tell(
            "command",
            json!({ "every": "a", "period": 10, "delay": 10 }),
        )
        .await?;

    stage.due(1).await?;
    stage.set(json!({ "busy": 300 })).await?;
    // `done` was published by the call that was busy: the first tick after it
    let (_, count) = stage.due(1).await?.remove(0);
    assert!(
        (25..=500).contains(&count),
        "30 ticks were missed, {count} reported"
    );
    Ok(())
}

async fn the_same_name_replaces() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage
        .set(json!({ "every": "a", "period": 3_600_000, "delay": 3_600_000 }))
        .await?;
    stage
        .tell("command", json!({ "after": "a", "delay": 0 }))
        .await?;
    assert_eq!(stage.due(1).await?, [("a".to_owned(), 1)]);
    Ok(())
}

async fn no_timer() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    for command in [
        json!({ "every": "", "period": 10, "delay": 0 }),
        json!({ "every": "a", "period": 0, "delay": 0 }),
        json!({ "after": "", "delay": 0 }),
    ] {
        let reason = stage.refused("command", command.clone()).await?;
        assert!(
            reason.starts_with("TimersError::Invalid("),
            "{command}: {reason}"
        );
    }

    Ok(())
}

async fn more_than_the_limit() -> Result<()> {
    let mut stage = timekeeper(json!({ "limits": { "timers": 1 } })).await?;
    stage
        .set(json!({ "after": "a", "delay": 3_600_000 }))
        .await?;
    for command in [
        json!({ "after": "b", "delay": 1 }),
        json!({ "every": "b", "period": 1, "delay": 1 }),
    ] {
        let reason = stage.refused("command", command).await?;
        assert!(
            reason.starts_with("TimersError::Limit(") && reason.contains("timers"),
            "{reason}"
        );
    }

    // the same again is not one more, and one less makes room
    stage
        .set(json!({ "after": "a", "delay": 3_600_000 }))
        .await?;
    stage.set(json!({ "cancel": "a" })).await?;
    stage.set(json!({ "after": "b", "delay": 3_600_000 })).await
}

async fn comes_once() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage
        .tell("command", json!({ "after": "once", "delay": 0 }))
        .await?;
    stage
        .tell(
            "command",
            json!({ "every": "often", "period": 10, "delay": 10 }),
        )
        .await?;

    let due = stage.due(6).await?;
    let once: Vec<_> = due.iter().filter(|(name, _)| name == "once").collect();
    assert_eq!(once, [&("once".to_owned(), 1)], "{due:?}");
    Ok(())
}

async fn a_cancelled_timer_does_not_come() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    for command in [
        json!({ "every": "cancelled", "period": 600, "delay": 600 }),
        json!({ "after": "cancelled too", "delay": 600 }),
        json!({ "cancel": "cancelled" }),
        json!({ "cancel": "cancelled too" }),
        json!({ "after": "kept", "delay": 700 }),
    ] {
        stage.tell("command", command).await?;
    }

    assert_eq!(stage.due(1).await?, [("kept".to_owned(), 1)]);
    Ok(())
}

async fn unknown_names_are_ignored() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage.set(json!({ "cancel": "never heard of" })).await
}

async fn until_it_is_due() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    for command in [
        json!({ "after": "a", "delay": 3_600_000 }),
        json!({ "every": "b", "period": 60_000, "delay": 30_000 }),
    ] {
        stage.set(command).await?;
    }

    for (name, at_most) in [("a", 3_600_000), ("b", 30_000)] {
        stage.tell("command", json!({ "remaining": name })).await?;
        let remaining = stage.expect("remaining").await?.json()?.as_u64();
        assert!(
            remaining.is_some_and(|ms| ms <= at_most && ms > at_most - 30_000),
            "{name}: {remaining:?}"
        );
    }

    stage
        .tell("command", json!({ "remaining": "none" }))
        .await?;
    assert_eq!(stage.expect("remaining").await?.json()?, Value::Null);
    Ok(())
}

async fn empty_outside_of_tick() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    stage
        .set(json!({ "after": "later", "delay": 3_600_000 }))
        .await?;
    stage
        .client
        .publish(&own("command"), json!({ "due": true }).to_string())
        .await?;
    assert_eq!(stage.expect("due").await?.json()?, json!([]));
    Ok(())
}

async fn in_the_order_of_becoming_due() -> Result<()> {
    let mut stage = timekeeper(json!({})).await?;
    for command in [
        json!({ "after": "third", "delay": 300 }),
        json!({ "after": "second", "delay": 200 }),
        json!({ "after": "first", "delay": 100 }),
        json!({ "busy": 400 }),
    ] {
        stage.tell("command", command).await?;
    }

    let names: Vec<String> = stage
        .due(3)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();

    assert_eq!(names, ["first", "second", "third"]);
    Ok(())
}

async fn of_the_section() -> Result<()> {
    let section = json!({ "timers": { "beat": "20ms" } });
    let mut stage = timekeeper(section).await?;

    let due = stage.due(3).await?;
    assert!(due.iter().all(|(name, _)| name == "beat"), "{due:?}");

    // the guest can cancel it like its own
    stage.set(json!({ "cancel": "beat" })).await?;
    stage.set(json!({ "after": "own", "delay": 300 })).await?;
    while stage.due(1).await?[0].0 != "own" {}
    stage
        .set(json!({ "after": "second", "delay": 300 }))
        .await?;
    assert_eq!(stage.due(1).await?, [("second".to_owned(), 1)]);
    Ok(())
}

async fn of_a_changed_section() -> Result<()> {
    let mut stage = timekeeper(json!({ "timers": { "old": "20ms" } })).await?;
    assert_eq!(stage.due(1).await?[0].0, "old");

    let configuration = stage.host.folder().join("miqro.yml");
    let text = std::fs::read_to_string(&configuration)?;
    std::fs::write(&configuration, text.replace("\"old\"", "\"new\""))?;

    // once the new one has come, the old one is gone
    while stage.due(1).await?[0].0 != "new" {}
    let later = stage.due(5).await?;
    assert!(later.iter().all(|(name, _)| name == "new"), "{later:?}");
    Ok(())
}
