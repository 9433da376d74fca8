//! Serving: calls, properties and signals, as clients of ApiGear and others see them.

use anyhow::{Result, ensure};
use bytes::Bytes;

use miqro_tests::{Client, Host, Message, Mosquitto, Properties, guests};
use serde_json::json;

use super::{MACHINE, call, error, invoke, machine, served};

#[tokio::test]
async fn answers_are_those_of_apigear_byte_for_byte() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let cases = [
        ("add", "[3, 4]", "7"),
        ("add", "[3,4]", "7"),
        ("nothing", "[]", "0"),
        ("reverse", r#"["aGVsbG8="]"#, r#""b2xsZWg=""#),
        ("divide", "[7, 2]", "3"),
    ];

    for (operation, arguments, expected) in cases {
        let answer = call(&mut client, operation, arguments).await?;
        assert_eq!(answer.text(), expected, "{operation}{arguments}");
        assert_eq!(
            answer.properties.correlation_data.as_deref(),
            Some(&b"7"[..])
        );
        assert!(answer.properties.user_properties.is_empty() && !answer.retain);
    }

    Ok(())
}

/// The reply topics and correlation data of Python, C++, Qt, Unreal and Rust.
#[tokio::test]
async fn every_peer_gets_its_answer_where_and_as_it_asked() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let rpc = format!("{MACHINE}/rpc");
    let peers: [(String, Option<&[u8]>, u8); 5] = [
        (format!("{rpc}/add/b'cli1'/result"), Some(&[200]), 2),
        (format!("{rpc}/add/cli1/result"), Some(b"57343"), 2),
        (
            format!("{rpc}/addcli1/result"),
            Some(&[0, 0, 0, 0, 0, 0, 0, 9]),
            2,
        ),
        (
            format!("{rpc}/add/cli2/result"),
            Some(b"6F9619FF-8B86-D011-B42D-00C04FC964FF"),
            1,
        ),
        (format!("apigear/{MACHINE}/op/add/resp"), None, 1),
    ];

    for (topic, correlation, qos) in peers {
        client.subscribe(&topic, 2).await?;
        let mut message = invoke("add", "[1, 2]", &topic, b"").qos(qos);
        message.properties.correlation_data = correlation.map(Bytes::copy_from_slice);
        client.send(message).await?;

        let answer = client.expect(&topic).await?;
        assert_eq!((answer.text().as_str(), answer.qos), ("3", qos), "{topic}");
        assert_eq!(
            answer.properties.correlation_data.as_deref(),
            correlation,
            "{topic}"
        );
    }

    Ok(())
}

/// Defect 3.4.1: the identifiers of calls had one byte.
#[tokio::test]
async fn three_hundred_calls_of_one_client_are_answered() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    for number in 0..300u32 {
        let correlation = number.to_string();
        let arguments = format!("[{number}, 1]");
        client
            .post(invoke(
                "add",
                &arguments,
                "answer/many",
                correlation.as_bytes(),
            ))
            .await?;
    }

    for number in 0..300u32 {
        let answer = client.expect("answer/many").await?;
        assert_eq!(answer.text(), (number + 1).to_string());
        let correlation = answer.properties.correlation_data;
        assert_eq!(correlation, Some(Bytes::from(number.to_string())));
    }

    Ok(())
}

#[tokio::test]
async fn values_of_every_type_pass_through_a_guest() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let value = json!({
        "yes": true, "tiny": -128, "small": 65535, "longNumber": i64::MIN, "big": u64::MAX,
        "single": 0.1, "double": 1.0e-300, "letter": "ß", "text": "Grüße \u{1f600}\n",
        "rawBytes": "AP+A", "words": ["a", ""], "pair": [255, "x"],
        "form": { "polygon": [[1, -2], [3, 4]] }, "tint": 2, "maybe": null, "nested": { "some": null },
        "outcome": { "err": "no" }, "allowed": ["read", "writeAll"],
    });

    let answer = call(&mut client, "echo", &json!([value]).to_string()).await?;
    assert_eq!(error(&answer), ("", ""));
    assert_eq!(answer.json()?, value);

    let mut other = value.clone();
    other["form"] = json!("empty");
    other["tint"] = json!("darkBlue");
    other["nested"] = json!({ "some": 7 });
    other["outcome"] = json!({ "ok": 4_294_967_295u32 });
    let answer = call(&mut client, "echo", &json!([other]).to_string()).await?;
    other["tint"] = json!(2);
    assert_eq!(answer.json()?, other);
    Ok(())
}

#[tokio::test]
async fn malformed_calls_are_answered_with_an_error_and_never_reach_the_guest() -> Result<()> {
    let (_broker, host, mut client) = served().await?;
    let cases = [
        ("add", "{", "invalid-arguments"),
        ("add", "[1]", "invalid-arguments"),
        ("add", r#"[1, "two"]"#, "invalid-arguments"),
        ("add", "[1, 2147483648]", "invalid-arguments"),
        ("add", "null", "invalid-arguments"),
        ("reverse", r#"["%"]"#, "invalid-arguments"),
        ("sub", "[1, 2]", "unknown-member"),
        ("notFinite", "[]", "invalid-result"),
        ("divide", "[1, 0]", "error"),
    ];

    for (operation, arguments, code) in cases {
        let answer = call(&mut client, operation, arguments).await?;
        assert_eq!(error(&answer).0, code, "{operation}{arguments}");
        let payload = if code == "error" {
            r#""division by zero""#
        } else {
            "null"
        };
        assert_eq!(answer.text(), payload);
    }

    let answer = call(&mut client, "add", r#"[1, "two"]"#).await?;
    let text = "b: expected a whole number from -2147483648 to 2147483647, found \"two\"";
    assert_eq!(error(&answer).1, text);

    let mut late = Client::connect(host.port()).await?;
    late.subscribe(&format!("{MACHINE}/prop/count"), 1).await?;
    let count = late.expect(&format!("{MACHINE}/prop/count")).await?;
    assert_eq!(count.text(), "0", "no call has reached the guest");
    assert_eq!(call(&mut client, "add", "[1, 2]").await?.text(), "3");
    assert_eq!(host.output().count("started again"), 0);
    Ok(())
}

#[tokio::test]
async fn operation_that_returns_an_error_has_no_other_effect() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    client.subscribe("service/machine/#", 1).await?;
    let answer = call(&mut client, "divide", "[1, 0]").await?;
    assert_eq!(error(&answer), ("error", "division by zero"));

    let answer = call(&mut client, "divide", "[8, 2]").await?;
    assert_eq!(answer.text(), "4");
    let published = client.pending().await?;
    let published = published
        .iter()
        .filter(|it| it.topic == "service/machine/divided");
    assert!(published.count() <= 1, "the call that failed has published");
    Ok(())
}

/// Defect 3.4.3: an exception, malformed JSON or a call without properties ended the service's network thread.
#[tokio::test]
async fn failing_guest_is_answered_for_and_serves_on() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let answer = call(&mut client, "fail", "[]").await?;
    assert_eq!(error(&answer).0, "fault");
    assert_eq!(call(&mut client, "add", "[1, 2]").await?.text(), "3");

    client
        .send(Message::new(format!("{MACHINE}/rpc/add"), "[1, 2]"))
        .await?;
    for topic in [
        "rpc/add",
        "set/level",
        "set/none",
        "rpc/none",
        "sig/levelPassed",
        "prop/level",
    ] {
        client
            .send(Message::new(format!("{MACHINE}/{topic}"), "{broken"))
            .await?;
    }

    assert_eq!(call(&mut client, "add", "[2, 2]").await?.text(), "4");
    Ok(())
}

#[tokio::test]
async fn call_without_a_response_topic_is_run_and_not_answered() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let count = format!("{MACHINE}/prop/count");
    client.subscribe(&count, 1).await?;
    assert_eq!(client.expect(&count).await?.text(), "0");
    client
        .send(Message::new(format!("{MACHINE}/rpc/add"), "[1, 2]"))
        .await?;
    assert_eq!(client.expect(&count).await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn properties_are_retained_set_and_published_on_change() -> Result<()> {
    let (broker, host, mut client) = served().await?;
    let level = format!("{MACHINE}/prop/level");
    client.subscribe(&level, 1).await?;
    let first = client.expect(&level).await?;
    assert_eq!((first.text().as_str(), first.retain), ("0", true));

    let set = format!("{MACHINE}/set/level");
    client.publish(&set, "42").await?;
    assert_eq!(client.expect(&level).await?.text(), "42");
    let tint = format!("{MACHINE}/prop/tint");
    client.subscribe(&tint, 1).await?;
    assert_eq!(client.expect(&tint).await?.text(), "0");
    client.publish(&format!("{MACHINE}/set/tint"), "2").await?;
    assert_eq!(client.expect(&tint).await?.text(), "2");

    // refused, malformed and unchanged values publish nothing
    for (payload, code) in [("101", "error"), ("\"x\"", "invalid-arguments"), ("42", "")] {
        let mut message = invoke("", payload, "answer/x", b"1");
        message.topic.clone_from(&set);
        client.send(message).await?;
        let answer = client.expect("answer/x").await?;
        assert_eq!(error(&answer).0, code, "{payload}");
    }

    let mut message = invoke("", "7", "answer/x", b"1");
    message.topic = format!("{MACHINE}/set/count");
    client.send(message).await?;
    assert_eq!(error(&client.expect("answer/x").await?).0, "read-only");

    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(&level, 1).await?;
    let kept = late.expect(&level).await?;
    assert_eq!((kept.text().as_str(), kept.retain), ("42", true));
    drop(host);
    Ok(())
}

/// Properties are published again when the broker has lost them.
#[tokio::test]
async fn broker_that_forgets_gets_the_properties_again() -> Result<()> {
    let (mut broker, _host, client) = served().await?;
    drop(client);
    broker.stop().await?;
    broker.restart().await?;

    let mut client = Client::connect(broker.port()).await?;
    let level = format!("{MACHINE}/prop/level");
    client.subscribe(&level, 1).await?;
    assert_eq!(client.expect(&level).await?.text(), "0");
    client.subscribe("answer/#", 1).await?;
    assert_eq!(call(&mut client, "add", "[1, 2]").await?.text(), "3");
    Ok(())
}

#[tokio::test]
async fn signals_are_published_and_not_retained() -> Result<()> {
    let (_broker, _host, mut client) = served().await?;
    let signal = format!("{MACHINE}/sig/levelPassed");
    client.subscribe(&signal, 1).await?;
    client
        .send(Message::new(format!("{MACHINE}/rpc/emit"), "[2]"))
        .await?;
    for expected in [r#"[0, "passed"]"#, r#"[1, "passed"]"#] {
        let message = client.expect(&signal).await?;
        assert_eq!((message.text().as_str(), message.retain), (expected, false));
    }
    Ok(())
}

#[tokio::test]
async fn other_messages_of_a_typed_service_reach_handle() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = machine();
    section["subscriptions"] = json!(["in"]);
    let _host = Host::on(broker.port())
        .service("machine", "contract-typed-service", section)
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/machine/handled", 1).await?;
    client.publish("service/machine/in", "hello").await?;
    assert_eq!(
        client.expect("service/machine/handled").await?.text(),
        "hello"
    );
    Ok(())
}

#[tokio::test]
async fn names_and_answers_follow_the_configuration() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = machine();
    section["serve"] = json!([{
        "interface": "test:typed/machine", "module": "tb.names", "name": "Nam_Es", "void_answer": "null",
        "names": { "add": "ADD_IT", "level": "Level" }, "enums": { "color": [1, 5, 9] }, "qos": 2,
    }]);
    let _host = Host::on(broker.port())
        .service("machine", "contract-typed-service", section)
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("answer/#", 2).await?;
    client.subscribe("tb.names/Nam_Es/prop/+", 2).await?;
    client.publish("tb.names/Nam_Es/set/tint", "9").await?;
    client.publish("tb.names/Nam_Es/set/Level", "3").await?;
    for (topic, first, second) in [("tint", "1", "9"), ("Level", "0", "3")] {
        let topic = format!("tb.names/Nam_Es/prop/{topic}");
        let mut late = Client::connect(broker.port()).await?;
        late.subscribe(&topic, 2).await?;
        let mut value = late.expect(&topic).await?.text();
        if value == first {
            value = late.expect(&topic).await?.text();
        }
        assert_eq!(value, second, "{topic}");
    }

    for (operation, arguments, expected) in [("ADD_IT", "[1, 2]", "3"), ("nothing", "[]", "null")] {
        let mut message = invoke("", arguments, "answer/x", b"1");
        message.topic = format!("tb.names/Nam_Es/rpc/{operation}");
        client.send(message).await?;
        assert_eq!(client.expect("answer/x").await?.text(), expected);
    }

    Ok(())
}

#[tokio::test]
async fn nothing_is_served_where_the_list_is_empty() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = machine();
    section["serve"] = json!([]);
    let host = Host::on(broker.port())
        .service("machine", "contract-typed-service", section)
        .spawn()?;
    // its signals have no interface that they belong to
    let line = host
        .output()
        .says(0, "imports test:typed/machine-signals@1.0.0")
        .await?;
    assert!(line.contains("which this host does not offer"), "{line}");
    Ok(())
}

/// Two hosts share the calls of one interface: each call is answered once.
#[tokio::test]
async fn two_hosts_share_the_calls() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = machine();
    section["serve"] = json!([{ "interface": "test:typed/machine", "share": "machines" }]);
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let setup = Host::on(broker.port());
        let setup = setup.service("machine", "contract-typed-service", section.clone());
        hosts.push(setup.start().await?);
    }
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("answer/#", 1).await?;
    for number in 0..100 {
        let arguments = format!("[{number}, 0]");
        client
            .post(invoke("add", &arguments, "answer/x", b"1"))
            .await?;
    }

    client.acknowledged(100).await?;
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(client.expect("answer/x").await?.text().parse::<i32>()?);
    }
    answers.sort_unstable();
    assert_eq!(answers, (0..100).collect::<Vec<_>>());
    assert_eq!(client.pending().await?.len(), 0);
    Ok(())
}

/// A new version takes over between two calls; no call is lost.
#[tokio::test]
async fn swap_during_calls_loses_none() -> Result<()> {
    let (_broker, host, mut client) = served().await?;
    let component = guests::component("contract-typed-service")?;
    for number in 0..600u32 {
        if number == 200 {
            host.replace("machine", &guests::marked(&component, 1))?;
        }
        let arguments = format!("[{number}, 0]");
        client
            .send(invoke("add", &arguments, "answer/x", b"1"))
            .await?;
    }

    for number in 0..600u32 {
        assert_eq!(client.expect("answer/x").await?.text(), number.to_string());
    }
    host.output().says(0, "takes over").await?;
    assert_eq!(call(&mut client, "add", "[1, 2]").await?.text(), "3");
    Ok(())
}

/// A run of malformed calls: each is answered or refused, the service lives, and every call of another client is answered. The bench
/// measures their cost for that client (`typed`).
#[tokio::test]
async fn fuzzed_calls_are_answered_and_so_are_those_of_a_healthy_client() -> Result<()> {
    let (broker, host, mut client) = served().await?;
    let mut attacker = Client::connect(broker.port()).await?;
    attacker.subscribe("fuzz/answer", 1).await?;
    let mut random = fastrand::Rng::with_seed(14);
    let seeds = [
        "[1, 2]",
        r#"[{"yes": true}]"#,
        r#"["aGVsbG8="]"#,
        "[[[[",
        "{}",
        "\"\\u0000\"",
        "1e999",
        "",
    ];

    let operations = [
        "add",
        "echo",
        "reverse",
        "divide",
        "sub",
        "emit",
        "notFinite",
    ];

    for round in 0..300 {
        let mut payload = seeds[random.usize(..seeds.len())].as_bytes().to_vec();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..=payload.len());
            payload.insert(at, random.u8(..));
        }
        let operation = operations[random.usize(..operations.len())];
        let message = Message::new(format!("{MACHINE}/rpc/{operation}"), payload);
        let properties = Properties {
            response_topic: Some("fuzz/answer".to_owned()),
            correlation_data: Some(Bytes::from(round.to_string())),
            ..Properties::default()
        };
        attacker.send(message.with(properties)).await?;
        let arguments = format!("[{round}, 1]");
        client
            .post(invoke("add", &arguments, "answer/healthy", &[7]))
            .await?;
    }

    for round in 0..300 {
        let answer = attacker.expect("fuzz/answer").await?;
        let correlation = answer.properties.correlation_data.unwrap_or_default();
        ensure!(
            correlation == round.to_string(),
            "no answer to call {round}"
        );
        let healthy = client.expect("answer/healthy").await?.text();
        ensure!(healthy == (round + 1).to_string(), "{healthy} to {round}");
    }

    assert_eq!(host.output().count("started again"), 0);
    Ok(())
}
