//! The alarm service by its topics, with a section as miqro_alarm's example has it.

use miqro_sdk::prelude::*;
use miqro_sdk::test::{Setup, TestHost};
use serde_json::Value;

use crate::Alarm;

const SECOND: Duration = Duration::from_secs(1);

fn section() -> Value {
    json!({
        "switch_outputs": {"siren": {
            "intrusion": {
                "prealarm": {"mqtt": "siren/timer", "message": "0.4", "repeat": {"seconds": 3}},
                "alarm": {"mqtt": "siren/set", "message": "1"},
                "reset": {"mqtt": "siren/set", "message": "0"},
            },
            "other": {"alarm": {"mqtt": "siren/timer", "message": "2"}},
        }},
        "text_outputs": {"sms": {"mqtt": "sms/send"}, "info": {"mqtt": "info/send", "info": true}},
        "groups": [
            {
                "name": "intrusion", "label": "Intrusion", "prealarm": {"seconds": 20},
                "inputs": [
                    {"mqtt": "door", "when": "is_on(value)", "label": "Door"},
                    {"mqtt": "window", "when": "not value_json['contact']", "label": "Window", "silence_timeout": null},
                ],
                "inhibitors": [{"mqtt": "owner", "when": "is_on(value)", "label": "Owner at home"}],
                "outputs": {"prealarm": [{"siren": "intrusion"}], "alarm": [{"siren": "intrusion"}, "sms"]},
            },
            {
                "name": "frost", "label": "Frost", "default_enabled": true, "reset_delay": "10s",
                "inputs": [
                    {"mqtt": "inside", "when": "value_float < 8", "label": "Inside", "format": "{value_float:.0f}°C", "debounce": "30s"},
                    {"label": "Both", "mode": "and", "inputs": [
                        {"mqtt": "door", "when": "is_on(value)", "label": "One"},
                        {"mqtt": "two", "when": "is_on(value)", "label": "Two"},
                    ]},
                ],
                "liveness": [{"mqtt": "bridge", "when": "value == 'online'", "label": "Bridge", "invalid_response_timeout": "5s"}],
                "outputs": {"alarm": [{"siren": "other"}, "sms"]},
            },
        ],
    })
}

fn setup(section: Value) -> Setup<Alarm> {
    let topics = [
        "door",
        "window",
        "owner",
        "inside",
        "two",
        "bridge",
        "siren/#",
        "sms/#",
        "info/#",
        "homeassistant/#",
    ];

    topics.into_iter().fold(
        TestHost::setup().name("alarm").config(section),
        Setup::grant,
    )
}

fn alarm() -> TestHost<Alarm> {
    setup(section()).start().unwrap()
}

/// Returns messages to outputs since the last call.
fn outputs(host: &mut TestHost<Alarm>) -> Vec<(String, String)> {
    let sent = std::iter::from_fn(|| host.next_sent());
    sent.filter(|sent| sent.global)
        .map(|sent| (sent.topic.clone(), sent.text()))
        .collect()
}

fn sent(topic: &str, text: &str) -> (String, String) {
    (topic.to_owned(), text.to_owned())
}

#[track_caller]
fn fact(host: &TestHost<Alarm>, topic: &str, expected: &str) {
    assert_eq!(host.last(topic).as_deref(), Some(expected), "{topic}");
}

#[test]
fn an_input_raises_prealarm_then_alarm_until_reset() {
    let mut host = alarm();
    fact(&host, "intrusion/display_state", "disabled");
    host.send("intrusion/enabled/command", "1").unwrap();
    fact(&host, "intrusion/display_state", "enabled");
    host.send_global("door", "on").unwrap();
    fact(&host, "intrusion/state", "prealarm");
    fact(&host, "intrusion/sensor_stream", "Active: Door");
    host.advance(4 * SECOND).unwrap();
    assert_eq!(
        outputs(&mut host),
        [sent("siren/timer", "0.4"), sent("siren/timer", "0.4")]
    );
    host.advance(16 * SECOND).unwrap();
    fact(&host, "intrusion/state", "alarm");
    fact(&host, "intrusion/active_inputs_text", "Door");
    let seen = outputs(&mut host);
    assert!(
        seen.ends_with(&[
            sent("siren/set", "0"),
            sent("siren/set", "1"),
            sent("sms/send", "ALARM Intrusion: Door")
        ]),
        "{seen:?}"
    );

    host.send_global("window", "{\"contact\": false}").unwrap();
    assert_eq!(
        outputs(&mut host),
        [sent("sms/send", "ALARM Intrusion: Door, Window")]
    );
    host.send("intrusion/reset/command", "1").unwrap();
    assert_eq!(outputs(&mut host), [sent("siren/set", "0")]);
    fact(&host, "intrusion/state", "off");
}

#[test]
fn inhibitors_and_commands_hold_an_alarm_back() {
    let mut host = alarm();
    host.send("intrusion/auto/command", "1").unwrap();
    host.send_global("owner", "yes").unwrap();
    fact(&host, "intrusion/any_inhibitor_active", "1");
    fact(&host, "intrusion/display_state", "inhibited");
    host.send_global("door", "1").unwrap();
    fact(&host, "intrusion/state", "off");
    host.send_global("owner", "no").unwrap();
    for word in ["on", "1", "5"] {
        host.send("intrusion/inhibited/command", word).unwrap();
        fact(&host, "intrusion/inhibited/state", "1");
        if word != "5" {
            host.advance(60 * SECOND).unwrap();
            fact(&host, "intrusion/inhibited/state", "1");
            host.send("intrusion/inhibited/command", "off").unwrap();
        }
    }

    host.advance(5 * SECOND).unwrap();
    fact(&host, "intrusion/inhibited/state", "0");
    host.send_global("door", "0").unwrap();
    host.send_global("door", "1").unwrap();
    fact(&host, "intrusion/state", "prealarm");
    host.send_global("owner", "yes").unwrap();
    fact(&host, "intrusion/state", "off");
}

#[test]
fn several_inputs_on_one_topic_all_get_its_messages() {
    let mut host = alarm();
    host.send_global("door", "1").unwrap();
    fact(&host, "intrusion/input/Door/value", "1");
    fact(&host, "frost/state", "off");
    host.send_global("two", "1").unwrap();
    fact(&host, "frost/input/Both/value", "1");
    fact(&host, "frost/state", "alarm");
}

#[test]
fn changes_must_last_and_alarms_may_clear_themselves() {
    let mut host = alarm();
    host.send_global("inside", "7.4").unwrap();
    host.advance(20 * SECOND).unwrap();
    host.send_global("inside", "9").unwrap();
    host.advance(60 * SECOND).unwrap();
    fact(&host, "frost/state", "off");
    host.send_global("inside", "7.4").unwrap();
    host.advance(30 * SECOND).unwrap();
    fact(&host, "frost/state", "alarm");
    assert_eq!(
        host.last("sms/send").as_deref(),
        Some("ALARM Frost: Inside (7°C)")
    );
    host.send_global("inside", "9").unwrap();
    host.advance(39 * SECOND).unwrap();
    fact(&host, "frost/state", "alarm");
    host.advance(SECOND).unwrap();
    fact(&host, "frost/state", "off");
}

#[test]
fn a_shared_switch_follows_the_most_important_group() {
    let mut host = alarm();
    host.send("intrusion/enabled/command", "1").unwrap();
    host.send_global("two", "1").unwrap();
    host.skip();
    host.send_global("door", "1").unwrap(); // both groups: frost at once, intrusion in prealarm
    let siren: Vec<_> = outputs(&mut host)
        .into_iter()
        .filter(|(topic, _)| topic.starts_with("siren"))
        .collect();
    assert_eq!(siren, [sent("siren/timer", "0.4")], "frost has to wait");
    host.send("intrusion/enabled/command", "0").unwrap();
    assert_eq!(
        outputs(&mut host),
        [sent("siren/set", "0"), sent("siren/timer", "2")]
    );
}

#[test]
fn silence_and_invalid_responses_are_told() {
    let mut host = alarm();
    host.send_global("bridge", "online").unwrap();
    fact(&host, "frost/live", "1");
    host.send_global("bridge", "offline").unwrap();
    host.advance(4 * SECOND).unwrap();
    fact(&host, "frost/live", "1");
    host.advance(SECOND).unwrap();
    fact(&host, "frost/liveness/Bridge/state", "invalid_response");
    assert_eq!(
        host.last("info/send").as_deref(),
        Some("Bridge: invalid response Some(\"offline\")")
    );
    host.send_global("bridge", "online").unwrap();
    host.advance(3_599 * SECOND).unwrap();
    fact(&host, "frost/live", "1");
    host.advance(SECOND).unwrap();
    fact(&host, "frost/liveness/Bridge/state", "offline");
    assert_eq!(
        host.last("info/send").as_deref(),
        Some("Bridge: silent for 3600 s")
    );
}

#[test]
fn a_message_that_no_condition_understands_changes_nothing() {
    let mut host = alarm();
    host.send_global("window", "{\"other\": 1}").unwrap();
    fact(&host, "intrusion/input/Window/state", "unknown");
    assert!(
        host.last("info/send")
            .unwrap()
            .contains("there is no such key")
    );
    host.send_global("window", "{\"contact\": true}").unwrap();
    fact(&host, "intrusion/input/Window/value", "0");
}

#[test]
fn an_alarm_outlives_a_restart() {
    let mut host = alarm();
    host.send("intrusion/enabled/command", "1").unwrap();
    host.send_global("door", "1").unwrap();
    host.advance(20 * SECOND).unwrap();
    let mut host = host.restart().unwrap();
    fact(&host, "intrusion/state", "alarm");
    fact(&host, "intrusion/input/Door/value", "1");
    let seen = outputs(&mut host);
    assert!(seen.contains(&sent("siren/set", "1")), "{seen:?}");
    assert!(host.remaining("silence/0").unwrap() < 7 * 86_400 * SECOND);
}

#[test]
fn retained_commands_are_not_repeated() {
    let mut host = alarm();
    host.message("intrusion/enabled/command")
        .retained()
        .send("1")
        .unwrap();
    fact(&host, "intrusion/enabled/state", "0");
}

#[test]
fn facts_of_all_groups_are_published_below_their_names() {
    let mut host = alarm();
    host.send_global("two", "0").unwrap();
    for topic in [
        "intrusion/label",
        "frost/label",
        "intrusion/info",
        "frost/info",
        "info",
    ] {
        assert!(host.last(topic).is_some(), "{topic}");
    }

    assert!(
        host.sent()
            .iter()
            .all(|sent| sent.topic != "label" && sent.topic != "state")
    );
    let before = host.sent().len();
    host.send_global("two", "0").unwrap();
    assert_eq!(host.sent().len(), before, "unchanged facts are left out");
}

#[test]
fn mistakes_in_the_section_name_their_place() {
    let wrong = |change: fn(&mut Value)| {
        let mut section = section();
        change(&mut section);
        setup(section).start().err().unwrap()
    };
    let text = wrong(|section| section["groups"][0]["inputs"][0]["when"] = json!("value =="));
    assert_eq!(
        text,
        "input/intrusion/input/Door: the condition \"value ==\": it ends too early"
    );
    let text =
        wrong(|section| section["groups"][1]["outputs"]["alarm"] = json!([{"siren": "fire"}]));
    assert_eq!(text, "group frost: there is no output siren: fire");
    let text = wrong(|section| section["groups"][1]["name"] = json!("a/b"));
    assert!(text.starts_with("group \"a/b\""), "{text}");
}

#[test]
fn the_probe_and_home_assistant_are_served() {
    let mut section = section();
    section["probe"] = json!({"http_post": "http://probe.example/alive", "repeat": {"minutes": 1}});
    section["home_assistant"] = json!(true);
    let setup = setup(section).answer_http(|_| Err("no connection".to_owned()));
    let mut host = setup.start().unwrap();
    assert_eq!(
        host.next_sent().unwrap().topic,
        "homeassistant/device/alarm_Alarm-Intrusion/config"
    );
    host.advance(60 * SECOND).unwrap();
    assert_eq!(host.http_requests().len(), 2);
}
