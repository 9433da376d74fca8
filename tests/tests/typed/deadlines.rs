//! Deadlines: calls whose time is up, callers that end while they wait, and calls that can never be answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Mosquitto, guests};
use serde_json::{Value, json};

use super::{MACHINE, call, caller, error, invoke, machine};

/// A service that may take some seconds for a call.
fn patient_machine() -> Value {
    let mut section = machine();
    section["limits"]["call"] = json!("10s");
    section
}

/// A section of a link: the interface that it serves, and the one that it calls.
fn link(own: &str, next: &str, deadline: &str, local: bool) -> Value {
    json!({
        "serve": [{ "interface": "test:chain/link", "name": own }],
        "call": [{ "interface": "test:chain/link", "name": next, "deadline": deadline, "local": local }],
    })
}

/// Calls `follow` of the link `name`; returns the answer's code, and its text.
async fn follow(client: &mut Client, name: &str, text: &str) -> Result<(String, String)> {
    let mut message = invoke("", &json!([text]).to_string(), "answer/x", b"1");
    message.topic = format!("test.chain/{name}/rpc/follow");
    client.send(message).await?;
    let answer = client.expect("answer/x").await?;
    let text = answer.json()?.as_str().unwrap_or_default().to_owned();
    Ok((error(&answer).0.to_owned(), text))
}

/// The message expiry is the deadline: a call whose time is up before its turn does not reach the guest and is not answered.
#[tokio::test]
async fn expired_call_does_not_reach_the_guest() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let _host = Host::on(broker.port())
        .service("machine", "contract-typed-service", patient_machine())
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("answer/#", 1).await?;
    let count = format!("{MACHINE}/prop/count");
    client.subscribe(&count, 1).await?;
    assert_eq!(client.expect(&count).await?.text(), "0");

    client
        .send(invoke("rest", "[2500]", "answer/rest", b"1"))
        .await?;
    for (expiry, answer) in [(1, "answer/late"), (60, "answer/in-time")] {
        let mut message = invoke("add", "[1, 2]", answer, b"2");
        message.properties.message_expiry = Some(expiry);
        client.send(message).await?;
    }
    let mut topics = Vec::new();
    while topics.len() < 3 {
        topics.push(client.next().await?.topic);
    }
    topics.sort_unstable();
    assert_eq!(topics, ["answer/in-time", "answer/rest", &count]);
    assert_eq!(call(&mut client, "add", "[1, 1]").await?.text(), "2");
    assert_eq!(client.expect(&count).await?.text(), "2");
    Ok(())
}

/// A call over the network carries its deadline: when the caller has given up, the provider does not run it any more.
#[tokio::test]
async fn call_of_a_guest_is_not_run_after_its_deadline() -> Result<()> {
    for local in [false, true] {
        let broker = Mosquitto::start().await?;
        let mut section = caller();
        section["call"][0]["deadline"] = json!("1s");
        section["call"][0]["local"] = json!(local);
        let _host = Host::on(broker.port())
            .service("machine", "contract-typed-service", patient_machine())
            .service("caller", "contract-typed-client", section)
            .start()
            .await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("answer/#", 1).await?;
        client.subscribe("service/caller/+", 1).await?;

        client
            .send(invoke("rest", "[3500]", "answer/rest", b"1"))
            .await?;
        let command = json!({ "call": "add", "args": [1, 2] });
        client
            .publish("service/caller/do", command.to_string())
            .await?;
        client.expect("service/caller/dead-letter").await?;
        client.expect("answer/rest").await?;

        let counted = call(&mut client, "add", "[2, 2]").await?;
        assert_eq!(counted.text(), "4");
        let mut late = Client::connect(broker.port()).await?;
        let count = format!("{MACHINE}/prop/count");
        late.subscribe(&count, 1).await?;
        while late.expect(&count).await?.text() != "1" {}
        assert_eq!(late.pending().await?, [], "local: {local}");
    }

    Ok(())
}

/// A host that is stopped does not wait for the answers that its callers wait for, and starts again.
#[tokio::test]
async fn host_stops_while_callers_wait() -> Result<()> {
    for deadline in ["0s", "1s", "10s"] {
        stop_while_a_caller_waits(deadline).await?;
    }
    Ok(())
}

async fn stop_while_a_caller_waits(stop_deadline: &str) -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = caller();
    section["call"][0]["deadline"] = json!("10m");
    let mut host = Host::on(broker.port())
        .top("stop_deadline", json!(stop_deadline))
        .service("caller", "contract-typed-client", section)
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe(&format!("{MACHINE}/rpc/+"), 1).await?;
    let command = json!({ "call": "add", "args": [1, 2] });
    client
        .publish("service/caller/do", command.to_string())
        .await?;
    client.expect(&format!("{MACHINE}/rpc/add")).await?;

    let begun = Instant::now();
    let status = host.stop().await?;
    ensure!(
        status.success(),
        "{}",
        host.output().told(&status.to_string())
    );
    ensure!(begun.elapsed() < Duration::from_secs(120), "it waited");

    // the message was not acknowledged: it is handled again, and the call made again
    host.restart()?;
    let called = client.expect(&format!("{MACHINE}/rpc/add")).await;
    called.with_context(|| host.output().told("the call was not made again"))?;
    Ok(())
}

/// A service that waits for an answer can be restarted and replaced: its call ends, and the message that led to it is handled
/// again by the next instance.
#[tokio::test]
async fn caller_that_waits_can_be_restarted_and_replaced() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut section = caller();
    section["call"][0]["deadline"] = json!("10m");
    let host = Host::on(broker.port())
        .service("caller", "contract-typed-client", section)
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    let called = format!("{MACHINE}/rpc/add");
    client.subscribe(&called, 1).await?;
    let command = json!({ "call": "add", "args": [1, 2] });
    client
        .publish("service/caller/do", command.to_string())
        .await?;
    client.expect(&called).await?;

    let begun = Instant::now();
    host.tell(&["restart", "caller"]).await?;
    client.expect(&called).await?;

    let mut newer = guests::component("contract-typed-client")?;
    // a custom section without a name: other bytes, the same guest
    newer.extend([0, 1, 0]);
    host.replace_and_wait("caller", &newer, "takes over")
        .await?;
    client.expect(&called).await?;
    ensure!(begun.elapsed() < Duration::from_secs(300), "it waited");
    Ok(())
}

/// The service is the only one that could answer, and it waits.
#[tokio::test]
async fn call_of_a_service_to_itself_fails_at_once() -> Result<()> {
    for local in [false, true] {
        let broker = Mosquitto::start().await?;
        let _host = Host::on(broker.port())
            .service("a", "contract-typed-link", link("A", "A", "10m", local))
            .start()
            .await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("answer/#", 1).await?;

        let (code, text) = follow(&mut client, "A", "x").await?;
        let expected = "this service serves test.chain/A itself, and cannot answer while it waits; call the function directly";
        assert_eq!((&*code, &*text), ("error", expected));
        let (code, text) = follow(&mut client, "A", "").await?;
        assert_eq!((&*code, &*text), ("", "the end"));
    }

    Ok(())
}

/// Calls go through a chain of services. One that closes to a circle ends by the deadline, and every service serves on.
#[tokio::test]
async fn chain_of_calls_is_answered_and_a_circle_ends_by_its_deadline() -> Result<()> {
    for local in [false, true] {
        let broker = Mosquitto::start().await?;
        let _host = Host::on(broker.port())
            .service("a", "contract-typed-link", link("A", "B", "10s", local))
            .service("b", "contract-typed-link", link("B", "C", "10s", local))
            .service("c", "contract-typed-link", link("C", "A", "500ms", local))
            .start()
            .await?;

        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("answer/#", 1).await?;

        let (_, text) = follow(&mut client, "A", "xx").await?;
        assert_eq!(text, "the end", "local: {local}");
        let (code, text) = follow(&mut client, "A", "xxx").await?;
        assert_eq!((&*code, &*text), ("error", "no answer came within 500ms"));
        for name in ["A", "B", "C"] {
            assert_eq!(follow(&mut client, name, "").await?.1, "the end");
        }
    }

    Ok(())
}
