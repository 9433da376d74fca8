//! miqro-alarm: inputs, groups, outputs, a probe, and devices of Home Assistant.

use anyhow::{Context, Result, ensure};
use miqro_tests::Web;
use miqro_tests::web::Answer;
use serde_json::{Value, json};

use super::conversation::Conversation;
use super::{Original, Said, ours, project, told};

const MODULE: &str = "miqro_alarm.alarm";

/// The outputs, which are topics of others.
const OUTPUTS: [&str; 3] = ["siren/#", "sms/#", "info/#"];

/// A group with a prealarm, and one with debounce, reset and a check of liveness.
fn section(probe: u16) -> Value {
    json!({
        "probe": { "http_post": format!("http://127.0.0.1:{probe}/alive"), "repeat": { "seconds": 1 } },
        "switch_outputs": { "siren": { "intrusion": {
            "prealarm": { "mqtt": "siren/timer", "message": "0.4", "repeat": { "seconds": 1 } },
            "alarm": { "mqtt": "siren/set", "message": "1" },
            "reset": { "mqtt": "siren/set", "message": "0" },
        } } },
        "text_outputs": { "sms": { "mqtt": "sms/send" }, "info": { "mqtt": "info/send", "info": true } },
        "groups": [
            {
                "name": "intrusion", "label": "Intrusion", "prealarm": { "seconds": 2 }, "default_enabled": true,
                "inputs": [
                    { "mqtt": "home/door", "when": "is_on(value)", "label": "Door" },
                    { "mqtt": "home/window", "when": "not value_json['contact']", "label": "Window" },
                ],
                "inhibitors": [{ "mqtt": "home/owner", "when": "is_on(value)", "label": "Owner" }],
                "outputs": { "prealarm": [{ "siren": "intrusion" }], "alarm": [{ "siren": "intrusion" }, "sms"] },
            },
            {
                "name": "frost", "label": "Frost", "default_enabled": true, "reset_delay": { "seconds": 1 },
                "inputs": [{
                    "mqtt": "home/inside", "when": "value_float < 8", "label": "Inside", "debounce": { "seconds": 1 },
                    "format": "{value_float:.0f} °C",
                }],
                "liveness": [{ "mqtt": "home/bridge", "when": "value == 'online'", "label": "Bridge" }],
                "outputs": { "alarm": ["sms"] },
            },
        ],
    })
}

/// The section with the grants that the port needs.
fn granted(probe: u16) -> Value {
    let mut section = section(probe);
    section["grants"] = json!({
        "subscribe": ["home/#"], "publish": ["siren/#", "sms/send", "info/send", "homeassistant/#"],
        "http": [format!("127.0.0.1:{probe}")],
    });
    section
}

fn state(name: &str) -> String {
    format!("\"display_state\": \"{name}\"")
}

/// A day with an intrusion and a frost: everything that is said, and the announcements to Home Assistant.
async fn day(port: u16) -> Result<(Said, [Value; 2])> {
    let mut alarm = Conversation::start(port, "alarm", &OUTPUTS).await?;
    let command = "intrusion/enabled/command";
    let [enabled, disabled, inhibited] = ["enabled", "disabled", "inhibited"].map(state);
    let info = "intrusion/info";
    alarm.wakes(command, "0", (info, &disabled)).await?;
    alarm.forget();

    alarm.tell(command, "1").await?;
    alarm.hears(&[(info, &enabled)]).await?;
    alarm.tell_all("home/door", "on").await?;
    let [prealarm, raised] = ["prealarm", "alarm"].map(state);
    alarm
        .hears(&[
            ("siren/timer", "0.4"),
            (info, &prealarm),
            ("siren/set", "1"),
            ("sms/send", "ALARM, Intrusion: Door"),
            (info, &raised),
        ])
        .await?;

    alarm.tell("intrusion/reset/command", "1").await?;
    let reset = [("siren/set", "0"), ("sms/send", ""), (info, &*enabled)];
    alarm.hears(&reset).await?;
    alarm.tell("intrusion/inhibited/command", "2").await?;
    alarm.hears(&[(info, &inhibited)]).await?;
    alarm.hears(&[(info, &enabled)]).await?;
    alarm.tell_all("home/door", "off").await?;
    alarm
        .hears(&[("intrusion/sensor_stream", "Inactive: Door")])
        .await?;

    alarm.tell_all("home/inside", "5.6").await?;
    let frost = [("sms/send", "Frost: Inside (6 °C)"), ("state", "alarm")];
    alarm.hears(&frost).await?;
    alarm.tell_all("home/inside", "12").await?;
    alarm.hears(&[("state", "off")]).await?;
    alarm.tell_all("home/bridge", "offline").await?;
    alarm
        .hears(&[("info/send", "Invalid response (offline)!")])
        .await?;
    alarm.tell_all("home/window", "x").await?;
    alarm
        .hears(&[("info/send", "Evaluation of input 'x' failed: 'contact'")])
        .await?;

    // the command of the button in Home Assistant
    alarm.tell("intrusion/auto/command", "1").await?;
    // the last of the topics that change
    let last = ("liveness/Bridge/value", "0");
    alarm.hears(&[(info, &disabled), last]).await?;
    let device = |label| format!("homeassistant/device/alarm_Alarm-{label}/config");
    let announced = [
        alarm.kept(&device("Intrusion")).await?,
        alarm.kept(&device("Frost")).await?,
    ];
    Ok((alarm.said(), announced))
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn published_alarm_says_the_same_and_keeps_its_state() -> Result<()> {
    let mut web = Web::start(|_| Answer::ok("OK"))?;
    let original = Original::of("alarm", MODULE, &section(web.port())).await?;
    let (theirs, announced) = original.told(day(original.port()).await)?;
    ensure!(web.expect("/alive").await?.method == "POST");
    ensure!(original.folder().join("state/alarm.yaml").exists());
    drop(original);
    web.taken();

    let project = project("alarm", MODULE, &["humanfriendly"])?;
    let running = ours(&project, &granted(web.port())).await?;
    let (said, devices) = told(&running, day(running.port).await)?;
    ensure!(web.expect("/alive").await?.method == "POST");
    let differences: Vec<_> = said.symmetric_difference(&theirs).collect();
    ensure!(differences.is_empty(), "{differences:#?}");
    ensure!(devices == announced, "{devices:#?} and {announced:#?}");
    drop(running);

    // the group is disabled as it was, against its default, and the time of the last message is known
    let mut section = granted(web.port());
    section["groups"][0]["inputs"][0]["silence_timeout"] = json!({ "seconds": 1 });
    let running = ours(&project, &section).await?;
    let mut alarm = Conversation::start(running.port, "alarm", &OUTPUTS).await?;
    let silent = [("info/send", "Intrusion, input Door: Silent for ")];
    told(&running, alarm.hears(&silent).await)?;
    alarm.forget();
    alarm.tell("frost/enabled/command", "0").await?;
    let disabled = state("disabled");
    let both = [("info", &*disabled), ("frost/info", &disabled)];
    told(&running, alarm.hears(&both).await)?;

    let said = alarm.said();
    let info = said.iter().find(|(topic, _)| topic == "info");
    let (_, info) = info.context("no information")?;
    let info: Value = serde_json::from_str(info)?;
    ensure!(info["intrusion"]["display_state"] == "disabled", "{info}");
    Ok(())
}
