//! The embedded broker serves whatever is on the network: clients that misbehave cost it little
//! memory and few log lines, and services are answered meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use miqro_tests::{Client, Deadline, Host, Message};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::victim::Victim;

const MIB: u64 = 1 << 20;
/// How much more memory the host may have than before: the share of one client, retained messages, and some more.
const MORE: u64 = 80 * MIB;
const BYTES: usize = 20_000;
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// A subscriber to `flood` that never reads again.
async fn sleeper(port: u16, id: u8, qos: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, id])
        .await?;
    stream
        .write_all(&[0x82, 10, 0, 1, 0, 5, b'f', b'l', b'o', b'o', b'd', qos])
        .await?;
    let mut answers = [0; 9];
    stream.read_exact(&mut answers).await?;
    ensure!(
        answers[..4] == [0x20, 2, 0, 0] && answers[8] == qos,
        "{answers:?}"
    );
    Ok(stream)
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
async fn clients_that_misbehave_cost_the_embedded_broker_little_memory_and_few_lines() -> Result<()>
{
    let host = Host::embedded()?
        .service("victim", "relay", json!({}))
        .start()
        .await?;
    let victim = Victim::start(host.port()).await?;
    let before = host.process().memory()?;
    let lines = host.output().lines().len();
    let mut client = Client::connect(host.port()).await?;
    for qos in 0..2 {
        let _sleeper = sleeper(host.port(), b'a' + qos, qos).await?;
        // 200 MB
        for _ in 0..100 {
            for _ in 0..100 {
                let message = Message::new("flood", vec![b'x'; BYTES]);
                client.post(message).await?;
            }
            client.acknowledged(100).await?;
        }
    }

    for number in 0..20_000 {
        // most of them are refused
        client
            .post(Message {
                retain: true,
                qos: 0,
                ..Message::new(format!("kept/{number}"), "x")
            })
            .await?;
    }

    for number in 0..600 {
        let mut stream = TcpStream::connect(("127.0.0.1", host.port())).await?;
        let bytes: &[u8] = if number % 2 == 0 {
            b"GET / HTTP/1.1\r\n\r\n"
        } else {
            &[0x10, 0xFF, 0xFF, 0xFF, 0x7F]
        };
        stream.write_all(bytes).await?;
        let end = Deadline::new()
            .wait("the end of a bad connection", stream.read(&mut [0; 16]))
            .await?;
        ensure!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }

    victim.check(LONGEST_GAP).await?;
    let after = host.process().memory()?;
    let grown = after.peak.saturating_sub(before.now) / MIB;
    ensure!(
        grown < MORE / MIB,
        "{}",
        host.output().told(&format!("{grown} MiB more"))
    );
    host.output()
        .says(lines, "something else than CONNECT")
        .await?;
    host.output()
        .says(lines, "messages refused beyond limits.retained")
        .await?;
    let said = host.output().lines().len() - lines;
    ensure!(
        said <= 4,
        "{}",
        host.output().told(&format!("{said} lines"))
    );
    Ok(())
}
