//! Recordings: the calls of a running service in a file, and another build that is run on them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result};
use miqro_tests::process::{Process, Said};
use miqro_tests::{Client, Host, Message, Mosquitto, guests, host, probe};
use serde_json::{Value, json};

const LARGE: usize = 256 * 1024;

/// Starts `miqro-host record`, and waits until it records.
async fn record(host: &Host, arguments: &[&str]) -> Result<Process> {
    let mut command = host::command_in(host.folder())?;
    let process = Process::start(command.arg("record").args(arguments))?;
    process.output().says(0, "records to").await?;
    Ok(process)
}

/// Runs `component` on a recording.
async fn replay(host: &Host, component: &[u8], recording: &str) -> Result<Said> {
    std::fs::write(host.folder().join("build.wasm"), component)?;
    let arguments = [
        "test",
        "build.wasm",
        "--replay",
        recording,
        "--junit",
        "out.xml",
    ];
    host.run(&arguments).await
}

fn lines(host: &Host, recording: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(host.folder().join(recording))?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// A service that counts in its memory and in its state.
async fn probe(broker: &Mosquitto, section: Value) -> Result<(Host, Client)> {
    probe::start(Host::on(broker.port()), section).await
}

async fn work(client: &mut Client, payload: &str) -> Result<Message> {
    client
        .publish("service/probe/work", payload.to_owned())
        .await?;
    client.expect("service/probe/worked").await
}

#[tokio::test]
async fn another_build_shows_what_it_would_have_published() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (host, mut client) = probe(&broker, json!({})).await?;
    for payload in ["1", "2"] {
        work(&mut client, payload).await?;
    }

    let mut recorder = record(&host, &["probe", "--count", "2"]).await?;
    assert_eq!(work(&mut client, "3").await?.json()?["memory"], 3);
    work(&mut client, "4").await?;
    assert!(recorder.ended().await?.success());

    let recorded = lines(&host, "probe.jsonl")?;
    assert_eq!(recorded[0]["state"]["count"], "2", "{}", recorded[0]);
    assert_eq!(recorded[0]["saved"], "2");
    assert_eq!(recorded[1]["message"]["payload"], "3", "{}", recorded[1]);
    assert_eq!(recorded[3], json!({"end": "count"}));
    let mode = host.folder().join("probe.jsonl").metadata()?.permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    let same = replay(&host, &guests::swap(1)?, "probe.jsonl").await?;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(
        same.out.contains("does the same in 2 recorded calls"),
        "{same:?}"
    );
    assert!(!same.out.contains("note:"), "{same:?}");

    let other = replay(&host, &guests::swap(2)?, "probe.jsonl").await?;
    assert_eq!(other.code, Some(1), "{other:?}");
    let difference = [
        "call 1, message service/probe/work:",
        "publishes:",
        r#"- service/probe/worked "{\"version\":\"version-0000000001\",\"memory\":3"#,
        r#"+ service/probe/worked "{\"version\":\"version-0000000002\",\"memory\":3"#,
        "call 2, message service/probe/work:",
    ];
    for line in difference {
        assert!(other.out.contains(line), "no {line} in {}", other.out);
    }
    let junit = std::fs::read_to_string(host.folder().join("out.xml"))?;
    assert!(junit.contains("failures=\"1\"") && junit.contains("call 1, message"));

    // a recording never replaces a file
    let again = host.run(&["record", "probe"]).await?;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("exists"), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn clocks_and_random_numbers_come_again() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("wasi", "contract-wasi", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/wasi/reached", 1).await?;

    let arguments = ["wasi", "--restart", "-o", "r.jsonl"];
    let mut recorder = record(&host, &arguments).await?;
    let mut reached = Vec::new();
    for command in ["clock", "random", "clock", "random"] {
        client.publish("service/wasi/try", command).await?;
        reached.push(client.expect("service/wasi/reached").await?.text());
    }
    assert!(reached[0] != reached[2] && reached[1] != reached[3]);
    recorder.signal("INT")?;
    assert!(recorder.ended().await?.success());

    let recorded = lines(&host, "r.jsonl")?;
    assert_eq!(recorded[0]["begin"], "start");
    assert_eq!(recorded[1]["call"], "start");
    assert_eq!(recorded.last(), Some(&json!({"end": "stopped"})));

    let component = guests::component("contract-wasi")?;
    let same = replay(&host, &component, "r.jsonl").await?;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(!same.out.contains("note:"), "{same:?}");

    // without them, the guest gets others that are the same each time
    let mut text = String::new();
    for line in &recorded[..recorded.len() - 1] {
        let mut line = line.clone();
        if line["call"] == "message" {
            line["inputs"] = json!({});
        }
        text += &format!("{line}\n");
    }
    std::fs::write(host.folder().join("bare.jsonl"), text)?;
    let first = replay(&host, &component, "bare.jsonl").await?;
    assert_eq!(first.code, Some(1), "{first:?}");
    for note in [
        "note: the recording is cut off",
        "random numbers more than recorded",
        "readings of the wall clock more than recorded",
    ] {
        assert!(first.out.contains(note), "no {note} in {}", first.out);
    }
    let second = replay(&host, &component, "bare.jsonl").await?;
    let differences = |said: &Said| -> Vec<String> {
        let lines = said.out.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with(['-', '+']));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(differences(&first), differences(&second));
    assert!(!differences(&first).is_empty());
    Ok(())
}

#[tokio::test]
async fn answers_tokens_and_outcomes_come_again() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("full", "contract-full", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    for filter in ["response", "delivered", "token", "refused", "asked"] {
        client
            .subscribe(&format!("service/full/{filter}"), 1)
            .await?;
    }

    let mut recorder = record(&host, &["full"]).await?;
    let command = "service/full/command";
    let request = json!({"request": "asked", "payload": "?"});
    client.publish(command, request.to_string()).await?;
    let asked = client.expect("service/full/asked").await?;
    let topic = asked.properties.response_topic.context("no topic")?;
    let mut answer = Message::new(topic, "the answer");
    answer.properties.correlation_data = asked.properties.correlation_data;
    client.send(answer).await?;
    let response = client.expect("service/full/response").await?;
    assert!(response.text().contains("the answer"), "{response:?}");

    let publish = json!({"publish": "x", "payload": "y", "qos": 1});
    client.publish(command, publish.to_string()).await?;
    client.expect("service/full/delivered").await?;
    recorder.signal("INT")?;
    assert!(recorder.ended().await?.success());

    let component = guests::component("contract-full")?;
    let same = replay(&host, &component, "full.jsonl").await?;
    assert_eq!(same.code, Some(0), "{same:?}");

    // another answer is another call
    let text = std::fs::read_to_string(host.folder().join("full.jsonl"))?;
    assert!(text.contains(r#""call":"delivered""#), "{text}");
    let text = text.replacen(r#""payload":"the answer""#, r#""payload":"another""#, 1);
    std::fs::write(host.folder().join("other.jsonl"), text)?;
    let other = replay(&host, &component, "other.jsonl").await?;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.out.contains("another"), "{other:?}");
    Ok(())
}

#[tokio::test]
async fn calls_and_properties_of_typed_services_come_again() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let calls = json!({"call": [{"interface": "io:world/hello", "deadline": "10s"}]});
    let host = Host::on(broker.port())
        .service("hello", "hello", json!({}))
        .service("hello-client", "hello-client", calls)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/hello-client/+", 1).await?;

    let mut recorders = Vec::new();
    for name in ["hello", "hello-client"] {
        recorders.push(record(&host, &[name]).await?);
    }
    client.publish("service/hello-client/say", "hi").await?;
    client.expect("service/hello-client/said").await?;
    client.publish("service/hello-client/set", "kept").await?;
    // the value that the guest reads changes when it arrives there, too
    client
        .ask_until(
            "service/hello-client/get",
            "service/hello-client/last",
            "kept",
        )
        .await?;

    for (recorder, name) in recorders.iter_mut().zip(["hello", "hello-client"]) {
        recorder.signal("INT")?;
        assert!(recorder.ended().await?.success());
        let recording = format!("{name}.jsonl");
        let same = replay(&host, &guests::component(name)?, &recording).await?;
        assert_eq!(same.code, Some(0), "{same:?}");
        assert!(!same.out.contains("more than recorded"), "{same:?}");
    }

    let text = std::fs::read_to_string(host.folder().join("hello-client.jsonl"))?;
    assert!(text.contains(r#""requests":"#) && text.contains(r#""properties":"#));
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_becomes_a_recording() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let section = json!({
        "broken": {"version-0000000001": "error"},
        "limits": {"attempts": 1},
    });
    let (host, mut client) = probe(&broker, section).await?;
    client.subscribe("service/probe/dead-letter", 1).await?;
    work(&mut client, "1").await?;
    client.publish("service/probe/work", "fail").await?;
    client.expect("service/probe/dead-letter").await?;

    let list = host.tell(&["replay", "--list", "--json", "probe"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    let letter = list[0]["id"].as_str().context("no id")?;
    let arguments = ["record", "probe", "--dead-letter", letter];
    host.tell(&arguments).await?;

    let recorded = lines(&host, "probe.jsonl")?;
    assert_eq!(recorded.len(), 3, "{recorded:?}");
    assert_eq!(recorded[1]["message"]["payload"], "fail");
    assert_eq!(recorded[2], json!({"end": "dead-letter"}));

    let same = replay(&host, &guests::swap(1)?, "probe.jsonl").await?;
    assert_eq!(same.code, Some(0), "{same:?}");
    let mended = replay(&host, &guests::swap(2)?, "probe.jsonl").await?;
    assert_eq!(mended.code, Some(1), "{mended:?}");
    for line in ["error:", "broken", "+ service/probe/worked"] {
        assert!(mended.out.contains(line), "no {line} in {}", mended.out);
    }

    let arguments = ["record", "probe", "-o", "x", "--dead-letter", "77-0"];
    let unknown = host.run(&arguments).await?;
    assert!(unknown.err.contains("has no dead letter 77-0"));
    assert!(!host.folder().join("x").exists());
    Ok(())
}

#[tokio::test]
async fn a_recording_that_ends_early_says_why() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (host, mut client) = probe(&broker, json!({})).await?;

    let mut recorder = record(&host, &["probe"]).await?;
    let second = host.run(&["record", "probe", "-o", "second"]).await?;
    assert!(second.err.contains("is being recorded already"));
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    work(&mut client, "1").await?;
    assert_eq!(recorder.ended().await?.code(), Some(1));
    let said = recorder.output().told("the end");
    assert!(said.contains("another version"), "{said}");
    let recorded = lines(&host, "probe.jsonl")?;
    assert_eq!(recorded.last(), Some(&json!({"end": "replaced"})));

    let arguments = ["probe", "-o", "small", "--size", "2KiB"];
    let mut recorder = record(&host, &arguments).await?;
    work(&mut client, &"x".repeat(2048)).await?;
    assert_eq!(recorder.ended().await?.code(), Some(1));
    let recorded = lines(&host, "small")?;
    assert_eq!(recorded.last(), Some(&json!({"end": "size"})));

    // the service does not depend on the reader
    let mut recorder = record(&host, &["probe", "-o", "killed"]).await?;
    recorder.kill()?;
    for _ in 0..3 {
        work(&mut client, "1").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_that_is_too_slow_gets_the_end_and_delays_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/relay/out", 1).await?;

    let mut socket = UnixStream::connect(socket(&host)?)?;
    writeln!(socket, r#"{{"command":"record","service":"relay"}}"#)?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut header = String::new();
    reader.read_line(&mut header)?;
    assert!(header.starts_with(r#"{"ok":{"recording":1"#), "{header}");

    // in and out, this is more than may wait
    let payload = "x".repeat(LARGE);
    for _ in 0..48 {
        client.publish("service/relay/in", payload.clone()).await?;
        let out = client.expect("service/relay/out").await?;
        assert_eq!(out.payload.len(), LARGE);
    }

    let rest = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).map(|_| rest)
    });
    let rest = rest.await??;
    let last = rest.lines().last().context("nothing")?;
    assert_eq!(last, r#"{"end":"too-slow"}"#);
    assert!(rest.lines().count() < 48);
    Ok(())
}

/// The control socket of the host.
fn socket(host: &Host) -> Result<PathBuf> {
    let folder = host.folder().join("state/miqro-host");
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "sock") {
            return Ok(path);
        }
    }
    anyhow::bail!("there is no socket")
}
