//! `miqro-host describe`, `call`, `get`, `set`, `watch` and `check --against`, with the guests hello and thermostat and their clients.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use miqro_tests::host::Setup;
use miqro_tests::process::Process;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties, guests, host, place};
use serde_json::{Value, json};

/// The section of a service, with the file that the host gets.
fn section(name: &str, mut settings: Value) -> Value {
    settings["component"] = format!("{name}.wasm").into();
    settings
}

/// A host with both services and both clients.
async fn all(broker: &Mosquitto) -> Result<Host> {
    with_all(Host::on(broker.port())).await
}

async fn with_all(mut setup: Setup) -> Result<Host> {
    let calls =
        |interface: &str| json!({ "call": [{ "interface": interface, "deadline": "10s" }] });
    let services = [
        ("hello", "hello", json!({})),
        ("hello-client", "hello-client", calls("io:world/hello")),
        ("room", "thermostat", json!({})),
        (
            "driver",
            "thermostat-client",
            calls("home:climate/thermostat"),
        ),
    ];

    for (name, guest, settings) in services {
        setup = setup.service(name, guest, section(name, settings));
    }
    setup.start().await
}

/// A command with the configuration of `host`.
fn command(host: &Host, arguments: &[&str]) -> Result<Command> {
    let mut command = host::command()?;
    command
        .args(arguments)
        .arg("--config")
        .arg(host.folder().join("miqro.yml"));
    Ok(command)
}

fn run(host: &Host, arguments: &[&str]) -> Result<Output> {
    Ok(command(host, arguments)?.output()?)
}

/// The line that a command prints.
fn says(host: &Host, arguments: &[&str]) -> Result<String> {
    let output = run(host, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Standard error of a command that fails.
fn fails(host: &Host, arguments: &[&str]) -> Result<String> {
    let output = run(host, arguments)?;
    ensure!(output.status.code() == Some(1), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

fn guest(name: &str) -> String {
    let file = place::project().join("guests").join(name);
    file.with_extension("wasm").display().to_string()
}

/// Runs a script of the folder `asyncapi` with `input`.
fn node(script: &str, input: &[u8]) -> Result<Output> {
    let mut child = Command::new("node")
        .arg(place::project().join("tests/asyncapi").join(script))
        .arg(place::asyncapi()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;

    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(input)?;
    Ok(child.wait_with_output()?)
}

#[tokio::test]
async fn operations_are_called_with_names_of_wit_and_of_the_wire() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;

    let arguments = r#"[{"content": "hi"}, "now"]"#;
    assert_eq!(says(&host, &["call", "hello/hello.say", arguments])?, "1");
    let arguments = r#"[{"content": "ho"}, 0]"#;
    assert_eq!(
        says(&host, &["call", "io.world/Hello.say", arguments])?,
        "2"
    );
    assert_eq!(
        says(&host, &["call", "hello-client/hello.say", arguments])?,
        "3"
    );

    let said = fails(
        &host,
        &["call", "hello/hello.say", r#"[{"content": 1}, 0]"#],
    )?;
    assert!(said.contains("msg.content: expected text, found"), "{said}");
    let said = fails(&host, &["call", "hello/hello.sya", "[]"])?;
    assert!(
        said.contains(
            "expected an operation of io:world/hello@1.0.0, which has say; found \"sya\""
        ),
        "{said}"
    );

    let said = fails(&host, &["call", "hello/other.say"])?;
    assert!(said.contains("io:world/hello@1.0.0"), "{said}");
    Ok(())
}

#[tokio::test]
async fn errors_of_answers_are_printed_with_an_exit_code() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;

    assert_eq!(
        says(&host, &["call", "room/thermostat.boost", "[2.5]"])?,
        "22.5"
    );
    let said = fails(&host, &["call", "room/thermostat.boost", "[100]"])?;
    let value = r#"{"outOfLimits": {"lowest": 5.0, "highest": 30.0}}"#;
    assert_eq!(
        said,
        format!("miqro-host: the operation returned an error:\n{value}\n")
    );
    let said = fails(&host, &["call", "home.climate/Thermostat.nothing"])?;
    assert!(said.contains("(unknown-member)"), "{said}");
    let said = fails(&host, &["call", "--wait", "0.2", "no.body/Here.say"])?;
    assert!(
        said.contains("no answer to no.body/Here/rpc/say within 0.2 s"),
        "{said}"
    );
    assert_eq!(says(&host, &["call", "--no-wait", "no.body/Here.say"])?, "");
    Ok(())
}

#[tokio::test]
async fn properties_are_read_and_set() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;

    assert_eq!(says(&host, &["get", "room/thermostat.target"])?, "20.0");
    assert_eq!(says(&host, &["set", "room/thermostat.target", "21.5"])?, "");
    let mut client = host.client().await?;
    client
        .subscribe("home.climate/Thermostat/prop/target", 1)
        .await?;
    while client.next().await?.text() != "21.5" {}
    assert_eq!(
        says(&host, &["get", "home.climate/Thermostat.target"])?,
        "21.5"
    );

    let said = fails(&host, &["set", "room/thermostat.target", "99"])?;
    assert!(said.contains("outOfLimits"), "{said}");
    let said = fails(&host, &["set", "room/thermostat.active", "true"])?;
    assert!(said.contains("active can only be read"), "{said}");
    let said = fails(
        &host,
        &["set", "--confirm", "home.climate/Thermostat.active", "true"],
    )?;
    assert!(said.contains("(read-only)"), "{said}");
    let said = fails(&host, &["set", "room/thermostat.target", "\"warm\""])?;
    assert!(said.contains("expected a number"), "{said}");
    let said = fails(&host, &["get", "--wait", "0.2", "no.body/Here.last"])?;
    assert!(said.contains("nobody has published it"), "{said}");
    Ok(())
}

#[tokio::test]
async fn values_and_signals_are_watched() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;

    let watch = Process::start(&mut command(&host, &["watch", "hello"])?)?;
    let output = watch.output();
    output
        .wait_for("the retained value", |line| {
            line == r#"io.world/Hello last = {"content": ""}"#
        })
        .await?;
    says(
        &host,
        &["call", "hello/hello.say", r#"[{"content": "hi"}, 0]"#],
    )?;
    for expected in [
        r#"io.world/Hello justSaid [{"content": "hi"}]"#,
        r#"io.world/Hello last = {"content": "hi"}"#,
    ] {
        output.wait_for(expected, |line| line == expected).await?;
    }

    let line = says(&host, &["watch", "io.world/Hello", "-n", "1", "--json"])?;
    let line: Value = serde_json::from_str(&line)?;
    let expected =
        json!({ "interface": "io.world/Hello", "property": "last", "value": { "content": "hi" } });
    assert_eq!(line, expected);
    let said = fails(&host, &["watch", "no.body", "-n", "1", "-W", "0.2"])?;
    assert!(said.contains("0 of 1 lines"), "{said}");
    Ok(())
}

#[tokio::test]
async fn tools_speak_to_the_embedded_broker() -> Result<()> {
    let host = with_all(Host::embedded()?).await?;

    let watch = Process::start(&mut command(&host, &["watch", "hello"])?)?;
    let output = watch.output();
    output
        .wait_for("the retained value", |line| {
            line == r#"io.world/Hello last = {"content": ""}"#
        })
        .await?;
    let arguments = r#"[{"content": "hi"}, "now"]"#;
    assert_eq!(says(&host, &["call", "hello/hello.say", arguments])?, "1");
    for expected in [
        r#"io.world/Hello justSaid [{"content": "hi"}]"#,
        r#"io.world/Hello last = {"content": "hi"}"#,
    ] {
        output.wait_for(expected, |line| line == expected).await?;
    }

    let value = r#"{"content": "other"}"#;
    assert_eq!(says(&host, &["set", "hello/hello.last", value])?, "");
    let expected = format!("io.world/Hello last = {value}");
    output.wait_for(&expected, |line| line == expected).await?;
    assert_eq!(says(&host, &["get", "io.world/Hello.last"])?, value);
    let said = fails(&host, &["call", "room/thermostat.boost", "[100]"])?;
    assert!(said.contains("outOfLimits"), "{said}");
    Ok(())
}

#[tokio::test]
async fn guest_calls_a_guest_and_hears_its_signals() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;
    let mut client = host.client().await?;
    client.subscribe("service/hello-client/#", 1).await?;
    client.publish("service/hello-client/say", "hi").await?;
    assert_eq!(
        client.expect("service/hello-client/heard").await?.text(),
        "hi"
    );

    client.subscribe("service/driver/#", 1).await?;
    client.publish("service/driver/target", "25").await?;
    let accepted = client.expect("service/driver/accepted").await?;
    assert_eq!(accepted.text(), "25.0");
    client.publish("service/driver/boost", "100").await?;
    let refused = client.expect("service/driver/refused").await?;
    assert_eq!(refused.text(), "expected 5 to 30");
    client.publish("service/driver/measured", "31").await?;
    let warned = client.expect("service/driver/warned").await?;
    assert_eq!(warned.text(), "overheated at 31");
    client.publish("service/driver/measured", "4").await?;
    assert_eq!(client.expect("service/driver/switched").await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn guest_reads_and_sets_properties_of_a_guest() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;
    let mut client = host.client().await?;
    client.subscribe("service/hello-client/#", 1).await?;
    client.subscribe("io.world/Hello/prop/last", 1).await?;

    client
        .publish("service/hello-client/set", "by a guest")
        .await?;
    while !client
        .expect("io.world/Hello/prop/last")
        .await?
        .text()
        .contains("by a guest")
    {}
    // the value that the guest reads changes when it arrives there, too
    client
        .ask_until(
            "service/hello-client/get",
            "service/hello-client/last",
            "by a guest",
        )
        .await
}

#[tokio::test]
async fn services_of_the_configuration_are_described_with_their_settings() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let settings = json!({ "serve": [{ "interface": "io:world/hello", "module": "my.world" }] });
    let host = Host::on(broker.port())
        .service("hello", "hello", section("hello", settings))
        .start()
        .await?;

    let text = says(&host, &["describe", "hello"])?;
    for line in [
        "hello serves io:world/hello@1.0.0 as my.world/Hello",
        "  operation say(msg: message, when: when) -> s32",
        "    call    my.world/Hello/rpc/say",
        "            [{\"content\": string}, 0 (now) | 1 (soon) | 2 (never)]",
        "    emit    my.world/Hello/sig/justSaid",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }

    let document: Value =
        serde_json::from_str(&says(&host, &["describe", "hello", "-f", "asyncapi"])?)?;
    let address = format!("127.0.0.1:{}", broker.port());
    assert_eq!(document["servers"]["broker"]["host"], address);
    Ok(())
}

#[test]
fn asyncapi_documents_are_accepted_by_the_parser() -> Result<()> {
    for name in [
        "hello",
        "hello-client",
        "thermostat",
        "thermostat-client",
        "echo",
    ] {
        let file = guest(name);
        let output = host::command()?
            .args(["describe", &file, "--format", "asyncapi"])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        let checked = node("validate.js", &output.stdout)?;
        ensure!(checked.status.success(), "{name}: {checked:?}");

        // the parser finds mistakes
        let broken = String::from_utf8(output.stdout)?.replace("\"address\": \"", "\"adress\": \"");
        if name != "echo" {
            let checked = node("validate.js", broken.as_bytes())?;
            assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        }
    }

    Ok(())
}

#[tokio::test]
async fn payloads_on_the_wire_fit_the_schemas() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;
    let description: Value =
        serde_json::from_str(&says(&host, &["describe", "room", "-f", "json"])?)?;
    let interface = &description["interfaces"][0];
    let find = |list: &str, name: &str| {
        let items = interface[list].as_array();
        let found = items.and_then(|items| items.iter().find(|item| item["name"] == name));
        found.cloned().with_context(|| format!("no {name}"))
    };

    let reading = json!([{ "celsius": 31.5, "humidity": 85 }]);
    let warnings = says(
        &host,
        &["call", "room/thermostat.measure", &reading.to_string()],
    )?;
    let history = says(&host, &["call", "room/thermostat.history", "[5]"])?;
    let measured = says(&host, &["get", "room/thermostat.measured"])?;
    let refused = fails(&host, &["call", "room/thermostat.boost", "[100]"])?;
    let refused = refused.lines().last().context("no error")?;

    let pair = |schema: &Value, payload: &str| -> Result<Value> {
        Ok(json!({ "schema": schema, "value": serde_json::from_str::<Value>(payload)? }))
    };
    let (measure, history_of) = (
        find("operations", "measure")?,
        find("operations", "history")?,
    );
    let fit = json!([
        pair(&measure["arguments"], &reading.to_string())?,
        pair(&measure["answer"], &warnings)?,
        pair(&history_of["answer"], &history)?,
        pair(&find("properties", "measured")?["value"], &measured)?,
        pair(&find("operations", "boost")?["error"], refused)?,
    ]);

    let checked = node("fits.js", fit.to_string().as_bytes())?;
    ensure!(checked.status.success(), "{fit}: {checked:?}");

    let misfit = json!([pair(&measure["arguments"], "[{\"celsius\": \"warm\"}]")?]);
    assert_eq!(
        node("fits.js", misfit.to_string().as_bytes())?
            .status
            .code(),
        Some(1)
    );

    Ok(())
}

#[test]
fn check_names_every_difference_to_an_old_version() -> Result<()> {
    let check = |old: &str, new: &str| -> Result<Output> {
        Ok(host::command()?
            .args(["check", "--against", &guest(old), &guest(new)])
            .output()?)
    };

    let same = check("thermostat", "thermostat")?;
    ensure!(same.status.success(), "{same:?}");
    let text = String::from_utf8(same.stdout)?;
    assert!(text.contains("it fulfils the interfaces of"), "{text}");

    let other = check("thermostat", "hello")?;
    assert_eq!(other.status.code(), Some(1));
    let text = String::from_utf8(other.stdout)?;
    assert!(
        text.contains("  - it no longer exports home:climate/thermostat@1.0.0"),
        "{text}"
    );
    assert!(
        text.contains("  - it no longer emits home:climate/thermostat-signals@1.0.0"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn swap_names_interfaces_that_are_no_longer_served() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("hello", "hello", json!({}))
        .start()
        .await?;
    host.replace("hello", &guests::component("thermostat")?)?;
    host.output()
        .wait_for("the interface is missed", |line| {
            line.contains("the new version no longer exports io:world/hello@1.0.0")
        })
        .await?;
    Ok(())
}

/// The format of ApiGear's Python template: one byte of correlation data, and its reply topic.
#[tokio::test]
async fn operation_is_called_in_the_form_of_apigear() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = all(&broker).await?;
    let mut client = Client::connect(host.port()).await?;
    client
        .subscribe("io.world/Hello/rpc/say/b'cli1'/result", 2)
        .await?;

    let properties = Properties {
        response_topic: Some("io.world/Hello/rpc/say/b'cli1'/result".into()),
        correlation_data: Some(vec![7].into()),
        ..Properties::default()
    };
    let call = Message::new(
        "io.world/Hello/rpc/say",
        r#"[{"content": "Message to say"}, 0]"#,
    );
    client.send(call.qos(2).with(properties)).await?;
    let answer = client.next().await?;
    assert_eq!(answer.text(), "1");
    assert_eq!(
        answer.properties.correlation_data.as_deref(),
        Some(&[7][..])
    );
    Ok(())
}
