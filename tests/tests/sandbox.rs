//! A guest reaches nothing without grants, and with a grant only the granted target.

use std::net::{TcpListener, UdpSocket};

use anyhow::Result;
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::{Value, json};

/// A host with the guest that tries, and a client that hears what came of it.
struct Stage {
    _broker: Mosquitto,
    host: Host,
    client: Client,
}

impl Stage {
    async fn new(section: Value) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let host = Host::on(broker.port())
            .service("it", "contract-wasi", section)
            .start()
            .await?;
        let mut client = host.client().await?;
        client.subscribe("service/it/reached", 1).await?;
        client.subscribe("service/it/denied", 1).await?;
        Ok(Self {
            _broker: broker,
            host,
            client,
        })
    }

    /// The result of the guest, or the reason of its failure.
    async fn tries(&mut self, command: String) -> Result<Result<String, String>> {
        self.client.publish("service/it/try", command).await?;
        let answer = self.client.next().await?;
        Ok(if answer.topic.ends_with("reached") {
            Ok(answer.text())
        } else {
            Err(answer.text())
        })
    }
}

#[tokio::test]
async fn without_grants_a_guest_reaches_nothing() -> Result<()> {
    let mut stage = Stage::new(json!({})).await?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    for listens in [tcp.set_nonblocking(true), udp.set_nonblocking(true)] {
        listens?;
    }
    let tcp_address = tcp.local_addr()?;
    let udp_address = udp.local_addr()?;
    for command in [
        format!("tcp {tcp_address}"),
        format!("udp {udp_address}"),
        "listen 127.0.0.1:0".to_owned(),
        "resolve localhost:80".to_owned(),
        "read /etc/hostname".to_owned(),
        "list /".to_owned(),
        "list .".to_owned(),
        "env PATH".to_owned(),
    ] {
        let outcome = stage.tries(command.clone()).await?;
        assert!(outcome.is_err(), "{command}: {outcome:?}");
    }

    assert!(tcp.accept().is_err(), "somebody has connected");
    assert!(udp.recv_from(&mut [0; 8]).is_err(), "something came");
    Ok(())
}

#[tokio::test]
async fn grants_open_exactly_what_they_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("granted"))?;
    std::fs::write(folder.path().join("granted/here"), "found")?;
    std::fs::write(folder.path().join("beside"), "secret")?;
    std::os::unix::fs::symlink("../beside", folder.path().join("granted/link"))?;
    let directory = json!({ "path": folder.path().join("granted"), "guest": "/data" });
    let mut stage =
        Stage::new(json!({ "grants": { "directories": [directory], "environment": ["PATH"] } }))
            .await?;
    assert_eq!(
        stage.tries("read /data/here".to_owned()).await?,
        Ok("found".to_owned())
    );
    assert_eq!(
        stage.tries("env PATH".to_owned()).await?.ok(),
        std::env::var("PATH").ok()
    );
    for command in [
        "read /data/link",
        "read /data/../beside",
        "read /etc/hostname",
        "env HOME",
    ] {
        let outcome = stage.tries(command.to_owned()).await?;
        assert!(outcome.is_err(), "{command}: {outcome:?}");
    }

    Ok(())
}

/// Counts the lines of `miqro.yml` that the log names for a refusal.
fn named(host: &Host, grant: &str) -> usize {
    host.output().count(&format!(
        "write into miqro.yml: services.it.grants.sockets: [\"{grant}\"]"
    ))
}

#[tokio::test]
async fn a_granted_socket_is_reached_and_no_other() -> Result<()> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    udp.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    let granted = tcp.local_addr()?;
    let refused = other.local_addr()?;
    let datagrams = udp.local_addr()?;
    let by_name = format!("tcp:localhost:{}", granted.port());
    let sockets = json!([
        format!("tcp:{granted}"),
        format!("udp:{datagrams}"),
        by_name
    ]);
    let mut stage = Stage::new(json!({ "grants": { "sockets": sockets } })).await?;
    let port = granted.port();
    for command in [
        format!("tcp {granted}"),
        format!("tcp localhost:{port}"),
        format!("udp {datagrams}"),
    ] {
        let outcome = stage.tries(command.clone()).await?;
        assert!(outcome.is_ok(), "{command}: {outcome:?}");
    }

    assert_eq!(udp.recv(&mut [0; 8])?, 1);
    tcp.accept()?;
    for command in [
        format!("tcp {refused}"),
        format!("tcp {refused}"),
        format!("udp 127.0.0.1:{port}"),
        format!("listen 127.0.0.1:{port}"),
        "listen 127.0.0.1:0".to_owned(),
        "resolve example.invalid:80".to_owned(),
    ] {
        let outcome = stage.tries(command.clone()).await?;
        assert!(outcome.is_err(), "{command}: {outcome:?}");
    }

    other.set_nonblocking(true)?;
    assert!(other.accept().is_err(), "somebody has connected");
    let output = stage.host.output();
    for grant in [
        format!("tcp:{refused}"),
        format!("udp:127.0.0.1:{port}"),
        "tcp:example.invalid:PORT".to_owned(),
    ] {
        output.says(0, &format!("[\"{grant}\"]")).await?;
        assert_eq!(named(&stage.host, &grant), 1, "{}", output.told(&grant));
    }

    Ok(())
}

#[tokio::test]
async fn a_refused_socket_is_said_once_with_the_line_that_would_grant_it() -> Result<()> {
    let mut stage = Stage::new(json!({})).await?;
    for command in [
        "tcp 127.0.0.1:1",
        "tcp 127.0.0.1:2",
        "udp 127.0.0.1:1",
        "resolve localhost:80",
    ] {
        let outcome = stage.tries(command.to_owned()).await?;
        assert!(outcome.is_err(), "{command}: {outcome:?}");
    }

    for grant in ["tcp:HOST:PORT", "udp:HOST:PORT", "tcp:localhost:PORT"] {
        stage
            .host
            .output()
            .says(0, &format!("[\"{grant}\"]"))
            .await?;
        assert_eq!(
            named(&stage.host, grant),
            1,
            "{}",
            stage.host.output().told(grant)
        );
    }

    Ok(())
}

/// The answer of the guest `guest` to a command on `topic`: nothing, or the reason of a refusal.
async fn asked(stage: &mut Client, topic: &str, command: Value) -> Result<Option<String>> {
    stage
        .publish(&format!("service/it/{topic}"), command.to_string())
        .await?;
    loop {
        let message = stage.next().await?;
        match message.topic.as_str() {
            "service/it/done" => return Ok(None),
            "service/it/refused" => return Ok(Some(message.text())),
            _ => {}
        }
    }
}

/// `$SYS` and shared subscriptions need a grant too; one for everything does not mean what begins with `$` (MQTT 5, section 4.7.2).
#[tokio::test]
async fn the_brokers_own_topics_and_shared_subscriptions_need_a_grant() -> Result<()> {
    let everything = json!({ "grants": { "publish": ["#"], "subscribe": ["#"] } });
    let system = json!({ "grants": { "publish": ["$SYS/x"], "subscribe": ["$SYS/#", "other/#"] } });
    let wanted = [
        (
            "contract-subscribe",
            "command",
            json!({ "subscribe": "$SYS/#", "global": true }),
            r#"subscribe: ["$SYS/#"]"#,
        ),
        (
            "contract-subscribe",
            "command",
            json!({ "subscribe": "$share/g/other/#", "global": true }),
            r#"subscribe: ["other/#"]"#,
        ),
        (
            "contract-publish",
            "publish",
            json!({ "topic": "$SYS/x", "payload": "", "global": true }),
            r#"publish: ["$SYS/x"]"#,
        ),
    ];

    for (guest, topic, command, line) in wanted {
        for (section, granted) in [
            (json!({}), false),
            (everything.clone(), line.contains("other")),
            (system.clone(), true),
        ] {
            if granted && guest == "contract-publish" {
                continue; // the broker's reaction is its own
            }
            let broker = Mosquitto::start().await?;
            let host = Host::on(broker.port())
                .service("it", guest, section.clone())
                .start()
                .await?;
            let mut client = host.client().await?;
            client.subscribe("service/it/+", 1).await?;
            let refused = asked(&mut client, topic, command.clone()).await?;
            assert_eq!(
                refused.is_none(),
                granted,
                "{command} with {section}: {refused:?}"
            );
            if let Some(why) = refused {
                // the guest shows the text as Rust writes it
                assert!(
                    why.replace('\\', "")
                        .contains(&format!("services.it.grants.{line}")),
                    "{why}"
                );
                host.output()
                    .says(0, &format!("services.it.grants.{line}"))
                    .await?;
            }
        }
    }

    Ok(())
}
