//! Calling: a guest calls an interface by its import, over the network and within a host.

use std::time::Instant;

use anyhow::{Result, ensure};
use miqro_tests::deadline::PATIENCE;
use miqro_tests::{Client, Host, Message, Mosquitto, guests};
use serde_json::{Value, json};

use super::{MACHINE, caller, error, invoke, machine};

/// Has the calling guest make a call; returns its outcome.
async fn ask(client: &mut Client, call: &str, arguments: Value) -> Result<Value> {
    let command = json!({ "call": call, "args": arguments });
    client
        .publish("service/caller/do", command.to_string())
        .await?;
    Ok(client.expect("service/caller/done").await?.json()?["value"].take())
}

/// A client that sees the outcomes of the calls.
async fn observer(port: u16) -> Result<Client> {
    let mut client = Client::connect(port).await?;
    client.subscribe("service/caller/+", 1).await?;
    Ok(client)
}

/// A broker, a host with the provider, and a host with the caller.
async fn two_hosts() -> Result<(Mosquitto, Host, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let provider = Host::on(broker.port())
        .service("machine", "contract-typed-service", machine())
        .start()
        .await?;
    let host = Host::on(broker.port())
        .service("caller", "contract-typed-client", caller())
        .start()
        .await?;
    let client = observer(broker.port()).await?;
    Ok((broker, provider, host, client))
}

#[tokio::test]
async fn import_is_served_by_another_host() -> Result<()> {
    let (_broker, _provider, _host, mut client) = two_hosts().await?;
    assert_eq!(ask(&mut client, "add", json!([1, 2])).await?, json!(3));
    assert_eq!(
        ask(&mut client, "divide", json!([7, 2])).await?,
        json!({ "ok": 3 })
    );
    let error = json!({ "err": "division by zero" });
    assert_eq!(ask(&mut client, "divide", json!([7, 0])).await?, error);
    assert_eq!(
        ask(&mut client, "reverse", json!(["abc"])).await?,
        json!("cba")
    );
    assert_eq!(ask(&mut client, "nothing", json!([])).await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn properties_are_read_from_retained_values_and_set_by_requests() -> Result<()> {
    let (broker, _provider, _host, mut client) = two_hosts().await?;
    assert_eq!(ask(&mut client, "level", json!([])).await?, json!(0));

    let mut watcher = Client::connect(broker.port()).await?;
    let topic = format!("{MACHINE}/prop/level");
    watcher.subscribe(&topic, 1).await?;
    watcher.expect(&topic).await?;
    assert_eq!(
        ask(&mut client, "set-level", json!([7])).await?,
        Value::Null
    );
    assert_eq!(watcher.expect(&topic).await?.text(), "7");

    // the value reaches the caller's host at about the same time as the watcher
    let end = Instant::now() + PATIENCE;
    while ask(&mut client, "level", json!([])).await? != json!(7) {
        ensure!(Instant::now() < end, "the value has not changed");
    }
    Ok(())
}

#[tokio::test]
async fn signals_reach_the_exported_handler() -> Result<()> {
    let (_broker, _provider, _host, mut client) = two_hosts().await?;
    client
        .publish(&format!("{MACHINE}/sig/levelPassed"), "[1]")
        .await?;
    client
        .send(Message::new(format!("{MACHINE}/sig/levelPassed"), r#"[7, "old"]"#).retained())
        .await?;
    client
        .publish(&format!("{MACHINE}/rpc/emit"), "[1]")
        .await?;
    // a live message of QoS 1 comes without the flag, also when it is to be retained
    let signals = [r#"[7,"old"]"#, r#"[0,"passed"]"#];
    for signal in signals {
        assert_eq!(client.expect("service/caller/signal").await?.text(), signal);
    }
    Ok(())
}

/// Two clients of one host for the same interface: each signal reaches both.
#[tokio::test]
async fn two_callers_of_one_host_both_get_the_signals() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let _host = Host::on(broker.port())
        .service("one", "contract-typed-client", caller())
        .service("two", "contract-typed-client", caller())
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/+/signal", 1).await?;
    client
        .publish(&format!("{MACHINE}/sig/levelPassed"), r#"[1, "x"]"#)
        .await?;
    let mut topics = Vec::new();
    for _ in 0..2 {
        let signal = client.next().await?;
        assert_eq!(signal.json()?, json!([1, "x"]));
        topics.push(signal.topic);
    }
    topics.sort_unstable();
    assert_eq!(topics, ["service/one/signal", "service/two/signal"]);
    Ok(())
}

#[tokio::test]
async fn call_that_nobody_answers_ends_at_its_deadline() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = caller();
    section["call"][0]["deadline"] = json!("200ms");
    let host = Host::on(broker.port())
        .service("caller", "contract-typed-client", section)
        .start()
        .await?;
    let mut client = observer(broker.port()).await?;

    let outcome = ask(&mut client, "divide", json!([1, 1])).await?;
    assert_eq!(outcome, json!({ "err": "no answer came within 200ms" }));
    client
        .publish("service/caller/do", r#"{"call": "add", "args": [1, 2]}"#)
        .await?;
    let line = host
        .output()
        .says(0, "a call over the network failed")
        .await?;
    assert!(
        line.contains("test.typed/Machine/rpc/add: no answer came within 200ms"),
        "{line}"
    );
    client.expect("service/caller/dead-letter").await?;

    // an unknown property is waited for, and then fails the same way
    client
        .publish("service/caller/do", r#"{"call": "level"}"#)
        .await?;
    client.expect("service/caller/dead-letter").await?;
    let outcome = ask(&mut client, "divide", json!([1, 1])).await?;
    assert_eq!(outcome, json!({ "err": "no answer came within 200ms" }));
    Ok(())
}

#[tokio::test]
async fn import_without_configuration_is_refused_with_the_missing_line() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("caller", "contract-typed-client", json!({}))
        .spawn()?;
    let line = host
        .output()
        .says(0, "imports test:typed/machine@1.0.0")
        .await?;
    assert!(
        line.contains("call: ['test:typed/machine@1.0.0']"),
        "{line}"
    );
    Ok(())
}

/// A call within a host shows nothing at the broker, and means the same.
#[tokio::test]
async fn local_calls_skip_the_broker() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = caller();
    section["call"][0]["local"] = json!(true);
    let _host = Host::on(broker.port())
        .service("machine", "contract-typed-service", machine())
        .service("caller", "contract-typed-client", section)
        .start()
        .await?;
    let mut client = observer(broker.port()).await?;
    let mut spy = Client::connect(broker.port()).await?;
    spy.subscribe(&format!("{MACHINE}/rpc/#"), 1).await?;
    spy.subscribe("miqro/#", 1).await?;

    assert_eq!(ask(&mut client, "add", json!([1, 2])).await?, json!(3));
    let error = json!({ "err": "division by zero" });
    assert_eq!(ask(&mut client, "divide", json!([7, 0])).await?, error);
    assert_eq!(ask(&mut client, "nothing", json!([])).await?, Value::Null);
    for number in 0..200 {
        assert_eq!(
            ask(&mut client, "add", json!([number, 1])).await?,
            json!(number + 1)
        );
    }

    assert_eq!(spy.pending().await?, []);
    Ok(())
}

#[tokio::test]
async fn local_call_goes_to_the_broker_where_no_service_of_the_host_serves_it() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let _provider = Host::on(broker.port())
        .service("machine", "contract-typed-service", machine())
        .start()
        .await?;
    let mut section = caller();
    section["call"][0]["local"] = json!(true);
    let _host = Host::on(broker.port())
        .service("caller", "contract-typed-client", section)
        .start()
        .await?;
    let mut client = observer(broker.port()).await?;
    assert_eq!(ask(&mut client, "add", json!([1, 2])).await?, json!(3));
    Ok(())
}

/// Functions with bytes, whose values pass in one piece, and with every kind of result: exported and imported, locally and across the
/// broker.
#[tokio::test]
async fn bytes_pass_through_a_chain_of_services() -> Result<()> {
    let link = |own: &str, next: &str, local: bool| {
        json!({ "serve": [{ "interface": "test:chain/link", "name": own }],
                "call": [{ "interface": "test:chain/link", "name": next, "local": local }] })
    };
    for local in [false, true] {
        let broker = Mosquitto::start().await?;
        let _host = Host::on(broker.port())
            .service("a", "contract-typed-link", link("A", "B", local))
            .service("b", "contract-typed-link", link("B", "Nobody", local))
            .start()
            .await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("answer/#", 1).await?;

        let calls = [
            ("put", json!(["x", "aGVsbG8="]), "0", ""),
            ("put", json!(["next/x", ""]), "0", ""),
            ("put", json!(["next/y", "AAEC/w=="]), "0", ""),
            ("take", json!(["x"]), r#""aGVsbG8=""#, ""),
            ("take", json!(["next/x"]), r#""""#, ""),
            ("take", json!(["next/y"]), r#""AAEC/w==""#, ""),
            ("take", json!(["next/y"]), r#""there is no y""#, "error"),
            ("take", json!([7]), "null", "invalid-arguments"),
            ("put", json!(["x", "%"]), "null", "invalid-arguments"),
            ("clear", json!([]), "0", ""),
        ];

        for (operation, arguments, expected, code) in calls {
            let mut message = invoke("", &arguments.to_string(), "answer/x", b"1");
            message.topic = format!("test.chain/A/rpc/{operation}");
            client.send(message).await?;
            let answer = client.expect("answer/x").await?;
            let found = (answer.text(), error(&answer).0);
            assert_eq!(
                found,
                (expected.to_owned(), code),
                "{operation}{arguments}, local: {local}"
            );
        }
    }

    Ok(())
}

/// The provider is swapped, killed and started again while calls run: each call has a value or an error within its deadline.
#[tokio::test]
async fn every_call_ends_while_the_provider_is_swapped_and_killed() -> Result<()> {
    const CALLS: u64 = 10_000;
    let (_broker, mut provider, _host, mut client) = two_hosts().await?;
    let component = guests::component("contract-typed-service")?;
    let mut driver = Client::connect(provider.port()).await?;

    let mut sent = 0;
    let mut values = 0;
    let mut errors = 0;
    let mut longest = 0;
    while values + errors < CALLS {
        let ended = values + errors;
        while sent < CALLS && sent < ended + 20 {
            let command = json!({ "call": "divide", "args": [sent, 1], "id": sent });
            driver
                .publish("service/caller/do", command.to_string())
                .await?;
            sent += 1;
        }

        match ended {
            1_000 | 4_000 | 7_000 => {
                let version = u8::try_from(ended / 1_000)?;
                provider.replace("machine", &guests::marked(&component, version))?;
            }
            2_000 | 5_000 | 8_000 => provider.kill()?,
            2_001 | 5_001 | 8_001 => provider.restart()?,
            _ => {}
        }

        let done = client.expect("service/caller/done").await?.json()?;
        ensure!(done["id"] == json!(ended), "out of order: {done}");
        longest = longest.max(done["took"].as_u64().unwrap_or(u64::MAX));
        match &done["value"]["ok"] {
            Value::Null => errors += 1,
            value => {
                ensure!(*value == done["id"], "a wrong value: {done}");
                values += 1;
            }
        }
    }

    ensure!(errors < 30, "{values} values, {errors} errors");
    // the deadline is 5 s; a busy machine may be late in noticing
    ensure!(longest < 15_000, "a call took {longest} ms");
    Ok(())
}

/// The broker is started again in the middle of calls.
#[tokio::test]
async fn calls_go_on_after_a_restart_of_the_broker() -> Result<()> {
    let (mut broker, provider, host, mut client) = two_hosts().await?;
    assert_eq!(ask(&mut client, "add", json!([1, 2])).await?, json!(3));
    drop(client);
    broker.kill()?;
    broker.restart().await?;
    // the broker has forgotten the sessions: a request that comes before the subscriptions reaches nobody
    provider.online().await?;
    host.online().await?;

    let mut client = observer(broker.port()).await?;
    let end = Instant::now() + PATIENCE;
    loop {
        let outcome = ask(&mut client, "divide", json!([8, 2])).await?;
        if outcome == json!({ "ok": 4 }) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{outcome}");
    }
}
