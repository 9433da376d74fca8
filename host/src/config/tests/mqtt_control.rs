//! The section `mqtt_control`: off until it is written, with commands by their names.

use std::time::Duration;

use super::{problems, quiet};

#[test]
fn there_is_no_control_until_it_is_configured() {
    assert_eq!(quiet("broker:\n").mqtt_control, None);
    let control = quiet("mqtt_control: {}").mqtt_control.unwrap();
    assert!(control.commands.is_empty());
    assert_eq!(control.interval, Duration::from_secs(5));
}

#[test]
fn commands_are_listed_by_name_and_shown_again() {
    let config =
        quiet("mqtt_control: {commands: [restart, log-level], interval: 1m, home_assistant: true}");
    let control = config.mqtt_control.clone().unwrap();
    assert_eq!(control.commands, ["restart", "log-level"]);
    assert!(control.home_assistant);
    assert_eq!(quiet(&config.to_yaml()).mqtt_control, Some(control));

    let unknown = problems("mqtt_control: {commands: [explode, tail]}");
    assert!(unknown.contains("mqtt_control.commands[0]: expected one of services, snapshot"));
    assert!(
        unknown.contains("found \"tail\""),
        "streams are not offered"
    );
    assert!(problems("mqtt_control: {interval: 10ms}").contains("from 1s to 1h"));
}

#[test]
fn commands_that_run_components_need_signatures() {
    let refused = problems("mqtt_control: {commands: [deploy, shadow, start-shadow]}");
    assert!(refused.contains("commands[0]: deploy is for hosts on which only signed"));
    assert!(refused.contains("commands[2]: start-shadow is for hosts") && !refused.contains("[1]"));
    assert!(problems("{trust: [], mqtt_control: {commands: [deploy]}}").contains("write trust"));

    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let config = quiet(&format!(
        "{{trust: [{key}], mqtt_control: {{commands: [deploy]}}}}"
    ));
    assert_eq!(config.mqtt_control.unwrap().commands, ["deploy"]);
}
