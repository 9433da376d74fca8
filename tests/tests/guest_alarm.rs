//! The guest `alarm` on a real broker: timers, prealarm and alarm, inhibition, reset, and the state
//! that outlives a host that is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use miqro_tests::web::Answer;
use miqro_tests::{Client, Host, Message, Mosquitto, Web};
use serde_json::{Value, json};

/// A group with a prealarm of `prealarm`, and one without that has the same door.
fn section(prealarm: &str) -> Value {
    json!({
        "switch_outputs": { "siren": {
            "intrusion": {
                "prealarm": { "mqtt": "siren/timer", "message": "0.4", "repeat": "100ms" },
                "alarm": { "mqtt": "siren/set", "message": "1" },
                "reset": { "mqtt": "siren/set", "message": "0" },
            },
            "other": { "alarm": { "mqtt": "siren/timer", "message": "2" } },
        } },
        "text_outputs": { "sms": { "mqtt": "sms/send" }, "info": { "mqtt": "info/send", "info": true } },
        "groups": [
            {
                "name": "intrusion", "label": "Intrusion", "prealarm": prealarm,
                "inputs": [
                    { "mqtt": "home/door", "when": "is_on(value)", "label": "Door" },
                    { "mqtt": "home/window", "when": "not value_json['contact']", "label": "Window" },
                ],
                "inhibitors": [{ "mqtt": "home/owner", "when": "is_on(value)", "label": "Owner" }],
                "outputs": { "prealarm": [{ "siren": "intrusion" }], "alarm": [{ "siren": "intrusion" }, "sms"] },
            },
            {
                "name": "frost", "label": "Frost", "default_enabled": true, "reset_delay": { "milliseconds": 100 },
                "inputs": [
                    { "mqtt": "home/inside", "when": "value_float < 8", "label": "Inside", "debounce": "2s",
                      "format": "{value_float:.0f}°C" },
                    { "label": "Both", "mode": "and", "inputs": [
                        { "mqtt": "home/door", "when": "is_on(value)", "label": "One" },
                        { "mqtt": "home/door", "when": "value == 'on'", "label": "Two" },
                        { "mqtt": "home/other", "when": "is_on(value)", "label": "Three" },
                    ] },
                ],
                "liveness": [{
                    "mqtt": "home/bridge", "when": "value == 'online'", "label": "Bridge",
                    "silence_timeout": null, "invalid_response_timeout": "200ms",
                }],
                "outputs": { "alarm": [{ "siren": "other" }, "sms"] },
            },
        ],
        "grants": { "subscribe": ["home/#"], "publish": ["siren/#", "sms/send", "info/send"] },
    })
}

struct Stage {
    broker: Mosquitto,
    host: Host,
    /// Has subscribed to the facts.
    facts: Client,
    /// Has subscribed to the outputs.
    outputs: Client,
}

impl Stage {
    async fn new(prealarm: &str) -> Result<Self> {
        Self::with(section(prealarm)).await
    }

    async fn with(section: Value) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let mut facts = Client::connect(broker.port()).await?;
        facts.subscribe("service/alarm/#", 1).await?;
        let mut outputs = Client::connect(broker.port()).await?;
        for filter in ["siren/#", "sms/#", "info/#"] {
            outputs.subscribe(filter, 1).await?;
        }
        let host = Host::on(broker.port())
            .service("alarm", "alarm", section)
            .start()
            .await?;
        Ok(Self {
            broker,
            host,
            facts,
            outputs,
        })
    }

    async fn tell(&mut self, topic: &str, text: &str) -> Result<()> {
        self.facts.publish(topic, text.to_owned()).await
    }

    async fn command(&mut self, topic: &str, text: &str) -> Result<()> {
        self.tell(&format!("service/alarm/{topic}"), text).await
    }

    /// Waits until a fact is so.
    async fn fact(&mut self, topic: &str, wanted: &str) -> Result<()> {
        let full = format!("service/alarm/{topic}");
        loop {
            let message = self.facts.expect(&full).await;
            let message = message
                .with_context(|| self.host.output().told(&format!("{topic} is not {wanted}")))?;
            if message.text() == wanted {
                return Ok(());
            }
        }
    }

    /// The next message to an output.
    async fn output(&mut self) -> Result<(String, String)> {
        let message = self
            .outputs
            .next()
            .await
            .with_context(|| self.host.output().told("no output"))?;
        let text = message.text();
        Ok((message.topic, text))
    }

    /// The retained message on a topic of the service.
    async fn kept(&self, topic: &str) -> Result<String> {
        let mut late = Client::connect(self.broker.port()).await?;
        late.subscribe(&format!("service/alarm/{topic}"), 1).await?;
        Ok(late.next().await?.text())
    }
}

fn said(topic: &str, text: &str) -> (String, String) {
    (topic.to_owned(), text.to_owned())
}

#[tokio::test]
async fn an_input_raises_prealarm_and_alarm_until_reset() -> Result<()> {
    let mut stage = Stage::new("2s").await?;
    stage.fact("intrusion/display_state", "disabled").await?;
    stage.command("intrusion/enabled/command", "on").await?;
    stage.fact("intrusion/display_state", "enabled").await?;
    let begun = Instant::now();
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/state", "prealarm").await?;
    // the prealarm is said again and again, then the alarm once
    assert_eq!(stage.output().await?, said("siren/timer", "0.4"));
    assert_eq!(stage.output().await?, said("siren/timer", "0.4"));
    stage.fact("intrusion/state", "alarm").await?;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let mut next = stage.output().await?;
    while next == said("siren/timer", "0.4") {
        next = stage.output().await?;
    }
    assert_eq!(next, said("siren/set", "0"));
    assert_eq!(stage.output().await?, said("siren/set", "1"));
    assert_eq!(
        stage.output().await?,
        said("sms/send", "ALARM Intrusion: Door")
    );
    stage.tell("home/window", r#"{"contact": false}"#).await?;
    assert_eq!(
        stage.output().await?,
        said("sms/send", "ALARM Intrusion: Door, Window")
    );
    stage.command("intrusion/reset/command", "1").await?;
    assert_eq!(stage.output().await?, said("siren/set", "0"));
    stage.fact("intrusion/state", "off").await?;
    assert_eq!(
        stage.kept("intrusion/enabled/state").await?,
        "1",
        "a reset does not switch off"
    );
    Ok(())
}

#[tokio::test]
async fn inhibitors_and_commands_hold_an_alarm_back() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    stage.command("intrusion/auto/command", "1").await?;
    stage.tell("home/owner", "yes").await?;
    stage.fact("intrusion/display_state", "inhibited").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/input/Door/value", "1").await?;
    assert_eq!(stage.kept("intrusion/state").await?, "off");
    stage.tell("home/owner", "no").await?;
    stage.fact("intrusion/display_state", "enabled").await?;
    // as long as it is said: until it is told otherwise, or a number of seconds
    stage.command("intrusion/inhibited/command", "on").await?;
    stage.fact("intrusion/inhibited/state", "1").await?;
    stage.command("intrusion/inhibited/command", "off").await?;
    stage.fact("intrusion/inhibited/state", "0").await?;
    let begun = Instant::now();
    stage.command("intrusion/inhibited/command", "4").await?;
    stage.fact("intrusion/inhibited/state", "1").await?;
    stage.tell("home/door", "off").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/inhibited/state", "0").await?;
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(stage.kept("intrusion/state").await?, "off");
    // and an inhibitor ends a prealarm
    stage.tell("home/door", "off").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/state", "prealarm").await?;
    stage.tell("home/owner", "yes").await?;
    stage.fact("intrusion/state", "off").await
}

#[tokio::test]
async fn every_input_of_one_foreign_topic_gets_its_messages() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    stage.tell("home/other", "1").await?;
    // the same message is an input of one group, and two of another's
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/input/Door/value", "1").await?;
    stage.fact("frost/state", "alarm").await?;
    stage.fact("frost/input/Both/value", "1").await?;
    stage.tell("home/door", "off").await?;
    stage.fact("frost/input/Both/value", "0").await?;
    // the group has a delay, after which it is reset by itself
    stage.fact("frost/state", "off").await
}

#[tokio::test]
async fn a_change_has_to_last() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    stage.tell("home/inside", "7.4").await?;
    stage.tell("home/inside", "9").await?;
    // the second change comes before the first counts; one that lasts does count
    let begun = Instant::now();
    stage.tell("home/inside", "7.6").await?;
    stage.fact("frost/state", "alarm").await?;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(stage.output().await?, said("siren/timer", "2"));
    assert_eq!(
        stage.output().await?,
        said("sms/send", "ALARM Frost: Inside (8°C)")
    );
    Ok(())
}

#[tokio::test]
async fn silence_and_wrong_answers_are_told() -> Result<()> {
    let mut section = section("1h");
    section["groups"][1]["liveness"][0]["silence_timeout"] = json!({ "seconds": 3 });
    let mut stage = Stage::with(section).await?;
    stage.tell("home/bridge", "online").await?;
    stage.fact("frost/live", "1").await?;
    stage.tell("home/bridge", "offline").await?;
    stage
        .fact("frost/liveness/Bridge/state", "invalid_response")
        .await?;
    assert_eq!(
        stage.output().await?,
        said("info/send", r#"Bridge: invalid response Some("offline")"#)
    );
    stage.tell("home/bridge", "online").await?;
    stage.fact("frost/live", "1").await?;
    stage.fact("frost/liveness/Bridge/state", "offline").await?;
    let (topic, text) = stage.output().await?;
    assert!(
        topic == "info/send" && text.starts_with("Bridge: silent for "),
        "{topic} {text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_shared_switch_follows_the_most_important_group() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    stage.command("intrusion/enabled/command", "1").await?;
    stage.tell("home/other", "1").await?;
    // one message raises both: the first group has the siren, the second only its text
    stage.tell("home/door", "on").await?;
    stage.fact("frost/state", "alarm").await?;
    stage.command("intrusion/enabled/command", "0").await?;
    stage.fact("intrusion/enabled/state", "0").await?;
    let mut seen = Vec::new();
    while seen.last() != Some(&said("siren/timer", "2")) {
        let next = stage.output().await?;
        if next != said("siren/timer", "0.4") {
            seen.push(next);
        }
    }

    let wanted = [
        said("sms/send", "ALARM Frost: Both"),
        said("siren/set", "0"),
        said("siren/timer", "2"),
    ];
    assert_eq!(seen, wanted);
    Ok(())
}

/// Killed in an alarm: the next host is in it too, and says so to its outputs, with nothing that came in again.
#[tokio::test]
async fn an_alarm_survives_a_host_that_is_killed() -> Result<()> {
    let mut stage = Stage::new("100ms").await?;
    stage.command("intrusion/enabled/command", "1").await?;
    stage.tell("home/window", r#"{"contact": false}"#).await?;
    stage.fact("intrusion/state", "alarm").await?;
    stage.outputs.expect("sms/send").await?;
    stage.host.kill()?;
    stage.fact("online", "0").await?;
    stage.host.restart()?;
    assert_eq!(stage.output().await?, said("siren/set", "1"));
    stage.host.online().await?;
    for (topic, wanted) in [
        ("intrusion/state", "alarm"),
        ("intrusion/enabled/state", "1"),
        ("intrusion/input/Window/value", "1"),
        ("intrusion/active_inputs_text", "Window"),
    ] {
        assert_eq!(stage.kept(topic).await?, wanted, "{topic}");
    }

    stage.command("intrusion/reset/command", "1").await?;
    stage.fact("intrusion/state", "off").await?;
    // switched off, it stays so
    stage.command("intrusion/enabled/command", "0").await?;
    stage.fact("intrusion/enabled/state", "0").await?;
    stage.host.kill()?;
    stage.host.restart()?;
    stage.fact("online", "1").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/input/Door/value", "1").await?;
    assert_eq!(stage.kept("intrusion/display_state").await?, "disabled");
    Ok(())
}

/// A prealarm becomes an alarm after the restart: a kill does not stop the clock.
#[tokio::test]
async fn a_prealarm_goes_on_after_a_kill() -> Result<()> {
    let mut stage = Stage::new("1500ms").await?;
    stage.command("intrusion/enabled/command", "1").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/state", "prealarm").await?;
    stage.host.kill()?;
    stage.host.restart()?;
    stage.fact("intrusion/state", "alarm").await?;
    stage.outputs.expect("siren/set").await?;
    Ok(())
}

#[tokio::test]
async fn an_inhibition_ends_in_time_though_the_host_was_killed() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    stage.command("intrusion/enabled/command", "1").await?;
    // with QoS 1 the next host might get the command once more, and would inhibit again after the time is over
    stage
        .facts
        .publish_once("service/alarm/intrusion/inhibited/command", "3")
        .await?;
    stage.fact("intrusion/inhibited/state", "1").await?;
    stage.host.kill()?;
    stage.host.restart()?;
    stage.fact("intrusion/inhibited/state", "0").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/state", "prealarm").await
}

#[tokio::test]
async fn a_retained_command_is_not_done_again() -> Result<()> {
    let mut stage = Stage::new("1h").await?;
    let command = Message::new("service/alarm/intrusion/enabled/command", "1").retained();
    stage.facts.send(command).await?;
    stage.fact("intrusion/enabled/state", "1").await?;
    stage.command("intrusion/enabled/command", "0").await?;
    stage.fact("intrusion/enabled/state", "0").await?;
    stage.host.stop().await?;
    stage.host.restart()?;
    stage
        .host
        .output()
        .says(0, "a retained command is an old one")
        .await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/input/Door/value", "1").await?;
    assert_eq!(stage.kept("intrusion/enabled/state").await?, "0");
    Ok(())
}

/// The probe that tells the outside that all is well, and goes on when nobody listens.
#[tokio::test]
async fn the_probe_is_posted_again_and_again() -> Result<()> {
    let mut web = Web::start(|_| Answer::ok(""))?;
    let mut section = section("1h");
    let address = format!("http://127.0.0.1:{}/alive", web.port());
    section["probe"] = json!({ "http_post": address, "repeat": { "milliseconds": 50 } });
    section["grants"]["http"] = json!([format!("127.0.0.1:{}", web.port())]);
    let mut stage = Stage::with(section).await?;
    for _ in 0..3 {
        let request = web.next().await?;
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/alive")
        );
    }

    drop(web);
    stage.host.output().says(0, "/alive: ").await?;
    stage.tell("home/door", "on").await?;
    stage.fact("intrusion/input/Door/value", "1").await
}
