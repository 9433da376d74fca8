//! Hot reload: a component file is replaced while the service runs. In: the same file, renamed over, written in place, or
//! behind a symbolic link. Out: the new version answers from one message to the next, or the old one goes on.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::{Client, Deadline, Host, Message, Mosquitto, guests};
use serde_json::json;
use tokio::sync::watch;

/// A lifecycle guest as the service `it`, and a client that has subscribed to all it says.
async fn stage() -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port()).service("it", "contract-lifecycle", json!({})).start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/it/#", 1).await?;
    Ok((broker, host, client))
}

/// Waits until the version `number` has started and answers.
async fn runs(client: &mut Client, number: u32) -> Result<()> {
    while client.expect("service/it/started").await?.text() != guests::version(number) {}
    client.publish("service/it/work", "").await?;
    assert_eq!(client.expect("service/it/worked").await?.text(), guests::version(number));
    Ok(())
}

/// How often somebody has connected to the broker whom it takes for the host.
fn connections(broker: &Mosquitto) -> usize {
    let host = |line: &&String| line.contains("New client connected") && !line.contains(" as test-");
    broker.output().lines().iter().filter(host).count()
}

#[tokio::test]
async fn by_a_rename() -> Result<()> {
    let (broker, host, mut client) = stage().await?;
    runs(&mut client, 1).await?;
    for number in 2..6 {
        host.replace("it", &guests::lifecycle(number)?)?;
        runs(&mut client, number).await?;
    }
    assert_eq!(connections(&broker), 1, "{}", broker.output().told("the host has connected once"));
    Ok(())
}

#[tokio::test]
async fn written_in_place() -> Result<()> {
    let (_broker, host, mut client) = stage().await?;
    for number in 2..6 {
        std::fs::write(host.file("it"), guests::lifecycle(number)?)?;
        runs(&mut client, number).await?;
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_symbolic_link() -> Result<()> {
    let (_broker, host, mut client) = stage().await?;
    let link = |to: &str| -> Result<()> {
        let new = host.folder().join("link");
        std::os::unix::fs::symlink(to, &new)?;
        Ok(std::fs::rename(new, host.file("it"))?)
    };
    let versions = host.folder().join("versions");
    std::fs::create_dir(&versions)?;
    for number in 2..4 {
        std::fs::write(versions.join(format!("{number}.wasm")), guests::lifecycle(number)?)?;
        link(&format!("versions/{number}.wasm"))?;
        runs(&mut client, number).await?;
    }
    // the file that the link points to is replaced, the link is not touched
    std::fs::write(versions.join("new"), guests::lifecycle(4)?)?;
    std::fs::rename(versions.join("new"), versions.join("3.wasm"))?;
    runs(&mut client, 4).await
}

#[tokio::test]
async fn a_file_that_is_no_component_changes_nothing() -> Result<()> {
    let (_broker, host, mut client) = stage().await?;
    let whole = guests::lifecycle(2)?;
    let broken: [&[u8]; 5] =
        [b"", b"<html>not found</html>", b"\0asm\x01\0\0\0", &whole[..whole.len() / 2], b"\0asm\x0d\0\x01\0"];
    for bytes in broken {
        let start = host.output().lines().len();
        host.replace("it", bytes)?;
        let warned = |line: &str| line.contains("it") && (line.contains("WARN") || line.contains("ERROR"));
        host.output().wait_from(start, "why it is not taken", warned).await?;
        client.publish("service/it/work", "").await?;
        assert_eq!(client.expect("service/it/worked").await?.text(), guests::FIRST_VERSION);
    }
    host.replace("it", &whole)?;
    runs(&mut client, 2).await
}

/// A file that grows is taken when it is whole.
#[tokio::test]
async fn half_a_file_is_never_taken() -> Result<()> {
    let (_broker, host, mut client) = stage().await?;
    let whole = guests::lifecycle(2)?;
    let (first, second) = whole.split_at(whole.len() / 2);
    let mut file = std::fs::File::create(host.file("it"))?;
    std::io::Write::write_all(&mut file, first)?;
    client.publish("service/it/work", "").await?;
    assert_eq!(client.expect("service/it/worked").await?.text(), guests::FIRST_VERSION);
    std::io::Write::write_all(&mut file, second)?;
    drop(file);
    runs(&mut client, 2).await
}

/// Twenty versions while 5,000 messages a second flow: each is answered once, in order, and the connection stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load() -> Result<()> {
    const SWAPS: u8 = 20;
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port()).service("relay", "relay", json!({})).start().await?;
    let mut receiver = Client::connect(broker.port()).await?;
    receiver.subscribe("service/relay/out", 1).await?;
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load(Client::connect(broker.port()).await?, stopped));

    let component = guests::component("relay")?;
    let mut answered = 0;
    for swap in 1..=SWAPS {
        let start = host.output().lines().len();
        host.replace("relay", &guests::marked(&component, swap))?;
        let output = host.output().clone();
        let mut over = pin!(output.wait_from(start, "the new version", |line| line.contains("takes over")));
        // on while it happens, and for a tenth of a second's messages after it
        let mut left = 500;
        let mut swapped = false;
        while left > 0 {
            tokio::select! {
                line = &mut over, if !swapped => { line?; swapped = true; }
                message = receiver.next() => {
                    assert_eq!(message?.text(), answered.to_string(), "each once and in order");
                    answered += 1;
                    left -= usize::from(swapped);
                }
            }
        }
    }
    stop.send_replace(true);
    let sent = Deadline::new().wait("the load", load).await???;
    while answered < sent {
        let message = receiver.next().await.with_context(|| format!("{answered} of {sent} answered"))?;
        assert_eq!(message.text(), answered.to_string(), "each once and in order");
        answered += 1;
    }
    assert_eq!(receiver.pending().await?, [], "nothing twice");
    assert_eq!(connections(&broker), 1, "{}", broker.output().told("the host has connected once"));
    Ok(())
}

/// Publishes numbers, 25 every 5 ms, until it is told to stop; returns how many.
async fn load(mut sender: Client, stopped: watch::Receiver<bool>) -> Result<usize> {
    const BATCH: usize = 25;
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    let mut sent = 0;
    while !*stopped.borrow() {
        beat.tick().await;
        for number in sent..sent + BATCH {
            sender.post(Message::new("service/relay/in", number.to_string())).await?;
        }
        sent += BATCH;
    }
    sender.acknowledged(sent).await?;
    Ok(sent)
}
