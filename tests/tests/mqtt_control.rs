//! Control over MQTT: requests and their answers in both protocol versions, retained states, and clients that mean harm.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use minisign::KeyPair;
use miqro_tests::client::Options;
use miqro_tests::host::Setup;
use miqro_tests::process::run_to_end;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties, Version, guests, place};
use serde_json::{Value, json};

/// The host's topics.
const HOST: &str = "miqro/house";

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

/// A host with the client identifier `house`, the service `it`, and these commands.
fn controlled(setup: Setup, commands: &[&str]) -> Setup {
    setup
        .broker("client_id", json!("house"))
        .top(
            "mqtt_control",
            json!({"commands": commands, "interval": "1s"}),
        )
        .service("it", "relay", json!({}))
}

async fn start(commands: &[&str]) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let host = controlled(Host::on(broker.port()), commands)
        .start()
        .await?;
    ready(&host).await?;
    let client = host.client().await?;
    Ok((broker, host, client))
}

/// Waits until the host has subscribed to requests: it publishes its states afterwards.
async fn ready(host: &Host) -> Result<()> {
    let mut client = host.client().await?;
    client.subscribe(&format!("{HOST}/info"), 1).await?;
    client
        .expect(&format!("{HOST}/info"))
        .await
        .with_context(|| host.output().told("no info"))?;
    Ok(())
}

fn request(command: &str, payload: &Value) -> Message {
    Message::new(format!("{HOST}/request/{command}"), payload.to_string())
}

fn answered_on(topic: &str, correlation: &'static str) -> Properties {
    Properties {
        response_topic: Some(topic.to_owned()),
        correlation_data: Some(correlation.into()),
        ..Properties::default()
    }
}

/// Sends a request with a response topic, and returns the answer.
async fn ask(client: &mut Client, command: &str, payload: impl Into<Vec<u8>>) -> Result<Value> {
    client.subscribe("test/answer", 1).await?;
    let message = Message::new(format!("{HOST}/request/{command}"), payload.into());
    client
        .send(message.with(answered_on("test/answer", "7")))
        .await?;
    let answer = client.expect("test/answer").await?;
    assert_eq!(
        answer.properties.correlation_data.as_deref(),
        Some(&b"7"[..])
    );
    answer.json()
}

/// The next state of a service for which `wanted` holds.
async fn state(client: &mut Client, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    loop {
        let state = client
            .expect(&format!("{HOST}/services/{name}"))
            .await?
            .json()?;
        if wanted(&state) {
            return Ok(state);
        }
    }
}

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
async fn states_are_retained_and_follow_the_snapshot() -> Result<()> {
    let (_broker, host, mut client) = start(&["disable", "enable", "snapshot"]).await?;
    client.subscribe(&format!("{HOST}/services/+"), 1).await?;
    let first = client.next().await?;
    assert!(first.retain);
    let it = first.json()?;
    assert_eq!(
        (&it["name"], &it["status"]),
        (&json!("it"), &json!("running"))
    );
    assert_eq!(it["enabled"], true, "{it}");

    let answer = ask(&mut client, "disable", r#"{"service":"it"}"#).await?;
    assert!(answer["ok"].is_string(), "{answer}");
    state(&mut client, "it", |it| it["enabled"] == false).await?;
    ask(&mut client, "enable", r#"{"service":"it"}"#).await?;
    state(&mut client, "it", |it| it["enabled"] == true).await?;
    client.publish("service/it/in", "one").await?;
    let counted = state(&mut client, "it", |it| it["messages"]["calls"] == 1).await?;
    let snapshot = ask(&mut client, "snapshot", "").await?;
    assert_eq!(
        snapshot["ok"]["services"][0]["activity"]["messages"],
        counted["messages"]
    );

    let mut config = host.config();
    config["services"] = json!({"other": {"component": "it.wasm"}});
    host.reconfigured(&config).await?;
    while !client
        .expect(&format!("{HOST}/services/it"))
        .await?
        .payload
        .is_empty()
    {}
    state(&mut client, "other", |other| other["status"] == "running").await?;
    Ok(())
}

#[tokio::test]
async fn states_of_services_that_are_gone_after_a_restart_are_removed() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = controlled(Host::on(broker.port()), &[])
        .service("old", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe(&format!("{HOST}/services/+"), 1).await?;
    state(&mut client, "old", |old| old["status"] == "running").await?;
    host.stop().await?;
    drop(host);

    let _host = controlled(Host::on(broker.port()), &[]).start().await?;
    while !client
        .expect(&format!("{HOST}/services/old"))
        .await?
        .payload
        .is_empty()
    {}
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(&format!("{HOST}/services/+"), 1).await?;
    let topics = late.pending().await?;
    let topics: Vec<&str> = topics.iter().map(|one| one.topic.as_str()).collect();
    assert_eq!(topics, ["miqro/house/services/it"]);
    Ok(())
}

#[tokio::test]
async fn states_come_back_when_the_broker_has_lost_them() -> Result<()> {
    let (mut broker, _host, client) = start(&[]).await?;
    broker.kill()?;
    client.rest().await?;
    broker.restart().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe(&format!("{HOST}/#"), 1).await?;
    client.expect(&format!("{HOST}/services/it")).await?;
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(&format!("{HOST}/online"), 1).await?;
    assert_eq!(late.expect(&format!("{HOST}/online")).await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn host_that_is_gone_is_offline() -> Result<()> {
    let (_broker, mut host, mut client) = start(&[]).await?;
    let online = format!("{HOST}/online");
    client.subscribe(&online, 1).await?;
    client.subscribe("service/it/online", 1).await?;
    assert_eq!(
        client.expect(&online).await?,
        Message::new(&online, "1").retained()
    );
    host.stop().await?;
    assert_eq!(client.expect(&online).await?.text(), "0");

    host.restart()?;
    assert_eq!(client.expect(&online).await?.text(), "1");
    // its "0" of the stop may come first
    while client.expect("service/it/online").await?.text() != "1" {}
    host.kill()?;
    // each has a will of its own
    let gone = [client.next().await?, client.next().await?];
    let mut topics = gone.each_ref().map(|one| (one.topic.as_str(), one.text()));
    topics.sort();
    let zero = || "0".to_owned();
    assert_eq!(
        topics,
        [(online.as_str(), zero()), ("service/it/online", zero())]
    );
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
