//! Requests and their answers in both protocol versions, and clients that mean harm.

use std::process::Command;

use anyhow::{Context, Result};
use minisign::KeyPair;
use miqro_tests::client::Options;
use miqro_tests::host::Setup;
use miqro_tests::process::run_to_end;
use miqro_tests::{Client, Host, Mosquitto, Version, guests};
use serde_json::json;

use super::{HOST, answered_on, ask, controlled, ready, request, start};

/// Brokers and versions of the protocol between broker and host.
async fn answers_come(setup: Setup, host_version: Version) -> Result<()> {
    let host = controlled(setup, &["restart"])
        .version(host_version)
        .start()
        .await?;
    ready(&host).await?;

    let restart = request("restart", &json!({"service": "it", "transaction": "t1"}));
    let mut old = Client::with(&Options {
        version: Version::V311,
        ..Options::new(host.port())
    })
    .await?;
    old.subscribe(&format!("{HOST}/response/#"), 1).await?;
    old.send(restart).await?;
    let answer = old.expect(&format!("{HOST}/response/restart")).await?;
    let answer = answer.json()?;
    assert_eq!(answer["transaction"], "t1");
    let done = answer["ok"].as_str().context("not done")?;
    assert!(done.ends_with("was started again"), "{answer}");
    host.output()
        .says(
            0,
            "restart of \"it\" by an mqtt client with transaction \"t1\": version",
        )
        .await?;

    if host_version == Version::V5 {
        let mut client = host.client().await?;
        let answer = ask(&mut client, "restart", r#"{"service":"it"}"#).await?;
        assert!(answer["ok"].is_string(), "{answer}");
        let line =
            "restart of \"it\" by an mqtt client with response topic \"test/answer\": version";
        host.output().says(0, line).await?;
    }

    Ok(())
}

#[tokio::test]
async fn requests_are_answered_by_each_broker_in_both_versions() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        // a broker of its own: `ready` must not see what another host has retained
        let broker = Mosquitto::start().await?;
        answers_come(Host::on(broker.port()), version).await?;
        answers_come(Host::embedded()?, version).await?;
    }
    Ok(())
}

#[tokio::test]
async fn mosquitto_rr_gets_an_answer() -> Result<()> {
    let (broker, _host, _client) = start(&["services", "disable"]).await?;
    let mut command = Command::new("mosquitto_rr");
    command.args(["-V", "5", "-p", &broker.port().to_string(), "-W", "60"]);
    command.args(["-t", "miqro/house/request", "-e", "test/rr"]);
    command.args(["-m", r#"{"command": "services"}"#]);
    let said = run_to_end(&mut command).await?;
    assert_eq!(said.out.trim_end(), r#"{"ok":["it"]}"#, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn bad_requests_are_answered_with_what_is_expected() -> Result<()> {
    let (_broker, host, mut client) = start(&["restart", "services"]).await?;
    let huge = format!("{{\"service\": \"{}\"}}", "x".repeat(1 << 20));
    let cases = [
        ("restart", "{oops", "expected a JSON object such as"),
        ("restart", "[]", "found a list"),
        ("restart", "{}", "missing field `service`"),
        (
            "restart",
            r#"{"service":"it","at":1}"#,
            "unknown field `at`, expected `service`",
        ),
        ("restart", r#"{"service":"nobody"}"#, "nobody"),
        ("restart", huge.as_str(), "expected 1048576 bytes at most"),
        (
            "explode",
            "{}",
            "expected one of the commands restart, services, found \"explode\"",
        ),
        ("tail", "{}", "expected one of the commands"),
        (
            "disable",
            r#"{"service":"it"}"#,
            "disable is not listed in mqtt_control.commands",
        ),
        ("a/b/c", "", "found \"a/b/c\""),
    ];

    for (command, payload, expected) in cases {
        let answer = ask(&mut client, command, payload).await?;
        let error = answer["error"].as_str().context("no error")?;
        assert!(error.contains(expected), "{command}: {error}");
    }

    // somebody who cannot recognise an answer is told in the log
    client
        .publish(&format!("{HOST}/request/restart"), "{oops")
        .await?;
    host.output()
        .says(
            0,
            "an mqtt request on miqro/house/request/restart is refused: expected a JSON object",
        )
        .await?;

    let services = ask(&mut client, "services", "").await?;
    assert_eq!(services, json!({"ok": ["it"]}));
    Ok(())
}

#[tokio::test]
async fn retained_requests_are_ignored_and_logged() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    let restart = request("restart", &json!({"service": "it"}));
    client.send(restart.retained()).await?;
    let host = controlled(Host::on(broker.port()), &["restart"])
        .start()
        .await?;
    host.output()
        .says(
            0,
            "a retained mqtt request on miqro/house/request/restart is ignored",
        )
        .await?;

    let answer = ask(&mut client, "restart", r#"{"service":"it"}"#).await?;
    assert!(answer["ok"].is_string(), "{answer}");
    host.output().says(0, "restart of \"it\"").await?;
    assert_eq!(host.output().count("restart of \"it\""), 1);
    Ok(())
}

#[tokio::test]
async fn response_topics_of_broker_and_host_get_no_answer() -> Result<()> {
    let (_broker, host, mut client) = start(&["restart"]).await?;
    client.subscribe(&format!("{HOST}/#"), 1).await?;
    let restart = || request("restart", &json!({"service": "it"}));
    for topic in ["miqro/house/info", "miqro/house/request/restart", "$SYS/x"] {
        client.send(restart().with(answered_on(topic, "1"))).await?;
    }
    host.output()
        .says(
            0,
            "answers may not go to its response topic \"miqro/house/info\"",
        )
        .await?;

    // carried out after them, and the only one
    let answer = ask(&mut client, "restart", r#"{"service":"it"}"#).await?;
    assert!(answer["ok"].is_string(), "{answer}");
    host.output().says(0, "restart of \"it\"").await?;
    assert_eq!(host.output().count("restart of \"it\""), 1);
    for message in client.pending().await? {
        if message.topic.starts_with(&format!("{HOST}/request/")) {
            assert_eq!(message.json()?, json!({"service": "it"}));
        } else {
            assert!(!message.text().contains("\"ok\""), "{message:?}");
        }
    }

    Ok(())
}

#[tokio::test]
async fn flood_of_requests_does_not_hold_up_services() -> Result<()> {
    let (_broker, host, mut client) = start(&["services"]).await?;
    client.subscribe("service/it/out", 1).await?;
    let mut attacker = host.client().await?;
    for round in 0..20 {
        for _ in 0..200 {
            attacker
                .post(request("services", &json!({})).qos(0))
                .await?;
        }
        client.publish("service/it/in", round.to_string()).await?;
        assert_eq!(client.next().await?.text(), round.to_string());
    }

    host.output().says(0, "dropped: more than").await?;

    // requests are answered again once there are fewer
    loop {
        let message = request("services", &json!({"transaction": 1}));
        client.subscribe(&format!("{HOST}/response/#"), 1).await?;
        client.send(message).await?;
        let answers = client.pending().await?;
        if answers.iter().any(|one| one.text().contains("transaction")) {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn slow_command_holds_up_neither_services_nor_answers() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let limits = json!({"call": "1h", "attempts": 1});
    let host = controlled(Host::on(broker.port()), &["restart", "services"])
        .service("slow", "hostile", json!({ "limits": limits }))
        .start()
        .await?;
    ready(&host).await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    client.subscribe("test/answer", 1).await?;
    client.publish("service/slow/do", "sleep").await?;

    let answered = || answered_on("test/answer", "1");
    let restart = request("restart", &json!({"service": "slow"}));
    client.send(restart.with(answered())).await?;
    for _ in 0..17 {
        let services = request("services", &json!({}));
        client.send(services.with(answered())).await?;
    }
    let busy = client.expect("test/answer").await?.json()?;
    assert_eq!(busy["error"], "16 requests wait already; try again later");
    client.publish("service/it/in", "meanwhile").await?;
    assert_eq!(client.expect("service/it/out").await?.text(), "meanwhile");
    Ok(())
}

#[tokio::test]
async fn kept_versions_are_deployed_where_components_are_signed() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let key = KeyPair::generate_unencrypted_keypair()?;
    let sign = |bytes: &[u8]| -> Result<String> {
        Ok(minisign::sign(None, &key.sk, bytes, Some("a test"), None)?.to_string())
    };
    let first = guests::swap(2)?;
    let host = Host::on(broker.port())
        .broker("client_id", json!("house"))
        .top("trust", json!([key.pk.to_base64()]))
        .top("mqtt_control", json!({"commands": ["deploy", "history"]}))
        .service("probe", "contract-swap", json!({}))
        .file(
            "probe.wasm.minisig",
            sign(&guests::component("contract-swap")?)?,
        )
        .start()
        .await?;
    ready(&host).await?;

    let signature = host.folder().join("probe.wasm.minisig");
    std::fs::write(&signature, sign(&first)?)?;
    host.replace_and_wait("probe", &first, "takes over").await?;
    let mut client = host.client().await?;
    let history = ask(&mut client, "history", r#"{"service":"probe"}"#).await?;
    let kept = history["ok"]["kept"][0]
        .as_str()
        .context("nothing is kept")?;
    let deploy = json!({"service": "probe", "version": kept}).to_string();
    let answer = ask(&mut client, "deploy", deploy).await?;
    assert!(answer["ok"].is_string(), "{answer}");
    let history = ask(&mut client, "history", r#"{"service":"probe"}"#).await?;
    assert_eq!(history["ok"]["running"], kept);
    Ok(())
}

#[tokio::test]
async fn without_the_section_there_is_no_control() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("miqro/#", 1).await?;
    client.subscribe("service/it/out", 1).await?;
    let host = Host::on(broker.port())
        .broker("client_id", json!("house"))
        .service("it", "relay", json!({}))
        .start()
        .await?;
    client
        .send(request("restart", &json!({"service": "it"})))
        .await?;
    client.publish("service/it/in", "one").await?;
    assert_eq!(client.next().await?.topic, "miqro/house/request/restart");
    assert_eq!(client.next().await?.topic, "service/it/out");
    assert_eq!(host.output().count("restart of"), 0);
    Ok(())
}
