//! `log.log`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::stage::Stage;

cases! {
    "log.log": every_level_with_fields, levels_below_the_services_are_left_out, as_json,
        lines_of_a_call_that_fails_are_written, standard_streams_become_lines;
}

const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

async fn logger(level: &str, format: &str) -> Result<Stage> {
    let section = json!({ "log_level": level, "limits": { "attempts": 1 } });
    Stage::with(|setup| {
        setup
            .top("log", json!({ "format": format }))
            .service("probe", "contract-log", section)
    })
    .await
}

async fn every_level_with_fields() -> Result<()> {
    let mut stage = logger("TRACE", "text").await?;
    for level in LEVELS {
        let message = format!("a line of {level}");
        let fields = json!({ "colour": "dark blue", "count": "3" });
        stage
            .tell(
                "log",
                json!({ "level": level, "message": message, "fields": fields }),
            )
            .await?;

        let line = stage
            .host
            .output()
            .wait_for(&message, |line| line.contains(&message))
            .await?;
        assert!(line.to_lowercase().contains(level), "{line}");
        assert!(
            line.contains("probe") && line.contains("colour=") && line.contains("dark blue"),
            "{line}"
        );
        assert!(
            line.contains("count=3") || line.contains("count=\"3\""),
            "{line}"
        );
    }

    Ok(())
}

async fn levels_below_the_services_are_left_out() -> Result<()> {
    let mut stage = logger("WARNING", "text").await?;
    for level in LEVELS {
        stage
            .tell(
                "log",
                json!({ "level": level, "message": format!("a line of {level}") }),
            )
            .await?;
    }

    stage
        .host
        .output()
        .wait_for("the last line", |line| line.contains("a line of error"))
        .await?;
    let lines = stage.host.output().lines();
    let written: Vec<&str> = LEVELS
        .into_iter()
        .filter(|level| {
            lines
                .iter()
                .any(|line| line.contains(&format!("a line of {level}")))
        })
        .collect();

    assert_eq!(written, ["warn", "error"]);
    Ok(())
}

async fn as_json() -> Result<()> {
    let mut stage = logger("INFO", "json").await?;
    let message = "quotes \" and\nline breaks";
    stage
        .tell(
            "log",
            json!({ "level": "warn", "message": message, "fields": { "colour": "dark blue" } }),
        )
        .await?;

    let line = stage
        .host
        .output()
        .wait_for("the line", |line| line.contains("dark blue"))
        .await?;
    let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    assert_eq!(find(&line, "message"), Some(&json!(message)), "{line}");
    assert_eq!(find(&line, "colour"), Some(&json!("dark blue")), "{line}");
    assert_eq!(find(&line, "service"), Some(&json!("probe")), "{line}");
    Ok(())
}

async fn lines_of_a_call_that_fails_are_written() -> Result<()> {
    let mut stage = logger("INFO", "text").await?;
    stage
        .tell(
            "log",
            json!({ "level": "info", "message": "before failing", "fail": true }),
        )
        .await?;

    stage
        .host
        .output()
        .wait_for("the line", |line| line.contains("before failing"))
        .await?;
    stage
        .host
        .output()
        .wait_for("the error", |line| line.contains("told to fail"))
        .await?;
    Ok(())
}

async fn standard_streams_become_lines() -> Result<()> {
    let mut stage = logger("DEBUG", "text").await?;
    stage
        .tell("log", json!({ "stdout": "one\ntwo", "stderr": "three" }))
        .await?;
    for word in ["one", "two", "three"] {
        let line = stage
            .host
            .output()
            .wait_for(word, |line| line.trim_end().ends_with(word))
            .await?;
        assert!(
            line.contains("probe") && line.trim() != word,
            "a log line, not the bare text: {line}"
        );
    }

    Ok(())
}

/// The first member `name` of a JSON value, at whatever depth.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.values().find_map(|member| find(member, name)))
}
