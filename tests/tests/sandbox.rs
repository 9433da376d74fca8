//! What a guest reaches without grants: nothing. With a grant: that, and no more.

use std::net::{TcpListener, UdpSocket};

use anyhow::Result;
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::{Value, json};

/// A host with the guest that tries, and a client that hears what came of it.
struct Stage {
    _broker: Mosquitto,
    _host: Host,
    client: Client,
}

impl Stage {
    async fn new(section: Value) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let host = Host::on(broker.port()).service("it", "contract-wasi", section).start().await?;
        let mut client = host.client().await?;
        client.subscribe("service/it/reached", 1).await?;
        client.subscribe("service/it/denied", 1).await?;
        Ok(Self { _broker: broker, _host: host, client })
    }

    /// What the guest found, or why it did not.
    async fn tries(&mut self, command: String) -> Result<Result<String, String>> {
        self.client.publish("service/it/try", command).await?;
        let answer = self.client.next().await?;
        Ok(if answer.topic.ends_with("reached") { Ok(answer.text()) } else { Err(answer.text()) })
    }
}

#[tokio::test]
async fn nothing_is_reached_without_a_grant() -> Result<()> {
    let mut stage = Stage::new(json!({})).await?;
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    for listens in [tcp.set_nonblocking(true), udp.set_nonblocking(true)] {
        listens?;
    }
    let (tcp_address, udp_address) = (tcp.local_addr()?, udp.local_addr()?);
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
async fn what_is_granted_is_reached_and_nothing_beside_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("granted"))?;
    std::fs::write(folder.path().join("granted/here"), "found")?;
    std::fs::write(folder.path().join("beside"), "secret")?;
    std::os::unix::fs::symlink("../beside", folder.path().join("granted/link"))?;
    let directory = json!({ "path": folder.path().join("granted"), "guest": "/data" });
    let mut stage = Stage::new(json!({ "grants": { "directories": [directory], "environment": ["PATH"] } })).await?;
    assert_eq!(stage.tries("read /data/here".to_owned()).await?, Ok("found".to_owned()));
    assert_eq!(stage.tries("env PATH".to_owned()).await?.ok(), std::env::var("PATH").ok());
    for command in ["read /data/link", "read /data/../beside", "read /etc/hostname", "env HOME"] {
        let outcome = stage.tries(command.to_owned()).await?;
        assert!(outcome.is_err(), "{command}: {outcome:?}");
    }
    Ok(())
}
