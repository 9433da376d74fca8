//! The AsyncAPI document, against the real messages.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, place};
use serde_json::{Value, json};

use super::{HOST, ask, start};

/// All commands that can be listed without `trust`.
const COMMANDS: [&str; 19] = [
    "services",
    "snapshot",
    "status",
    "section",
    "state",
    "history",
    "letters",
    "delete-letter",
    "update",
    "rollback",
    "replay",
    "restart",
    "enable",
    "disable",
    "log-level",
    "reload",
    "publish",
    "shadow",
    "stop-shadow",
];

/// The commands that run another component.
const SIGNED_ONLY: [&str; 2] = ["start-shadow", "deploy"];

#[tokio::test]
async fn asyncapi_document_is_valid_and_describes_the_real_messages() -> Result<()> {
    let text = std::fs::read_to_string(place::project().join("docs/mqtt-control.asyncapi.json"))?;
    assert_eq!(node("validate.js", &text)?, "");
    let document: Value = serde_json::from_str(&text)?;
    let schema = |message: &str| {
        let mut schema = document["components"]["messages"][message]["payload"].clone();
        schema["components"] = document["components"].clone();
        schema
    };

    let described = document["operations"]
        .as_object()
        .context("no operations")?;
    let described: BTreeSet<&str> = described
        .keys()
        .filter_map(|operation| operation.strip_prefix("request."))
        .collect();
    assert_eq!(described, COMMANDS.into_iter().chain(SIGNED_ONLY).collect());

    let (_broker, _host, mut client) = start(&COMMANDS).await?;
    client.subscribe(&format!("{HOST}/#"), 1).await?;
    let mut values = Vec::new();
    for command in COMMANDS {
        let mut members = json!({"service": "it", "letter": "0-0", "level": "info", "topic": "a"});
        let known = &schema(&format!("request.{command}"))["$ref"];
        let name = known.as_str().and_then(|known| known.rsplit('/').next());
        let properties =
            &document["components"]["schemas"][name.context("no schema")?]["properties"];
        let members = members.as_object_mut().context("no members")?;
        members.retain(|member, _| properties.get(member).is_some());
        let answer = ask(&mut client, command, serde_json::to_vec(&members)?).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(!error.starts_with(command), "{command}: {error}");
        values.push(json!({"schema": schema(&format!("request.{command}")), "value": members}));
        values.push(json!({"schema": schema("answer"), "value": answer}));
    }

    let mut retained = Client::connect(_host.port()).await?;
    for (topic, message) in [
        ("info", "info"),
        ("health", "health"),
        ("services/it", "services"),
    ] {
        let topic = format!("{HOST}/{topic}");
        retained.subscribe(&topic, 1).await?;
        let value = retained.expect(&topic).await?.json()?;
        values.push(json!({"schema": schema(message), "value": value}));
    }

    assert_eq!(node("fits.js", &json!(values).to_string())?, "");

    let wrong = json!([{"schema": schema("request.restart"), "value": {}}]);
    assert!(node("fits.js", &wrong.to_string()).is_err());
    Ok(())
}

/// Runs a script of the folder `asyncapi`, which has to accept `input`.
fn node(script: &str, input: &str) -> Result<String> {
    let mut child = Command::new("node")
        .arg(place::project().join("tests/asyncapi").join(script))
        .arg(place::asyncapi()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;

    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);

    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}
