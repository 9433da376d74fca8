//! The Python originals' own echo examples next to ours on one mosquitto: the same traffic.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::process::Process;
use miqro_tests::{Client, Deadline, Host, Message, Mosquitto, place};
use serde_json::json;
use tempfile::TempDir;

/// Payloads and quality of service by topic below the base topic, each once, and the retained messages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traffic {
    live: BTreeMap<String, Vec<(String, u8)>>,
    kept: BTreeMap<String, String>,
}

impl Traffic {
    fn note(&mut self, base: &str, message: &Message) {
        let topic = message
            .topic
            .strip_prefix(base)
            .unwrap_or(&message.topic)
            .to_owned();
        if message.retain {
            self.kept.insert(topic, message.text());
        } else {
            let seen = self.live.entry(topic).or_default();
            if !seen.iter().any(|(payload, _)| *payload == message.text()) {
                seen.push((message.text(), message.qos));
            }
        }
    }
}

fn original(script: &str, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(place::original_python()?);
    Process::start(
        command
            .arg(place::project().join("tests/originals").join(script))
            .args(arguments),
    )
}

/// Records `client` until each of `topics` below `base` was seen, and asks the question once a second meanwhile: the originals say that
/// they are online before they have subscribed.
async fn record(
    client: &mut Client,
    base: &str,
    topics: &[&str],
    question: Option<&Message>,
    traffic: &mut Traffic,
) -> Result<()> {
    let mut missing: Vec<String> = topics
        .iter()
        .map(|topic| format!("{base}{topic}"))
        .collect();
    let recorded = async {
        let mut again = tokio::time::interval(Duration::from_secs(1));
        while !missing.is_empty() {
            tokio::select! {
                _ = again.tick() => if let Some(question) = question {
                    client.send(question.clone()).await?;
                },
                message = client.next() => {
                    let message = message?;
                    missing.retain(|topic| *topic != message.topic);
                    traffic.note(base, &message);
                }
            }
        }
        anyhow::Ok(())
    };
    let recorded = Deadline::new().wait("the traffic", recorded).await;

    recorded.with_context(|| format!("missing: {missing:?}"))?
}

/// Retained messages below `base`.
async fn kept(port: u16, base: &str, traffic: &mut Traffic) -> Result<()> {
    let mut late = Client::connect(port).await?;
    late.subscribe(&format!("{base}#"), 1).await?;
    late.pending()
        .await?
        .iter()
        .for_each(|message| traffic.note(base, message));
    Ok(())
}

/// Everything that an echo service of MIQRO says from its start to its end. `end` stops it.
async fn life(
    port: u16,
    name: &str,
    client: &mut Client,
    end: impl AsyncFnOnce() -> Result<()>,
) -> Result<Traffic> {
    let base = format!("service/{name}/");
    let mut traffic = Traffic::default();
    let question = Message::new(format!("{base}echo"), "Grüezi \u{1f600}");
    let answers = ["echo_response", "foo", "foofoo"];
    record(client, &base, &answers, Some(&question), &mut traffic).await?;
    kept(port, &base, &mut traffic).await?;
    assert_eq!(
        traffic.kept,
        BTreeMap::from([("online".to_owned(), "1".to_owned())]),
        "{name}"
    );
    end().await?;
    record(client, &base, &["online"], None, &mut traffic).await?;
    kept(port, &base, &mut traffic).await?;
    // whether the `1` came while somebody listened is chance
    traffic
        .live
        .entry("online".to_owned())
        .or_default()
        .retain(|(payload, _)| payload == "0");
    Ok(traffic)
}

#[tokio::test]
async fn miqros_echo_and_ours_say_the_same() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let port = broker.port();
    let folder = TempDir::new()?;
    let config = folder.path().join("miqro.yml");
    let section = json!({ "custom_value": "from the file" });
    let broker_section = json!({ "host": "127.0.0.1", "port": port, "keepalive": 5 });
    let text = json!({ "broker": broker_section, "services": { "original": section } });
    std::fs::write(&config, text.to_string())?;
    let mut client = Client::connect(port).await?;
    client.subscribe("service/original/#", 2).await?;
    let process = original("miqro_echo.py", &[&config.display().to_string()])?;
    client.expect("service/original/online").await?;
    let theirs = life(port, "original", &mut client, async || {
        process.signal("KILL")
    })
    .await?;

    let mut ours = Vec::new();
    // with the contract alone, and with the SDK
    for guest in ["echo", "echo-sdk"] {
        let mut host = Host::on(port)
            .service(guest, guest, section.clone())
            .start()
            .await?;
        let mut client = Client::connect(port).await?;
        client.subscribe(&format!("service/{guest}/#"), 2).await?;
        ours.push(life(port, guest, &mut client, async || host.kill()).await?);
    }

    let mut theirs = theirs;
    // our own status is acknowledged; MIQRO's is not
    for traffic in ours.iter_mut().chain([&mut theirs]) {
        for (_, qos) in traffic.live.get_mut("online").into_iter().flatten() {
            *qos = 0;
        }
        // the question itself
        traffic.live.remove("echo");
    }

    for ours in ours {
        assert_eq!(ours, theirs);
    }
    assert_eq!(
        theirs.live["foofoo"][0].0,
        r#"{"answer": 42.01, "config_demo": "from the file"}"#
    );
    Ok(())
}

/// The examples that port to the Python SDK by their imports are services of MIQRO, as they stand. A scenario has the same values.
#[tokio::test]
async fn an_example_for_python_runs_on_miqro() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let folder = TempDir::new()?;
    let config = folder.path().join("miqro.yml").display().to_string();
    let broker_section = json!({ "host": "127.0.0.1", "port": broker.port(), "keepalive": 5 });
    let section = json!({ "speed_calibration_mult": 1.02 });
    let text = json!({ "broker": broker_section, "services": { "canbus": section } });
    std::fs::write(&config, text.to_string())?;

    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/canbus/speed", 1).await?;
    let script = "../../sdk/python/examples/canbus.py";
    let process = original(script, &["-c", &config])?;

    let question = Message::new("service/canbus/frame/208", "1f40 1388 00").qos(0);
    let speed = asked_until_answered(&mut client, &question).await?;
    assert_eq!(speed.text(), "51.0");
    process.signal("KILL")?;

    let scenario = place::project().join("sdk/python/examples/canbus.yml");
    let scenario = std::fs::read_to_string(scenario)?;
    assert!(scenario.contains("{topic: speed, payload: 51.0}"));
    Ok(())
}

#[tokio::test]
async fn the_echo_of_mqttservice_and_ours_say_the_same() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let folder = TempDir::new()?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let config =
        json!({ "mqtt": { "broker": "127.0.0.1", "port": broker.port(), "basetopic": "house" } });
    std::fs::write(file("echo.conf"), config.to_string())?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("house/echoservice/reply", 2).await?;

    let arguments = [
        "-f",
        "--config",
        &file("echo.conf"),
        "--logfile",
        &file("log"),
        "--pidfile",
        &file("pid"),
    ];

    let process = original("mqttservice_echo.py", &arguments)?;
    let theirs = asked(&mut client).await?;
    process.signal("KILL")?;

    let component = miqro_tests::guests::component("echoservice")?;
    std::fs::write(file("echoservice.wasm"), component)?;
    let mut command = miqro_tests::host::command()?;
    command.args([
        "run",
        &file("echoservice.wasm"),
        "--config",
        &file("echo.conf"),
    ]);

    let _host = Process::start(command.env("XDG_STATE_HOME", folder.path()))?;
    let ours = asked(&mut client).await?;
    assert_eq!(ours, theirs);
    assert_eq!(
        theirs.text(),
        r#"{"some": "payload", "will": "be serialized", "to": "JSON from dict"}"#
    );
    Ok(())
}

/// The answer to a question, asked again until the service is there.
async fn asked(client: &mut Client) -> Result<Message> {
    let question = Message::new("house/echoservice/echo", "{}").qos(0);
    asked_until_answered(client, &question).await
}

async fn asked_until_answered(client: &mut Client, question: &Message) -> Result<Message> {
    let answered = async {
        loop {
            client.send(question.clone()).await?;
            let patience = Duration::from_millis(200);
            if let Ok(answer) = tokio::time::timeout(patience, client.next()).await {
                let answer = answer?;
                // repeated questions are answered again
                client.pending().await?;
                return anyhow::Ok(answer);
            }
        }
    };

    Deadline::new().wait("an answer", answered).await?
}
