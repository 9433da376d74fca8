//! The configuration changes while the host runs: only the parts that differ are touched, a wrong
//! one changes nothing, and no message is lost.

use std::path::Path;

use anyhow::{Context, Result};
use miqro_tests::load::relay_answers;
use miqro_tests::process::Process;
use miqro_tests::{Client, Host, Mosquitto, Tally, guests, host};
use serde_json::{Value, json};

/// Messages a second.
const RATE: u32 = 2_000;

/// Waits for the retained section that the guest `contract-config` shows when it starts.
async fn section(client: &mut Client, service: &str, key: &str, value: &str) -> Result<()> {
    let topic = format!("service/{service}/config_at_start");
    loop {
        let message = client
            .expect(&topic)
            .await
            .with_context(|| format!("{service} never had {key}: {value}"))?;
        if message.json()?[key] == value {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_changed_section_reaches_its_service_and_no_other() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .broker("client_id", json!("house"))
        .service("a", "contract-config", json!({ "colour": "red" }))
        .service("b", "contract-config", json!({ "colour": "red" }))
        .start()
        .await?;

    let mut client = host.client().await?;
    client.subscribe("service/#", 1).await?;
    section(&mut client, "a", "colour", "red").await?;
    let mut config = host.config();
    config["services"]["a"]["colour"] = json!("blue");
    host.reconfigured(&config).await?;
    section(&mut client, "a", "colour", "blue").await?;
    let output = host.output();
    // the answer may be here before the line is
    output.says(0, "runs with its new configuration").await?;
    assert_eq!(
        output.count("changed: services.a.colour: \"red\" -> \"blue\""),
        1,
        "{}",
        output.told("difference")
    );

    assert_eq!(
        output.count("runs with its new configuration"),
        1,
        "{}",
        output.told("changes")
    );

    // presence connections say nothing of their own
    assert_eq!(
        output.count("connected to"),
        1,
        "{}",
        output.told("connections")
    );

    client.publish("service/b/get", "").await?;
    assert_eq!(
        client.expect("service/b/config").await?.json()?["colour"],
        "red"
    );
    Ok(())
}

#[tokio::test]
async fn twenty_changes_of_a_section_under_load_lose_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({ "number": 0 }))
        .start()
        .await?;
    let mut tally = Tally::start(host.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(RATE).await?;
    let mut config = host.config();
    for number in 1..=20 {
        tally.further(100).await?;
        config["services"]["relay"]["number"] = json!(number);
        host.reconfigured(&config).await?;
    }
    let sent = load.stop().await?;
    tally.each_once(sent).await?;
    assert_eq!(
        host.output().count("connected to"),
        1,
        "{}",
        host.output().told("connections")
    );

    Ok(())
}

#[tokio::test]
async fn the_first_sighup_does_not_crash_and_says_that_nothing_has_changed() -> Result<()> {
    let mut host = Host::embedded()?
        .service("echo", "echo", json!({}))
        .start()
        .await?;
    for _ in 0..3 {
        let line = host.output().lines().len();
        host.process().signal("HUP")?;
        host.output()
            .says(line, "the configuration has not changed")
            .await?;
    }

    assert!(host.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_file_with_faults_changes_nothing_and_each_fault_is_said() -> Result<()> {
    let host = Host::embedded()?
        .service("echo", "echo", json!({}))
        .start()
        .await?;
    let said = host.refused("broker: [\n").await?;
    assert!(
        said.contains("miqro.yml:") && said.contains("not YAML"),
        "{said}"
    );
    let mut config = host.config();
    config["log_level"] = json!("LOUD");
    config["services"]["echo"]["limits"] = json!({ "call": "soon" });
    let said = host.refused(&config).await?;
    assert!(
        said.contains("log_level: expected one of TRACE, ") && said.contains("found \"LOUD\""),
        "{said}"
    );
    assert!(
        said.contains("services.echo.limits.call: expected a duration"),
        "{said}"
    );
    // a missing file is not a configuration either
    let line = host.output().lines().len();
    std::fs::remove_file(host.folder().join("miqro.yml"))?;
    host.process().signal("HUP")?;
    host.output()
        .says(line, "is refused, the running one stays")
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/echo/echo_response", 1).await?;
    client.publish("service/echo/echo", "still here").await?;
    assert_eq!(
        client.expect("service/echo/echo_response").await?.text(),
        "still here"
    );
    // and the next good one is taken
    let mut config = host.config();
    config["log_level"] = json!("DEBUG");
    host.reconfigured(&config).await
}

#[tokio::test]
async fn when_one_service_cannot_start_no_other_is_touched() -> Result<()> {
    let host = Host::embedded()?
        .service("a", "contract-config", json!({ "colour": "red" }))
        .service("b", "contract-config", json!({ "colour": "red" }))
        .start()
        .await?;
    let mut config = host.config();
    config["services"]["a"]["colour"] = json!("blue");
    config["services"]["b"]["limits"] = json!({ "publishes": 0 });
    config["log_level"] = json!("ERROR");
    let said = host.refused(&config).await?;
    assert!(
        said.contains("services.b: does not start with the new configuration"),
        "{said}"
    );
    let mut client = host.client().await?;
    client.subscribe("service/a/config", 1).await?;
    client.publish("service/a/get", "").await?;
    assert_eq!(
        client.expect("service/a/config").await?.json()?["colour"],
        "red"
    );
    assert_eq!(host.output().count("runs with its new configuration"), 0);
    Ok(())
}

#[tokio::test]
async fn fixed_settings_are_refused_on_reload() -> Result<()> {
    let host = Host::embedded()?
        .service("echo", "echo", json!({}))
        .start()
        .await?;
    let mut config = host.config();
    config["broker"]["embedded"]["listen"] = json!("127.0.0.1:1");
    config["presence_connections"] = json!(3);
    let said = host.refused(&config).await?;
    let expected = "broker.embedded.listen, presence_connections cannot change while the host runs: start it again";
    assert!(said.contains(expected), "{said}");
    Ok(())
}

/// A host that runs what its file names, with nothing on its command line.
struct House {
    broker: Mosquitto,
    folder: tempfile::TempDir,
}

impl House {
    /// A folder with these guests.
    async fn new(guests: &[&str]) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let folder = tempfile::tempdir()?;
        for guest in guests {
            std::fs::write(
                folder.path().join(guest).with_extension("wasm"),
                guests::component(guest)?,
            )?;
        }

        Ok(Self { broker, folder })
    }

    fn configure(&self, services: &Value) -> Result<()> {
        let broker = json!({ "host": "127.0.0.1", "port": self.broker.port() });
        let text =
            json!({ "broker": broker, "stop_deadline": "1s", "services": services }).to_string();
        Ok(std::fs::write(self.folder.path().join("miqro.yml"), text)?)
    }

    fn start(&self) -> Result<Process> {
        let arguments = ["run", "--config", "miqro.yml"];
        let mut command = host::command_in(self.folder.path())?;
        Process::start(command.args(arguments))
    }

    /// Configures other services and waits until they run.
    async fn reconfigured(&self, process: &Process, services: &Value) -> Result<()> {
        let line = process.output().lines().len();
        self.configure(services)?;
        process.output().says(line, "is in force").await.map(drop)
    }
}

/// Waits until the service says that it is online or not.
async fn online(client: &mut Client, service: &str, value: &str) -> Result<()> {
    while client
        .expect(&format!("service/{service}/online"))
        .await?
        .text()
        != value
    {}
    Ok(())
}

/// The service answers.
async fn answers(client: &mut Client, service: &str) -> Result<()> {
    client
        .publish(&format!("service/{service}/in"), service.to_owned())
        .await?;
    assert_eq!(
        client
            .expect(&format!("service/{service}/out"))
            .await?
            .text(),
        service
    );

    Ok(())
}

#[tokio::test]
async fn services_come_and_go_and_come_back_and_move() -> Result<()> {
    let house = House::new(&["relay"]).await?;
    let relay = json!({ "component": "relay.wasm" });
    house.configure(&json!({ "a": relay, "b": relay }))?;
    let mut process = house.start()?;
    let mut client = Client::connect(house.broker.port()).await?;
    client.subscribe("service/+/online", 1).await?;
    client.subscribe("service/+/out", 1).await?;
    online(&mut client, "b", "1").await?;
    house
        .reconfigured(&process, &json!({ "a": relay, "c": relay }))
        .await?;
    process
        .output()
        .says(0, "is no longer configured and ends service=b")
        .await?;
    online(&mut client, "c", "1").await?;
    answers(&mut client, "c").await?;
    let moved = json!({ "component": "relay.wasm", "data_topic": "service/moved" });
    house
        .reconfigured(&process, &json!({ "a": moved, "b": relay, "c": relay }))
        .await?;
    online(&mut client, "moved", "1").await?;
    answers(&mut client, "moved").await?;
    answers(&mut client, "b").await?;
    process.signal("TERM")?;
    assert!(process.ended().await?.success());
    // at the end all of them are offline, whichever connection said so
    for service in ["a", "b", "c", "moved"] {
        let mut client = Client::connect(house.broker.port()).await?;
        client
            .subscribe(&format!("service/{service}/online"), 1)
            .await?;
        assert_eq!(
            client
                .expect(&format!("service/{service}/online"))
                .await?
                .text(),
            "0",
            "{service}"
        );
    }

    Ok(())
}

#[tokio::test]
async fn a_service_removed_while_busy_delays_no_other() -> Result<()> {
    let house = House::new(&["relay", "contract-faulty"]).await?;
    let relay = json!({ "component": "relay.wasm" });
    let limits = json!({ "attempts": 1000, "backoff": { "min": "1h", "max": "1h" } });
    let faulty = json!({ "component": "contract-faulty.wasm", "limits": limits });
    house.configure(&json!({ "relay": relay, "faulty": faulty }))?;
    let process = house.start()?;
    let mut client = Client::connect(house.broker.port()).await?;
    client.subscribe("service/+/online", 1).await?;
    online(&mut client, "faulty", "1").await?;
    // one is being tried again, others wait behind it: none of them is acknowledged
    for _ in 0..5 {
        client.publish("service/faulty/work", "fail").await?;
    }
    process.output().says(0, "is tried again in").await?;
    house
        .reconfigured(&process, &json!({ "relay": relay }))
        .await?;
    process
        .output()
        .says(0, "are kept on disk until the service is configured again")
        .await?;
    // more than the broker may have unacknowledged
    relay_answers(house.broker.port(), RATE).await?;
    // and when it is configured again, it goes on with them
    client.subscribe("service/faulty/dead-letter", 1).await?;
    let limits = json!({ "attempts": 1 });
    house
        .reconfigured(
            &process,
            &json!({ "relay": relay, "faulty": { "component": "contract-faulty.wasm", "limits": limits } }),
        )
        .await?;

    for _ in 0..5 {
        client.expect("service/faulty/dead-letter").await?;
    }
    Ok(())
}

/// Its call ends, and the message that led to it waits on disk.
#[tokio::test]
async fn a_service_removed_while_it_waits_for_an_answer_delays_no_other() -> Result<()> {
    let house = House::new(&["relay", "contract-typed-client"]).await?;
    let relay = json!({ "component": "relay.wasm" });
    let call = json!([{ "interface": "test:typed/machine", "deadline": "10m" }]);
    let caller = json!({ "component": "contract-typed-client.wasm", "call": call });
    let both = json!({ "relay": relay, "caller": caller });
    house.configure(&both)?;
    let process = house.start()?;
    let mut client = Client::connect(house.broker.port()).await?;
    client.subscribe("service/+/online", 1).await?;
    online(&mut client, "caller", "1").await?;

    let called = "test.typed/Machine/rpc/add";
    client.subscribe(called, 1).await?;
    let command = json!({ "call": "add", "args": [1, 2] });
    client
        .publish("service/caller/do", command.to_string())
        .await?;
    client.expect(called).await?;

    house
        .reconfigured(&process, &json!({ "relay": relay }))
        .await?;
    relay_answers(house.broker.port(), RATE).await?;
    house.reconfigured(&process, &both).await?;
    client.expect(called).await?;
    Ok(())
}

#[tokio::test]
async fn another_broker_is_used_at_once_and_the_service_stays() -> Result<()> {
    let first = Mosquitto::start().await?;
    let second = Mosquitto::start().await?;
    let host = Host::on(first.port())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut config = host.config();
    config["broker"]["port"] = json!(second.port());
    let line = host.output().lines().len();
    host.reconfigured(&config).await?;
    host.output()
        .says(line, &format!("connected to 127.0.0.1:{}", second.port()))
        .await?;
    let mut client = Client::connect(second.port()).await?;
    client.subscribe("service/relay/#", 1).await?;
    assert_eq!(client.expect("service/relay/online").await?.text(), "1");
    client.publish("service/relay/in", "hello").await?;
    assert_eq!(client.expect("service/relay/out").await?.text(), "hello");
    assert_eq!(host.output().count("runs with its new configuration"), 0);
    // the first broker was told goodbye: no will there
    let mut client = Client::connect(first.port()).await?;
    client.subscribe("service/relay/online", 1).await?;
    assert_eq!(client.expect("service/relay/online").await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn an_absent_broker_does_not_block_a_reload() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut config = host.config();
    config["broker"]["port"] = json!(miqro_tests::place::free_port()?);
    let line = host.output().lines().len();
    host.reconfigured(&config).await?;
    host.output()
        .says(line, "trying again until it works")
        .await?;
    let line = host.output().lines().len();
    host.reconfigured(&host.config()).await?;
    host.output().says(line, "connected to").await?;
    Ok(())
}

#[tokio::test]
async fn an_unreadable_certificate_keeps_the_connection() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut config = host.config();
    config["tls"] = json!({ "ca_certs": "nowhere.pem" });
    let said = host.refused(&config).await?;
    assert!(said.contains("nowhere.pem"), "{said}");
    assert_eq!(
        host.output().count("connected to"),
        1,
        "{}",
        host.output().told("connections")
    );

    Ok(())
}

#[tokio::test]
async fn a_session_is_kept_when_the_settings_of_its_connection_change() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut tally = Tally::start(host.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(RATE).await?;
    let mut config = host.config();
    for keepalive in [10, 20, 30] {
        tally.further(100).await?;
        let line = host.output().lines().len();
        config["broker"]["keepalive"] = json!(keepalive);
        host.reconfigured(&config).await?;
        host.output().says(line, "session=kept").await?;
    }

    let sent = load.stop().await?;
    tally.all(sent).await?;
    Ok(())
}

#[tokio::test]
async fn a_link_that_leads_to_another_file_counts_as_a_change() -> Result<()> {
    let host = Host::embedded()?
        .service("a", "contract-config", json!({ "colour": "red" }))
        .start()
        .await?;
    let file = host.folder().join("miqro.yml");
    let mut config = host.config();
    // as configuration maps are mounted: the file is a link into a folder that is itself a link
    let write = |folder: &str, config: &Value| -> Result<()> {
        std::fs::create_dir(host.folder().join(folder))?;
        Ok(std::fs::write(
            host.folder().join(folder).join("miqro.yml"),
            config.to_string(),
        )?)
    };

    write("one", &config)?;
    config["services"]["a"]["colour"] = json!("blue");
    write("two", &config)?;
    relink(Path::new("one"), &host.folder().join("data"))?;
    let line = host.output().lines().len();
    relink(Path::new("data/miqro.yml"), &file)?;
    host.output()
        .says(line, "the configuration has not changed")
        .await?;
    let line = host.output().lines().len();
    relink(Path::new("two"), &host.folder().join("data"))?;
    host.output().says(line, "is in force").await?;
    Ok(())
}

/// Makes `link` lead to `target`, at once.
fn relink(target: &Path, link: &Path) -> Result<()> {
    let new = link.with_extension("link");
    std::os::unix::fs::symlink(target, &new)?;
    Ok(std::fs::rename(new, link)?)
}

#[tokio::test]
async fn secrets_are_fetched_for_the_service_and_shown_to_nobody() -> Result<()> {
    let host = Host::embedded()?
        .service("a", "contract-config", json!({ "key": "open" }))
        .start()
        .await?;
    std::fs::write(host.folder().join("key.txt"), "geheim-1\n")?;
    let mut config = host.config();
    config["services"]["a"]["key"] = json!({ "from_file": "key.txt" });
    let mut client = host.client().await?;
    client.subscribe("service/a/config_at_start", 1).await?;
    host.reconfigured(&config).await?;
    section(&mut client, "a", "key", "geheim-1").await?;
    // another secret in the same file is found on SIGHUP
    std::fs::write(host.folder().join("key.txt"), "geheim-2\n")?;
    host.process().signal("HUP")?;
    section(&mut client, "a", "key", "geheim-2").await?;
    let output = host.output();
    output
        .wait_for("the hidden difference", |line| {
            line.contains("services.a.key: another secret")
        })
        .await?;
    assert_eq!(
        output.count("geheim"),
        0,
        "{}",
        output.told("a secret is shown")
    );

    Ok(())
}

#[tokio::test]
async fn the_level_and_the_format_of_the_log_change_at_once() -> Result<()> {
    let host = Host::embedded()?
        .service("echo", "echo", json!({}))
        .start()
        .await?;
    let mut config = host.config();
    config["log"] = json!({ "format": "json" });
    config["services"]["echo"]["log_level"] = json!("DEBUG");
    host.reconfigured(&config).await?;
    let line = host
        .output()
        .wait_for("JSON", |line| {
            line.starts_with('{') && line.contains("is in force")
        })
        .await?;

    assert_eq!(serde_json::from_str::<Value>(&line)?["level"], "INFO");
    // the level of its lines is no reason for a new instance
    assert_eq!(
        host.output().count("runs with its new configuration"),
        0,
        "{}",
        host.output().told("instances")
    );

    Ok(())
}
