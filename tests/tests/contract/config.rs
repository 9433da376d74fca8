//! `config.get`, `config.me`.

use anyhow::Result;
use miqro_tests::host::Setup;
use serde_json::json;

use super::stage::Stage;

cases! {
    "config.get": the_section_without_the_hosts_keys, an_empty_object_where_there_is_none;
    "config.me": name_base_topic_and_prefix;
}

async fn the_section_without_the_hosts_keys() -> Result<()> {
    let section = json!({
        "custom_value": 42.5, "nested": { "list": [1, "two", null, true], "empty": {} }, "text": "äöü",
        "subscriptions": ["x"], "limits": { "timers": 3 }, "grants": { "publish": ["a"] }, "log_level": "DEBUG",
    });
    let expected = json!({
        "custom_value": 42.5, "nested": { "list": [1, "two", null, true], "empty": {} }, "text": "äöü",
    });
    let mut stage = Stage::new("contract-config", section).await?;
    assert_eq!(stage.expect("config_at_start").await?.json()?, expected);
    stage.tell("get", "").await?;
    assert_eq!(stage.expect("config").await?.json()?, expected);
    Ok(())
}

async fn an_empty_object_where_there_is_none() -> Result<()> {
    let mut stage = Stage::new("contract-config", json!({})).await?;
    stage.tell("get", "").await?;
    assert_eq!(stage.expect("config").await?.text(), "{}");
    Ok(())
}

async fn name_base_topic_and_prefix() -> Result<()> {
    let set_up = |setup: Setup| {
        let section = json!({ "data_topic": "service/probe" });
        setup
            .top("ha_discovery_prefix", json!("ha"))
            .service("probe", "contract-config", section)
    };

    let mut stage = Stage::with(set_up).await?;
    stage.tell("get", "").await?;
    let expected = json!({ "name": "probe", "base": "service/probe/", "prefix": "ha" });
    assert_eq!(stage.expect("me").await?.json()?, expected);
    Ok(())
}
