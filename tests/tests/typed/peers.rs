//! Clients and services in Python, written with paho after the messages of ApiGear's templates, against ours.

use std::process::Command;

use anyhow::{Result, ensure};
use miqro_tests::process::{Process, run_to_end};
use miqro_tests::{Client, Host, Mosquitto, place};
use serde_json::{Value, json};

use super::{MACHINE, caller, machine};

const PEERS: [&str; 5] = ["python", "cpp", "qt", "unreal", "rust"];

fn python(script: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(place::python()?);
    command
        .arg(place::project().join("tests/peers").join(script))
        .args(arguments);
    Ok(command)
}

/// A client of each template gets as many answers as it makes calls, with its own correlation data. On the embedded broker, because
/// mosquitto 2.0.11 loses messages of QoS 2 of paho, also between two Python programs.
#[tokio::test]
async fn clients_of_every_template_get_their_answers() -> Result<()> {
    let host = Host::embedded()?
        .service("machine", "contract-typed-service", machine())
        .start()
        .await?;
    let port = host.port().to_string();
    for peer in PEERS {
        let arguments = [
            &*port,
            peer,
            "test.typed",
            "Machine",
            "add",
            "[20, 22]",
            "300",
        ];

        let said = run_to_end(&mut python("apigear_client.py", &arguments)?).await?;
        ensure!(said.code == Some(0), "{peer}: {}", said.err);
        let answers: Vec<&str> = said
            .out
            .lines()
            .filter(|line| line.ends_with(" 42"))
            .collect();
        assert_eq!(answers.len(), 300, "{peer}");

        let first = match peer {
            "python" => "00",
            "cpp" => "3537333433",
            "qt" => "0000000000000000",
            "unreal" => "30303030303030302d303030302d303030302d303030302d303030303030303030303030",
            _ => "-",
        };

        assert_eq!(answers[0], format!("{first} 42"), "{peer}");
    }

    Ok(())
}

/// A guest calls services of the templates: operations, one without a result, a property, and a signal.
#[tokio::test]
async fn guest_calls_services_of_the_templates() -> Result<()> {
    for peer in ["python", "cpp", "qt", "unreal"] {
        let broker = Mosquitto::start().await?;
        let port = broker.port().to_string();
        let service = Process::start(&mut python("apigear_service.py", &[&port, peer])?)?;
        service.output().says(0, "serves").await?;

        let mut section = caller();
        let awaits_void = matches!(peer, "python" | "qt");
        section["call"][0]["awaits_void"] = json!(awaits_void);
        let _host = Host::on(broker.port())
            .service("caller", "contract-typed-client", section)
            .start()
            .await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("service/caller/+", 1).await?;

        let calls = [
            ("add", json!([1, 2]), json!(3)),
            ("nothing", json!([]), Value::Null),
            ("level", json!([]), json!(3)),
            ("set-level", json!([9]), Value::Null),
        ];

        for (call, arguments, expected) in calls {
            let command = json!({ "call": call, "args": arguments });
            client
                .publish("service/caller/do", command.to_string())
                .await?;
            let done = client.expect("service/caller/done").await?.json()?;
            assert_eq!(done["value"], expected, "{peer}: {call}");
        }

        let signal = client.expect("service/caller/signal").await?;
        assert_eq!(signal.json()?, json!([9, peer]));
        service.output().says(0, "nothing []").await?;
    }

    Ok(())
}

/// A peer of the defective kind leaves a retained signal behind: a client that comes later does not take it for a new one.
#[tokio::test]
async fn retained_signal_is_not_taken_for_a_new_one() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    let signal = format!("{MACHINE}/sig/levelPassed");
    client
        .send(miqro_tests::Message::new(&*signal, r#"[1, "old"]"#).retained())
        .await?;
    client.subscribe("service/caller/signal", 1).await?;
    let _host = Host::on(broker.port())
        .service("caller", "contract-typed-client", caller())
        .start()
        .await?;
    client.publish(&signal, r#"[2, "new"]"#).await?;
    let arrived = client.expect("service/caller/signal").await?;
    assert_eq!(arrived.json()?, json!([2, "new"]));
    Ok(())
}
