//! Traces of messages: the real host, a real broker, and a collector that decodes OTLP with OpenTelemetry's own classes.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::host::Setup;
use miqro_tests::process::run_to_end;
use miqro_tests::{Client, Collector, Host, Message, Mosquitto, Properties, place};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A message of the trace. `flags`: `01` has it recorded.
fn traced(topic: &str, payload: impl ToString, flags: &str) -> Message {
    Message::new(topic, payload.to_string()).with(Properties {
        user_properties: vec![
            ("traceparent".into(), format!("00-{TRACE}-{SPAN}-{flags}")),
            ("tracestate".into(), "vendor=1".into()),
        ],
        ..Properties::default()
    })
}

/// The section of the configuration for a collector on `port`.
fn section(port: u16) -> Value {
    json!({ "otlp": format!("http://127.0.0.1:{port}") })
}

/// A broker and a collector.
struct Surroundings {
    broker: Mosquitto,
    port: u16,
    collector: Collector,
}

impl Surroundings {
    async fn start() -> Result<Self> {
        let port = place::free_port()?;
        Ok(Self {
            broker: Mosquitto::start().await?,
            port,
            collector: Collector::on(port).await?,
        })
    }

    /// A host that sends its traces to the collector.
    fn host(&self) -> Setup {
        Host::on(self.broker.port()).top("traces", section(self.port))
    }
}

/// A relay of messages on `filter`.
fn relay_of(filter: &str) -> Value {
    json!({ "subscriptions": [{ "filter": filter, "global": true }], "grants": { "subscribe": [filter] } })
}

fn named<'a>(spans: &'a [Value], name: &str, service: &str) -> Result<&'a Value> {
    let mut found = spans
        .iter()
        .filter(|span| span["name"] == name && span["resource"]["service.name"] == service);
    let one = found.next();
    ensure!(
        found.next().is_none(),
        "two spans {name} of {service}: {spans:#?}"
    );
    one.with_context(|| format!("no span {name} of {service} in {spans:#?}"))
}

fn child<'a>(spans: &'a [Value], parent: &Value, name: &str) -> Result<&'a Value> {
    let mut found = spans
        .iter()
        .filter(|span| span["parent"] == parent["id"] && span["name"] == name);
    let one = found.next();
    ensure!(
        found.next().is_none(),
        "two children {name} of {parent}: {spans:#?}"
    );
    one.with_context(|| format!("no child {name} of {parent} in {spans:#?}"))
}

/// The parent that the message names.
fn parent_of(message: &Message) -> Option<&str> {
    let pairs = message.properties.user_properties.iter();
    let mut values = pairs.filter(|(name, _)| name == "traceparent");
    values.next().map(|(_, value)| value.as_str())
}

/// Checks the spans of one service between two messages. Returns the span of its publish.
fn check_service<'a>(
    spans: &'a [Value],
    parent: &str,
    service: &str,
    filter: &str,
) -> Result<&'a Value> {
    let receive = spans
        .iter()
        .find(|span| span["parent"] == parent && span["name"] == "receive")
        .with_context(|| format!("no receive below {parent} in {spans:#?}"))?;
    assert_eq!(receive["kind"], "CLIENT");
    assert_eq!(receive["flags"], 0x301, "a remote parent: {receive}");
    assert_eq!(receive["attributes"]["messaging.system"], "mqtt");
    assert_eq!(receive["attributes"]["messaging.destination.name"], filter);
    assert_eq!(receive["attributes"]["server.address"], "127.0.0.1");
    assert_eq!(receive["state"], "vendor=1");

    let process = child(spans, receive, &format!("process {filter}"))?;
    assert_eq!(process["kind"], "CONSUMER");
    assert_eq!(process["resource"]["service.name"], service);
    assert_eq!(process["attributes"]["messaging.operation.type"], "process");
    assert_eq!(
        process["attributes"]["messaging.destination.template"],
        filter
    );

    let wait = child(spans, process, "wait")?;
    let call = child(spans, process, "call")?;
    let commit = child(spans, process, "commit")?;
    assert_eq!(call["attributes"]["miqro.attempt"], 1);
    let version = call["attributes"]["miqro.version"].as_str();
    assert_eq!(version.map(str::len), Some(12), "{call}");
    for (first, second) in [(wait, call), (call, commit)] {
        let (end, start) = (first["end"].as_u64(), second["start"].as_u64());
        assert!(end <= start, "{first} {second}");
    }
    for inner in [wait, call, commit] {
        assert!(inner["start"].as_u64() >= process["start"].as_u64());
        assert!(inner["end"].as_u64() <= process["end"].as_u64());
        assert_eq!(
            (&inner["kind"], &inner["error"]),
            (&json!("INTERNAL"), &Value::Null)
        );
    }

    let send = child(spans, call, "send")?;
    assert_eq!(
        (&send["kind"], &send["resource"]["service.name"]),
        (&json!("PRODUCER"), &json!(service))
    );
    assert_eq!(send["attributes"]["messaging.operation.type"], "send");
    assert_eq!(send["attributes"]["messaging.message.body.size"], 5);

    // the acknowledgement leaves after the broker has taken the publish
    let settle = child(spans, receive, "settle")?;
    assert_eq!(settle["kind"], "CLIENT");
    assert!(settle["end"].as_u64() >= settle["start"].as_u64());
    Ok(send)
}

/// Three services in a row, the last of them on another host.
#[tokio::test]
async fn one_trace_leads_through_services_and_hosts() -> Result<()> {
    let surroundings = Surroundings::start().await?;
    let collector = &surroundings.collector;
    let first = surroundings
        .host()
        .service("a", "relay", json!({}))
        .service("b", "relay", relay_of("service/a/out"))
        .start()
        .await?;
    let _second = surroundings
        .host()
        .service("c", "relay", relay_of("service/b/out"))
        .start()
        .await?;
    let mut client = first.client().await?;
    client.subscribe("service/c/out", 1).await?;
    client.send(traced("service/a/in", "hello", "01")).await?;
    let last = client.expect("service/c/out").await?;

    // receive, settle, process, wait, call, commit and send of each
    let spans = collector.wait_for(TRACE, 21, |_| true).await?;
    assert_eq!(spans.len(), 21, "{spans:#?}");
    let a = check_service(&spans, SPAN, "a", "service/a/in")?;
    let a = a["id"].as_str().context("no id")?;
    let b = check_service(&spans, a, "b", "service/a/out")?;
    let b = b["id"].as_str().context("no id")?;
    let c = check_service(&spans, b, "c", "service/b/out")?;
    let c = c["id"].as_str().context("no id")?;
    assert_eq!(
        parent_of(&last),
        Some(format!("00-{TRACE}-{c}-01").as_str())
    );
    let state = ("tracestate".to_owned(), "vendor=1".to_owned());
    assert!(last.properties.user_properties.contains(&state));
    Ok(())
}

/// A failed attempt is a span with an error, and the next attempt another one.
#[tokio::test]
async fn each_attempt_has_a_span() -> Result<()> {
    let surroundings = Surroundings::start().await?;
    let collector = &surroundings.collector;
    let limits = json!({ "limits": { "attempts": 5, "backoff": { "min": "1ms", "max": "10ms" } } });
    let host = surroundings
        .host()
        .service("told", "contract-message-info", limits)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/told/info", 1).await?;
    client
        .send(traced("service/told/in/x", "fail", "01"))
        .await?;
    client.expect("service/told/info").await?;

    let calls = collector
        .wait_for(TRACE, 3, |span| span["name"] == "call")
        .await?;
    let attempts: Vec<(u64, bool)> = calls
        .iter()
        .map(|call| {
            let attempt = call["attributes"]["miqro.attempt"].as_u64().unwrap_or(0);
            (attempt, call["error"].is_string())
        })
        .collect();
    assert_eq!(attempts, [(1, true), (2, true), (3, false)], "{calls:#?}");
    assert_eq!(calls[0]["attributes"]["error.type"], "refused");

    let sent = collector
        .wait_for(TRACE, 1, |span| span["name"] == "send")
        .await?;
    assert_eq!(
        sent.len(),
        1,
        "a failed attempt publishes nothing: {sent:#?}"
    );
    assert_eq!(sent[0]["parent"], calls[2]["id"]);
    let handled = collector
        .wait_for(TRACE, 1, |span| {
            span["kind"] == "CONSUMER" && span["error"].is_null()
        })
        .await?;
    assert_eq!(handled[0]["name"], "process service/told/in/#");
    Ok(())
}

/// A request is sent within the call, and its span lies there.
#[tokio::test]
async fn request_is_a_span_within_its_call() -> Result<()> {
    let surroundings = Surroundings::start().await?;
    let collector = &surroundings.collector;
    let host = surroundings
        .host()
        .service(
            "asker",
            "contract-full",
            json!({ "grants": { "publish": ["oracle"] } }),
        )
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("oracle", 1).await?;
    let question = json!({ "request": "oracle", "global": true, "deadline": 1 });
    client
        .send(traced("service/asker/command", question, "01"))
        .await?;
    let asked = client.expect("oracle").await?;

    let is_request = |span: &Value| {
        span["attributes"]["messaging.destination.name"] == "oracle" && span["name"] == "send"
    };
    let request = collector.wait_for(TRACE, 1, is_request).await?;
    let call = collector
        .wait_for(TRACE, 1, |span| span["name"] == "call")
        .await?;
    assert_eq!(request[0]["parent"], call[0]["id"]);
    assert!(request[0]["attributes"]["messaging.message.conversation_id"].is_string());
    let id = request[0]["id"].as_str().context("no id")?;
    assert_eq!(
        parent_of(&asked),
        Some(format!("00-{TRACE}-{id}-01").as_str())
    );
    Ok(())
}

#[tokio::test]
async fn flag_of_the_parent_and_the_configuration_decide_what_is_recorded() -> Result<()> {
    let surroundings = Surroundings::start().await?;
    let collector = &surroundings.collector;
    let mut all = section(surroundings.port);
    all["sample_every"] = json!(1);
    let host = surroundings
        .host()
        .service("a", "relay", json!({}))
        .top("traces", all)
        .start()
        .await?;
    let mut client = host.client().await?;
    let answer = async |client: &mut Client, message: Message| {
        client.subscribe("service/a/out", 1).await?;
        client.send(message).await?;
        client.expect("service/a/out").await
    };

    // not recorded by the parent: its context is passed on as it is
    let out = answer(&mut client, traced("service/a/in", "x", "00")).await?;
    assert_eq!(
        parent_of(&out),
        Some(format!("00-{TRACE}-{SPAN}-00").as_str())
    );

    // a message without a context begins a trace, whose first span has no parent
    let out = answer(&mut client, Message::new("service/a/in", "x")).await?;
    let context: Vec<&str> = parent_of(&out).context("no context")?.split('-').collect();
    let spans = collector.wait_for(context[1], 7, |_| true).await?;
    let receive = named(&spans, "receive", "miqro-host")?;
    assert_eq!(receive["parent"], "");
    assert_eq!(named(&spans, "send", "a")?["id"], context[2]);
    assert_eq!(collector.spans(TRACE)?, [] as [Value; 0]);
    Ok(())
}

/// A collector that is away costs nothing but spans: they wait, and come when it is there, or are counted when the host stops.
#[tokio::test]
async fn collector_may_be_away_and_come_back() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let port = place::free_port()?;
    let mut host = Host::on(broker.port())
        .service("a", "relay", json!({}))
        .top("traces", section(port))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/a/out", 1).await?;
    client.send(traced("service/a/in", "x", "01")).await?;
    client.expect("service/a/out").await?;
    host.output().says(0, "cannot send traces to").await?;

    let collector = Collector::on(port).await?;
    collector.wait_for(TRACE, 7, |_| true).await?;
    host.output().says(0, "traces are sent to").await?;
    assert_eq!(host.output().count("cannot send traces to"), 1);

    // a stop sends what waits
    let sent = |count: usize| format!("service/a/in {count}");
    client.send(traced("service/a/in", sent(2), "01")).await?;
    client.expect("service/a/out").await?;
    assert!(host.stop().await?.success());
    assert_eq!(collector.spans(TRACE)?.len(), 14);

    // and does not wait for a collector that has gone
    drop(collector);
    host.restart()?;
    host.online().await?;
    client.send(traced("service/a/in", sent(3), "01")).await?;
    client.expect("service/a/out").await?;
    assert!(host.stop().await?.success());
    assert_eq!(host.output().count("spans did not reach"), 1);
    Ok(())
}

#[tokio::test]
async fn collector_with_tls_is_trusted_by_its_authority() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let certificate = folder.path().join("collector.pem").display().to_string();
    let key = folder.path().join("collector.key").display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
            .split(' '),
    );
    let made = run_to_end(openssl.args(["-keyout", &key, "-out", &certificate])).await?;
    ensure!(made.code == Some(0), "{made:?}");

    let broker = Mosquitto::start().await?;
    let port = place::free_port()?;
    let collector = Collector::with_tls(port, &certificate, &key).await?;
    let mut section = json!({ "otlp": format!("https://localhost:{port}") });
    for (ca_file, trusted) in [(None, false), (Some(&certificate), true)] {
        if let Some(file) = ca_file {
            section["ca_file"] = json!(file);
        }
        let host = Host::on(broker.port())
            .service("a", "relay", json!({}))
            .top("traces", section.clone())
            .start()
            .await?;
        let mut client = host.client().await?;
        client.subscribe("service/a/out", 1).await?;
        client.send(traced("service/a/in", "x", "01")).await?;
        client.expect("service/a/out").await?;
        if trusted {
            collector.wait_for(TRACE, 7, |_| true).await?;
        } else {
            let line = host.output().says(0, "cannot send traces to").await?;
            assert!(line.contains("TLS failed"), "{line}");
            assert_eq!(collector.spans(TRACE)?, [] as [Value; 0]);
        }
    }
    Ok(())
}
