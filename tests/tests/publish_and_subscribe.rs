//! `miqro-host pub` and `miqro-host sub` as a person or a script uses them, with mosquitto.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use miqro_tests::mosquitto::Setup;
use miqro_tests::process::Process;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties, place};
use serde_json::json;

/// A command in a folder without a configuration.
fn host(port: u16, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(place::host()?);
    command
        .arg(arguments[0])
        .args(["--port", &port.to_string()])
        .args(&arguments[1..])
        .current_dir("/");
    Ok(command)
}

fn run(port: u16, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = host(port, arguments)?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input)?;
    drop(stdin);
    Ok(child.wait_with_output()?)
}

fn succeeds(port: u16, arguments: &[&str], input: &[u8]) -> Result<String> {
    let output = run(port, arguments, input)?;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn fails(port: u16, arguments: &[&str]) -> Result<String> {
    let output = run(port, arguments, b"")?;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

#[tokio::test]
async fn published_messages_arrive_with_all_properties() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("#", 2).await?;
    for qos in 0..=2 {
        succeeds(
            broker.port(),
            &["pub", "-q", &qos.to_string(), "a/b", "hello"],
            b"",
        )?;
        assert_eq!(client.next().await?, Message::new("a/b", "hello").qos(qos));
    }

    let options = [
        "-D",
        "k=1",
        "-D",
        "k=2=3",
        "--response-topic",
        "r",
        "--correlation-data",
        "c",
        "--content-type",
        "t",
    ];

    succeeds(
        broker.port(),
        &[&["pub", "a", "x"], &options[..]].concat(),
        b"",
    )?;
    let properties = Properties {
        response_topic: Some("r".into()),
        correlation_data: Some("c".into()),
        content_type: Some("t".into()),
        user_properties: vec![("k".into(), "1".into()), ("k".into(), "2=3".into())],
        ..Properties::default()
    };

    assert_eq!(client.next().await?.properties, properties);
    Ok(())
}

#[tokio::test]
async fn a_payload_as_large_as_the_limit_goes_through_the_embedded_broker() -> Result<()> {
    for (section, bytes) in [
        (json!({}), 1 << 20),
        (json!({ "limits": { "payload": "1500KiB" } }), 1500 << 10),
    ] {
        let host = Host::embedded()?
            .service("echo", "echo", section)
            .start()
            .await?;
        let mut client = Client::connect(host.port()).await?;
        client.subscribe("service/echo/echo_response", 1).await?;

        let payload = vec![b'x'; bytes];
        client.publish("service/echo/echo", payload.clone()).await?;
        let answer = client.expect("service/echo/echo_response").await?;
        assert!(answer.payload == payload, "{} bytes", answer.payload.len());
    }

    Ok(())
}

#[tokio::test]
async fn payloads_come_from_everywhere() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("#", 2).await?;
    let sources: [(&[&str], &[u8], &[&str]); 4] = [
        (&["pub", "a", "--empty"], b"", &[""]),
        (&["pub", "a", "--file", "-"], b"x\ny\n", &["x\ny\n"]),
        (
            &["pub", "a", "-q", "1", "--stdin-lines"],
            b"one\ntwo\r\n\nfour",
            &["one", "two", "", "four"],
        ),
        (
            &["pub", "a", "--protocol", "3.1.1", "-q", "2", "text"],
            b"",
            &["text"],
        ),
    ];

    for (arguments, input, payloads) in sources {
        succeeds(broker.port(), arguments, input)?;
        for payload in payloads {
            assert_eq!(
                client.next().await?.payload,
                payload.as_bytes(),
                "{arguments:?}"
            );
        }
    }

    Ok(())
}

#[tokio::test]
async fn more_lines_than_the_outbox_holds_are_all_acknowledged() -> Result<()> {
    const LINES: usize = 20_000;
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("last", 1).await?;
    let lines: Vec<u8> = (0..LINES)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect();
    succeeds(
        broker.port(),
        &["pub", "-q", "1", "last", "-r", "--stdin-lines"],
        &lines,
    )?;
    // All were acknowledged when the program ended, so the last one is the retained one.
    let shown = succeeds(broker.port(), &["sub", "-n", "1", "last"], b"")?;
    assert_eq!(shown, format!("{}\n", LINES - 1));
    Ok(())
}

#[tokio::test]
async fn an_absent_broker_is_an_error_without_long_wait() -> Result<()> {
    let port = place::free_port()?;
    for command in [&["pub", "a", "x"][..], &["sub", "a"]] {
        let error = fails(port, command)?;
        assert!(
            error.contains(&format!("cannot connect to 127.0.0.1:{port}: ")),
            "{error}"
        );
        assert!(error.contains("refused"), "{error}");
    }

    Ok(())
}

#[tokio::test]
async fn a_broker_that_refuses_is_an_error_that_says_why() -> Result<()> {
    let users = vec![("alice".to_owned(), "secret".to_owned())];
    let broker = Mosquitto::with(&Setup {
        users,
        ..Setup::default()
    })
    .await?;
    for command in [
        &["pub", "a", "x"][..],
        &["pub", "a", "x", "-u", "alice", "--password", "wrong"],
        &["sub", "a"],
    ] {
        let error = fails(broker.port(), command)?;
        assert!(error.contains("refused the connection"), "{error}");
    }

    succeeds(
        broker.port(),
        &[
            "pub",
            "-q",
            "1",
            "a",
            "x",
            "-u",
            "alice",
            "--password",
            "secret",
        ],
        b"",
    )?;

    let url = format!("mqtt://alice:secret@127.0.0.1:{}", broker.port());
    let output = Command::new(place::host()?)
        .args(["pub", "-q", "1", "a", "x", "--url", &url])
        .current_dir("/")
        .output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_that_the_broker_does_not_take_is_an_error() -> Result<()> {
    let broker = Mosquitto::with(&Setup {
        lines: vec!["max_packet_size 1000".to_owned()],
        ..Setup::default()
    })
    .await?;
    succeeds(
        broker.port(),
        &["pub", "-q", "1", "a", &"x".repeat(900)],
        b"",
    )?;
    let error = fails(broker.port(), &["pub", "-q", "1", "a", &"x".repeat(1000)])?;
    assert!(
        error.contains("the message on a was not sent")
            && error.contains("did not take everything"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn invalid_arguments_are_refused_before_connecting() -> Result<()> {
    let port = place::free_port()?;
    for arguments in [
        &["pub", "a/#", "x"][..],
        &["pub", "a"],
        &["pub", "a", "x", "--empty"],
        &["pub", "a", "x", "-q", "3"],
        &["sub"],
        &["sub", "a#"],
        &["sub", "a", "-F", "%y"],
        &["sub", "a", "-n", "0"],
    ] {
        let output = run(port, arguments, b"")?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }

    let error = fails(port, &["pub", "a", "x", "--protocol", "3.1.1", "-D", "k=v"])?;
    assert!(error.contains("properties need MQTT 5"), "{error}");
    Ok(())
}

/// A subscriber that has subscribed: it has shown the retained message.
async fn subscriber(broker: &Mosquitto, arguments: &[&str]) -> Result<Process> {
    succeeds(
        broker.port(),
        &["pub", "-q", "1", "-r", "ready", "ready"],
        b"",
    )?;
    let process = Process::start(&mut host(broker.port(), &[arguments, &["ready"]].concat())?)?;
    process
        .output()
        .wait_for("the retained message", |line| line.contains("ready"))
        .await?;
    Ok(process)
}

#[tokio::test]
async fn messages_are_shown_as_they_come_and_counted() -> Result<()> {
    let broker = Mosquitto::start().await?;
    for qos in ["0", "1", "2"] {
        let mut sub = subscriber(&broker, &["sub", "-v", "-n", "3", "-q", qos, "a/+"]).await?;
        for payload in ["x", "y"] {
            succeeds(broker.port(), &["pub", "-q", qos, "a/b", payload], b"")?;
            sub.output()
                .wait_for("the message", |line| line == format!("a/b {payload}"))
                .await?;
        }

        assert!(sub.ended().await?.success());
    }

    Ok(())
}

#[tokio::test]
async fn sub_ends_with_success_on_a_signal() -> Result<()> {
    let broker = Mosquitto::start().await?;
    for signal in ["TERM", "INT"] {
        let mut sub = subscriber(&broker, &["sub", "a"]).await?;
        sub.signal(signal)?;
        assert!(sub.ended().await?.success(), "{signal}");
    }
    Ok(())
}

#[tokio::test]
async fn retained_messages_can_be_the_only_ones_or_none() -> Result<()> {
    let broker = Mosquitto::start().await?;
    succeeds(broker.port(), &["pub", "-q", "1", "-r", "a", "kept"], b"")?;
    assert_eq!(
        succeeds(
            broker.port(),
            &["sub", "--retained-only", "-W", "0.5", "a"],
            b""
        )?,
        "kept\n"
    );

    assert_eq!(
        succeeds(
            broker.port(),
            &["sub", "--no-retained", "-W", "0.5", "a"],
            b""
        )?,
        ""
    );

    let error = fails(broker.port(), &["sub", "-n", "2", "-W", "0.5", "a"])?;
    assert!(error.contains("1 of 2 messages arrived in time"), "{error}");
    Ok(())
}

#[tokio::test]
async fn json_shows_properties() -> Result<()> {
    let broker = Mosquitto::start().await?;
    succeeds(
        broker.port(),
        &[
            "pub",
            "-q",
            "1",
            "-r",
            "a",
            "x",
            "-D",
            "k=v",
            "--content-type",
            "t",
        ],
        b"",
    )?;

    let line = succeeds(
        broker.port(),
        &["sub", "--json", "-n", "1", "-q", "1", "a"],
        b"",
    )?;
    let expected = r#"{"topic":"a","payload":"x","qos":1,"retain":true,"properties":{"content_type":"t","user_properties":[["k","v"]]}}"#;
    assert_eq!(line.trim_end(), expected);
    Ok(())
}
