//! The hand-over from version to version: `save` and `load`.

use anyhow::Result;
use miqro_tests::guests;
use miqro_tests::probe::assert_works;
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "save": what_it_gives_is_loaded_by_the_next_version, a_fault_keeps_the_running_version,
        too_much_keeps_the_running_version, is_not_needed, is_said_to_be_of_no_use_where_nothing_loads;
    "load": its_effects_are_the_new_versions_first, a_refusal_keeps_the_running_version_with_all_it_knows,
        a_fault_of_it_keeps_the_running_version, with_a_new_section, a_refusal_keeps_the_former_section;
}

/// The guest `contract-swap`, which has counted to two.
async fn counted(section: Value) -> Result<Stage> {
    let mut stage = Stage::new("contract-swap", section).await?;
    for count in 1..=2 {
        assert_works(&mut stage.client, 1, count, count).await?;
    }
    Ok(stage)
}

/// A section in which `key` says something about version 2.
fn told(key: &str, value: &str) -> Value {
    json!({ key: { guests::version(2): value } })
}

async fn what_it_gives_is_loaded_by_the_next_version() -> Result<()> {
    let mut stage = counted(json!({})).await?;
    stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut stage.client, 2, 3, 3).await?;
    stage
        .host
        .replace_and_wait("probe", &guests::swap(3)?, "takes over")
        .await?;
    assert_works(&mut stage.client, 3, 4, 4).await
}

async fn a_fault_keeps_the_running_version() -> Result<()> {
    let section = json!({ "broken_save": { guests::FIRST_VERSION: true } });
    let mut stage = counted(section).await?;
    let said = stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "does not take over")
        .await?;
    assert!(
        said.contains("cannot save its state") && said.contains("trapped"),
        "{said}"
    );
    // a trap takes the instance with it: the running version was started again
    assert_works(&mut stage.client, 1, 1, 3).await
}

async fn too_much_keeps_the_running_version() -> Result<()> {
    let mut stage = counted(json!({ "save_bytes": 2000, "swap": { "saved": "1999B" } })).await?;
    let said = stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "does not take over")
        .await?;
    assert!(
        said.contains("2000 bytes, more than the 1999 of swap.saved"),
        "{said}"
    );
    assert_works(&mut stage.client, 1, 3, 3).await
}

/// A version without `save` is replaced all the same; nothing is loaded.
async fn is_not_needed() -> Result<()> {
    let mut stage = Stage::new("contract-lifecycle", json!({})).await?;
    let mut watcher = stage.watch(&own("loaded")).await?;
    stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut stage.client, 2, 1, 1).await?;
    assert_eq!(watcher.pending().await?, []);
    Ok(())
}

async fn is_said_to_be_of_no_use_where_nothing_loads() -> Result<()> {
    let stage = counted(json!({})).await?;
    let line = stage.host.output().lines().len();
    stage.host.replace("probe", &guests::lifecycle(2)?)?;
    stage
        .host
        .output()
        .says(
            line,
            "has no load: the state that the former one saves is not handed over",
        )
        .await?;

    stage
        .host
        .output()
        .says(line, "no longer exports load, save")
        .await?;
    stage.host.output().says(line, "takes over").await?;
    Ok(())
}

async fn its_effects_are_the_new_versions_first() -> Result<()> {
    let mut stage = counted(json!({})).await?;
    stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    let loaded = stage.expect("loaded").await?.json()?;
    assert_eq!(
        loaded,
        json!({ "version": guests::version(2), "memory": 2, "state": 2, "payload": "" })
    );
    assert_works(&mut stage.client, 2, 3, 3).await
}

async fn a_refusal_keeps_the_running_version_with_all_it_knows() -> Result<()> {
    let mut stage = counted(told("refuse_load", "too old for me")).await?;
    let mut watcher = stage.watch(&own("loaded")).await?;
    let said = stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "does not take over")
        .await?;
    assert!(
        said.contains("too old for me") && said.contains("the running version stays"),
        "{said}"
    );
    assert_works(&mut stage.client, 1, 3, 3).await?;
    assert_eq!(
        watcher.pending().await?,
        [],
        "publishes of a refused load are not sent"
    );
    stage
        .host
        .replace_and_wait("probe", &guests::swap(3)?, "takes over")
        .await?;
    assert_works(&mut stage.client, 3, 4, 4).await
}

async fn a_fault_of_it_keeps_the_running_version() -> Result<()> {
    let mut stage = counted(told("refuse_load", "trap")).await?;
    let said = stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "does not take over")
        .await?;
    assert!(said.contains("trapped"), "{said}");
    assert_works(&mut stage.client, 1, 3, 3).await
}

/// The guest cannot take over a new section itself: a new instance does, and loads.
async fn with_a_new_section() -> Result<()> {
    let mut stage = counted(json!({})).await?;
    let mut config = stage.host.config();
    config["services"]["probe"] = json!({ "colour": "red" });
    stage.host.reconfigured(&config).await?;
    stage
        .host
        .output()
        .wait_for("the news", |line| {
            line.contains("runs with its new configuration")
        })
        .await?;

    assert_works(&mut stage.client, 1, 3, 3).await
}

async fn a_refusal_keeps_the_former_section() -> Result<()> {
    let mut stage = counted(json!({})).await?;
    let mut config = stage.host.config();
    config["services"]["probe"] =
        json!({ "refuse_load": { guests::FIRST_VERSION: "not with this section" } });
    stage.host.reconfigured(&config).await?;
    stage
        .host
        .output()
        .wait_for("the reason", |line| line.contains("not with this section"))
        .await?;
    assert_works(&mut stage.client, 1, 3, 3).await?;
    // the former section does not refuse: the next version takes over, with the new section
    stage
        .host
        .replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut stage.client, 2, 4, 4).await
}
