//! `config.get`.

use anyhow::Result;
use serde_json::json;

use crate::stage::Stage;

cases! {
    "config.get": the_section_without_the_hosts_keys, an_empty_object_where_there_is_none;
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
