//! The guest `sensor` with a real machine: the load, memory and processor of this one, and a
//! thermometer made of files, with and without grants.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Mosquitto};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A `/sys` with one thermometer, which is reached by a link as the kernel's are.
struct Sys(TempDir);

impl Sys {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let zone = folder.path().join("devices/virtual/thermal/thermal_zone0");
        let class = folder.path().join("class/thermal");
        std::fs::create_dir_all(&zone)?;
        std::fs::create_dir_all(&class)?;
        symlink(
            "../../devices/virtual/thermal/thermal_zone0",
            class.join("thermal_zone0"),
        )?;
        std::fs::write(zone.join("type"), "cpu-thermal\n")?;
        let sys = Self(folder);
        sys.measure("42500")?;
        Ok(sys)
    }

    /// As the kernel does, it shows the old value or the new one, and nothing between.
    fn measure(&self, thousandths: &str) -> Result<()> {
        let zone = self.0.path().join("devices/virtual/thermal/thermal_zone0");
        std::fs::write(zone.join("new"), format!("{thousandths}\n"))?;
        Ok(std::fs::rename(zone.join("new"), zone.join("temp"))?)
    }

    fn grant(&self) -> Value {
        json!({ "path": self.0.path(), "guest": "/sys" })
    }
}

/// Starts the sensor beside a relay, with `directories` granted. The client has subscribed before the host is there.
async fn start(directories: Value, more: Value) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/sensor/#", 1).await?;
    client.subscribe("homeassistant/#", 1).await?;
    let grants = json!({
        "directories": directories, "publish": ["homeassistant/#"], "subscribe": ["homeassistant/status"],
    });
    let mut section = json!({ "interval": "50ms", "grants": grants });
    for (key, value) in more.as_object().into_iter().flatten() {
        section[key] = value.clone();
    }
    let setup = Host::on(broker.port()).top("statistics_interval", json!("100ms"));
    let host = setup
        .service("sensor", "sensor", section)
        .service("it", "relay", json!({}))
        .start()
        .await?;
    Ok((broker, host, client))
}

async fn reading(client: &mut Client, host: &Host, topic: &str) -> Result<f64> {
    let message = client.expect(&format!("service/sensor/{topic}")).await;
    let message = message.with_context(|| host.output().told(topic))?;
    message
        .text()
        .parse()
        .with_context(|| format!("{topic}: {}", message.text()))
}

fn memory_of_this_machine() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .context("no MemTotal")?;
    Ok(line.split_whitespace().next().context("no size")?.parse()?)
}

#[tokio::test]
async fn load_memory_and_temperature_are_read_through_granted_directories() -> Result<()> {
    let sys = Sys::new()?;
    let (_broker, host, mut client) = start(json!(["/proc", sys.grant()]), json!({})).await?;
    let load = reading(&mut client, &host, "cpu/load").await?;
    assert!((0.0..100_000.0).contains(&load), "{load}");
    let used = reading(&mut client, &host, "memory/used").await?;
    assert!(used > 0.0 && used < 100.0, "{used}");
    assert!(
        (reading(&mut client, &host, "memory/total").await? - memory_of_this_machine()?).abs()
            < 0.5
    );
    assert!((reading(&mut client, &host, "temperature/cpu-thermal").await? - 42.5).abs() < 0.001);
    // it is the share between two samples
    let usage = reading(&mut client, &host, "cpu/usage").await?;
    assert!((0.0..=100.0).contains(&usage), "{usage}");
    assert_eq!(
        host.output().count("WARN"),
        0,
        "{}",
        host.output().told("a warning")
    );

    Ok(())
}

#[tokio::test]
async fn a_changed_file_gives_a_changed_reading() -> Result<()> {
    let sys = Sys::new()?;
    let (_broker, host, mut client) = start(json!(["/proc", sys.grant()]), json!({})).await?;
    assert!((reading(&mut client, &host, "temperature/cpu-thermal").await? - 42.5).abs() < 0.001);
    sys.measure("-3250")?;
    while reading(&mut client, &host, "temperature/cpu-thermal").await? > 0.0 {}
    assert!((reading(&mut client, &host, "temperature/cpu-thermal").await? + 3.25).abs() < 0.001);
    Ok(())
}

#[tokio::test]
async fn without_the_grant_there_is_a_warning_and_no_reading() -> Result<()> {
    let (_broker, host, mut client) = start(json!([]), json!({})).await?;
    for folder in ["/proc", "/sys"] {
        let line = host
            .output()
            .says(0, &format!("cannot read {folder}"))
            .await?;
        assert!(
            line.contains("services.sensor.grants.directories"),
            "{line}"
        );
    }

    // it is told once, not with each sample
    let known = host.output().lines().len();
    for _ in 0..3 {
        host.output()
            .wait_from(known, "samples", |line| line.contains("timer sample: "))
            .await?;
    }
    assert_eq!(
        host.output().count("cannot read"),
        2,
        "{}",
        host.output().told("the warnings")
    );

    // everything else goes on
    let mut neighbour = host.client().await?;
    neighbour.subscribe("service/it/out", 1).await?;
    neighbour.publish("service/it/in", "here").await?;
    assert_eq!(neighbour.next().await?.text(), "here");
    let said = client.pending().await?;
    ensure!(
        said.iter()
            .all(|message| message.topic == "service/sensor/online"),
        "{said:?}"
    );
    assert_eq!(
        said.last().map(miqro_tests::Message::text).as_deref(),
        Some("1")
    );
    Ok(())
}

/// The rest of the file system is not there, whatever path is written into the section.
#[tokio::test]
async fn a_path_beside_the_grant_is_not_there() -> Result<()> {
    let sys = Sys::new()?;
    let other = Sys::new()?;
    let beside = sys.0.path().join("beside");
    symlink(other.0.path(), &beside)?;
    for path in [
        other.0.path(),
        Path::new("/sys/../sys/beside"),
        Path::new("/sys/beside"),
    ] {
        let (_broker, host, mut client) =
            start(json!(["/proc", sys.grant()]), json!({ "sys": path })).await?;
        host.output()
            .says(0, &format!("cannot read {}", path.display()))
            .await?;
        reading(&mut client, &host, "cpu/usage").await?;
        let said = client.pending().await?;
        assert!(
            said.iter()
                .all(|message| !message.topic.contains("temperature")),
            "{said:?}"
        );
    }

    Ok(())
}

#[tokio::test]
async fn home_assistant_is_told_of_the_thermometer() -> Result<()> {
    let sys = Sys::new()?;
    let (_broker, _host, mut client) = start(
        json!(["/proc", sys.grant()]),
        json!({ "home_assistant": true }),
    )
    .await?;
    let device = client
        .expect("homeassistant/device/sensor_sensor/config")
        .await?
        .json()?;
    let entity = &device["components"]["sensor_sensor__sensor_cpu-thermal"];
    assert_eq!(
        entity["state_topic"], "service/sensor/temperature/cpu-thermal",
        "{device}"
    );
    assert_eq!(entity["unit_of_measurement"], "°C");
    Ok(())
}
