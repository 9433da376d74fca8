//! No room for the state: the disk is full, or the place cannot be written. A call that sets state
//! fails and leaves no trace, the host lives, services without state do not notice, and every
//! promised value is there when there is room again.

use std::process::Command;

use anyhow::{Result, ensure};
use miqro_tests::process::run_to_end;
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::{Value, json};

/// The largest value that fits into a state of the default size, nearly.
const LARGE: usize = 900_000;
/// A limit for every file that the host writes, in blocks of 512 bytes: more than an empty state file, less than a full one. The
/// limit can be lifted; and a write above it is an error as on a full disk, and not a signal.
const LIMITED: [&str; 3] = [
    "sh",
    "-c",
    "trap '' XFSZ; ulimit -S -f 6144; exec \"$0\" \"$@\"",
];

fn services(setup: miqro_tests::host::Setup) -> miqro_tests::host::Setup {
    let limits = json!({ "attempts": 2, "backoff": { "min": "1ms", "max": "1ms" } });
    setup
        .service("keeper", "contract-full", json!({ "limits": limits }))
        .service("relay", "relay", json!({}))
}

/// A client that hears what the keeper says.
async fn client(broker: &Mosquitto) -> Result<Client> {
    let mut client = Client::connect(broker.port()).await?;
    for topic in ["value", "dead-letter", "refused"] {
        client
            .subscribe(&format!("service/keeper/{topic}"), 1)
            .await?;
    }
    Ok(client)
}

/// Tells the keeper, and gives the last word of the topic on which something comes back, with that.
async fn told(client: &mut Client, command: Value) -> Result<(String, String)> {
    client
        .publish("service/keeper/command", command.to_string())
        .await?;
    answer(client).await
}

async fn answer(client: &mut Client) -> Result<(String, String)> {
    let message = client.next().await?;
    Ok((
        message
            .topic
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        message.text(),
    ))
}

async fn get(client: &mut Client, key: &str) -> Result<Value> {
    client
        .publish_once("service/keeper/command", json!({ "get": key }).to_string())
        .await?;
    let (topic, value) = answer(client).await?;
    ensure!(topic == "value", "{topic}: {value}");
    Ok(serde_json::from_str(&value)?)
}

/// The neighbour without state.
async fn relays(broker: &Mosquitto) -> Result<()> {
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/relay/out", 1).await?;
    client.publish("service/relay/in", "still here").await?;
    assert_eq!(client.next().await?.text(), "still here");
    Ok(())
}

fn large(number: u32) -> String {
    number.to_string().repeat(LARGE)
}

/// Sets large values until one fails; returns which.
async fn fill(client: &mut Client) -> Result<u32> {
    for number in 0..10 {
        let (topic, said) = told(client, json!({ "set": "large", "value": large(number) })).await?;
        if topic == "dead-letter" {
            return Ok(number);
        }
        ensure!(topic == "value", "{topic}: {said}");
    }

    anyhow::bail!("the disk does not fill")
}

#[tokio::test]
async fn a_full_disk_costs_only_what_needs_it_and_room_mends_it() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = services(Host::on(broker.port()))
        .through(&LIMITED)
        .start()
        .await?;
    let mut client = client(&broker).await?;
    assert_eq!(
        told(&mut client, json!({ "set": "small", "value": "kept" }))
            .await?
            .0,
        "value"
    );

    let failed = fill(&mut client).await?;
    let said = host.output().says(0, "the state could not be kept").await?;
    assert!(
        said.contains(".redb") && said.contains("service=keeper"),
        "{said}"
    );
    relays(&broker).await?;
    // nothing of the failed call is there, and everything from before
    let last = failed
        .checked_sub(1)
        .map_or(Value::Null, |last| large(last).into());
    assert_eq!(
        (
            get(&mut client, "small").await?,
            get(&mut client, "large").await?
        ),
        (json!("kept"), last.clone())
    );

    // with room again it goes on as if nothing had been
    room(&host).await?;
    assert_eq!(
        told(&mut client, json!({ "set": "after", "value": "room" }))
            .await?
            .0,
        "value"
    );

    // once this is answered, the broker has the acknowledgement of earlier messages, and does not deliver them again
    assert_eq!(get(&mut client, "after").await?, json!("room"));
    host.start_through(&[""; 0]);
    for more in ["first", "second"] {
        host.kill()?;
        host.restart()?;
        host.online().await?;
        assert_eq!(get(&mut client, "small").await?, json!("kept"), "{more}");
        assert_eq!(get(&mut client, "large").await?, last, "{more}");
        assert_eq!(get(&mut client, "after").await?, json!("room"), "{more}");
        assert_eq!(
            host.output().count("damaged"),
            0,
            "{}",
            host.output().told(more)
        );
    }

    Ok(())
}

/// Lifts the limit of the running host.
async fn room(host: &Host) -> Result<()> {
    let mut command = Command::new("prlimit");
    command
        .args(["--fsize=unlimited", "--pid"])
        .arg(host.process().id().to_string());
    let said = run_to_end(&mut command).await?;
    ensure!(said.code == Some(0), "{}", said.err);
    Ok(())
}

/// `/proc` refuses also root.
#[tokio::test]
async fn a_read_only_place_is_named_and_affects_only_its_users() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = services(Host::on(broker.port()))
        .top("state_file", json!("/proc/miqro/state.redb"))
        .start()
        .await?;
    relays(&broker).await?;
    host.output()
        .says(
            0,
            "cannot persist the version history: the state file /proc/miqro/state.redb",
        )
        .await?;

    let mut client = client(&broker).await?;
    assert_eq!(get(&mut client, "small").await?, Value::Null);
    assert_eq!(
        told(&mut client, json!({ "set": "small", "value": "lost" }))
            .await?
            .0,
        "dead-letter"
    );

    let said = host.output().says(0, "is given up").await?;
    assert!(
        said.contains("/proc/miqro/state.redb") && said.contains("directory"),
        "{said}"
    );
    assert_eq!(get(&mut client, "small").await?, Value::Null);
    relays(&broker).await
}
