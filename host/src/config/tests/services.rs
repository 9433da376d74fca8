//! The sections of `services`, and which services run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{problems, quiet};
use crate::config::{
    Config, Grants, Level, Limits, LoadedConfig, RetryLimits, Selection, WaitRange, WhenFailing,
    WhenFull,
};
use crate::message::{Qos, Subscription};
use crate::topic::Filter;

fn run(text: &str, files: &[&str]) -> Result<LoadedConfig, String> {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    Config::read(
        text,
        Some(Path::new("/etc/house/miqro.yml")),
        Selection::Run(&files),
    )
    .map_err(|e| e.to_string())
}

/// Names and components of the services that run.
fn running(text: &str, files: &[&str]) -> Vec<(String, String)> {
    let component = |path: Option<PathBuf>| path.unwrap().display().to_string();
    let services = run(text, files).unwrap().config.services;
    services
        .into_iter()
        .map(|service| (service.name, component(service.component)))
        .collect()
}

fn pair(name: &str, component: &str) -> (String, String) {
    (name.to_owned(), component.to_owned())
}

#[test]
fn an_empty_section_has_the_defaults() {
    let service = quiet("services: {echo: }").services.remove(0);
    assert_eq!(
        (service.name.as_str(), service.base.as_str()),
        ("echo", "service/echo/")
    );
    assert_eq!(
        (service.limits, service.grants, service.log_level),
        (Limits::default(), Grants::default(), None)
    );
    assert_eq!(
        (service.component, service.config.json),
        (None, serde_json::json!({}))
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn host_keys_are_typed_and_others_go_to_the_guest() {
    let service = quiet(
        "services:\n  echo:\n    component: x/echo.wasm\n    data_topic: home\n    log_level: trace\n    colour: red\n    subscriptions:\n      - echo\n      - $share/all/work/#\n      - {filter: alarm/#, qos: 2, global: true}\n      - {filter: b, qos: 0}\n    grants: {publish: [a/+], subscribe: [b/#, c]}\n    limits: {memory: 1MiB, call: 20ms, mailbox: 3, when_full: drop-oldest, attempts: 1, when_failing: out-of-order, restarts: 2, restart_window: 30s, dead_letters: 8, backoff: {min: 5ms, max: 10ms}, publishes: 4, payload: 9B, subscriptions: 6, timers: 0, state: 7B}\n",
    )
    .services
    .remove(0);
    assert_eq!(
        service.component,
        Some(PathBuf::from("/etc/house/x/echo.wasm"))
    );
    assert_eq!(
        (service.base.as_str(), service.log_level),
        ("home/", Some(Level::Trace))
    );
    let subscription = |filter: &str, qos| Subscription {
        filter: Filter::new(filter).unwrap(),
        qos,
    };
    let expected = [
        subscription("home/echo", Qos::AtLeastOnce),
        subscription("$share/all/home/work/#", Qos::AtLeastOnce),
        subscription("alarm/#", Qos::ExactlyOnce),
        subscription("home/b", Qos::AtMostOnce),
    ];

    assert_eq!(service.triggers.subscriptions, expected);
    let filters = |filters: &[&str]| {
        filters
            .iter()
            .map(|f| Filter::new(f).unwrap())
            .collect::<Vec<_>>()
    };

    assert_eq!(
        service.grants,
        Grants {
            publish: filters(&["a/+"]),
            subscribe: filters(&["b/#", "c"]),
            ..Grants::default()
        }
    );

    let mut expected = Limits::default();
    expected.memory.bytes = 1 << 20;
    expected.call.time = Duration::from_millis(20);
    expected.call.publishes = 4;
    expected.call.payload = 9;
    expected.mailbox.messages = 3;
    expected.mailbox.when_full = WhenFull::DropOldest;
    expected.retry = RetryLimits {
        attempts: 1,
        when_failing: WhenFailing::OutOfOrder,
        backoff: WaitRange {
            min: Duration::from_millis(5),
            max: Duration::from_millis(10),
        },
        restarts: 2,
        restart_window: Duration::from_secs(30),
        dead_letters: 8,
    };

    expected.total.subscriptions = 6;
    expected.total.timers = 0;
    expected.total.state = 7;
    assert_eq!(service.limits, expected);
    assert_eq!(service.config.json, serde_json::json!({"colour": "red"}));
}

#[test]
fn timers_of_the_section_are_the_hosts() {
    let text = "services: {echo: {timers: {beat: 10s, poll: 1m}, colour: red}}";
    let service = quiet(text).services.remove(0);
    let timers = service.triggers.timers.iter();
    let timers: Vec<_> = timers
        .map(|timer| (timer.name.as_str(), timer.period.as_secs()))
        .collect();
    assert_eq!(timers, [("beat", 10), ("poll", 60)]);
    assert_eq!(service.config.json, serde_json::json!({"colour": "red"}));

    let found = |text: &str| problems(&format!("services: {{echo: {text}}}"));
    assert!(found("{timers: {beat: 0s}}").contains("timers.beat: expected a duration from 1ms to"));
    assert!(found("{timers: {beat: often}}").contains("timers.beat: expected a duration such as"));
    assert!(
        found("{timers: {'': 1s}}").contains("expected a name of 1 to 256 bytes, found one of 0")
    );
    assert!(
        found("{timers: {a: 1s, b: 1s}, limits: {timers: 1}}")
            .contains("more than limits.timers, 1")
    );
}

#[test]
fn subscriptions_and_grants_are_checked() {
    let subscriptions =
        |text: &str| problems(&format!("services: {{echo: {{subscriptions: {text}}}}}"));
    assert!(
        subscriptions("[a, a]")
            .contains("subscriptions[1]: service/echo/a is subscribed to already")
    );
    assert!(subscriptions("[{qos: 1}]").contains("subscriptions[0]: has no filter"));
    assert!(subscriptions("[$share/x]").contains("$share/<group>/<filter>"));
    assert!(subscriptions("['']").contains("must not be empty"));
    assert!(
        problems("services: {echo: {subscriptions: [a, b], limits: {subscriptions: 1}}}")
            .contains("more than limits.subscriptions, 1")
    );
    assert!(
        problems("services: {echo: {grants: {subscribe: [$share/g/a]}}}")
            .contains("a grant is a filter alone")
    );
    assert!(
        problems("services: {echo: {limits: {backoff: {min: 2s, max: 1s}}}}")
            .contains("limits.backoff: min is larger than max")
    );
}

#[test]
fn files_name_their_services() {
    assert_eq!(
        running("", &["guests/echo.wasm", "/x/relay.wasm"]),
        [
            pair("echo", "guests/echo.wasm"),
            pair("relay", "/x/relay.wasm")
        ]
    );

    let loaded = run(
        "services: {echo: {colour: red}, other: {component: other.wasm}}",
        &["guests/echo.wasm"],
    )
    .unwrap();
    assert_eq!(loaded.config.services.len(), 1);
    assert_eq!(
        loaded.config.services[0].config.json,
        serde_json::json!({"colour": "red"})
    );
}

#[test]
fn a_section_that_names_the_file_is_the_service() {
    let text = "services: {kitchen: {component: /x/lamp.wasm}, bath: {component: /x/y/../lamp.wasm}, lamp: {component: /x/new.wasm}}";
    assert_eq!(
        running(text, &["/x/lamp.wasm"])[0],
        pair("kitchen", "/x/lamp.wasm")
    );
    // if no section names the file, the section of its stem applies; the file on the command line runs
    assert_eq!(
        running(text, &["/y/lamp.wasm"]),
        [pair("lamp", "/y/lamp.wasm")]
    );
}

#[test]
fn without_files_every_section_with_a_component_runs() {
    let text = "services: {b: {component: b.wasm}, free: {x: 1}, a: {component: a.wasm}}";
    assert_eq!(
        running(text, &[]),
        [
            pair("b", "/etc/house/b.wasm"),
            pair("a", "/etc/house/a.wasm")
        ]
    );

    let nothing = run("services: {free: {x: 1}}", &[]).unwrap_err();
    assert!(
        nothing
            .contains("no service to run: name a component file (miqro-host run guests/echo.wasm)"),
        "{nothing}"
    );
}

#[test]
fn two_services_of_one_name_or_base_topic_are_refused() {
    let twice = run("", &["a/echo.wasm", "b/echo.wasm"]).unwrap_err();
    assert!(
        twice.contains("b/echo.wasm: the service echo runs a/echo.wasm already"),
        "{twice}"
    );
    let base = run(
        "services: {a: {component: a.wasm, data_topic: x}, b: {component: b.wasm, data_topic: x/}}",
        &[],
    );
    let base = base.unwrap_err();
    assert!(
        base.contains(
            "miqro.yml:1: services.b.data_topic: the services a (line 1) and b (line 1) have"
        ),
        "{base}"
    );

    let name = run("", &["a/we+ird.wasm"]).unwrap_err();
    assert!(name.contains("invalid service name \"we+ird\""), "{name}");
    assert!(run("", &["/"]).unwrap_err().contains("no file name"));
}

#[test]
fn problems_of_file_and_command_line_come_together() {
    let both = run("log_level: LOUD\n", &["a/echo.wasm", "b/echo.wasm"]).unwrap_err();
    assert_eq!(both.lines().count(), 2, "{both}");
}

#[test]
fn files_are_loaded_from_disk_and_their_paths_start_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("house.yml");
    let missing = Config::load(Some(&file), Selection::All)
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with(&format!(
            "{}: cannot read the configuration: ",
            file.display()
        )),
        "{missing}"
    );

    std::fs::write(&file, "services: {echo: {component: ./echo.wasm}}").unwrap();
    let config = Config::load(Some(&file), Selection::Run(&[]))
        .unwrap()
        .config;
    assert_eq!(config.file.as_deref(), Some(file.as_path()));
    assert_eq!(
        config.services[0].component,
        Some(dir.path().join("echo.wasm"))
    );
    std::fs::write(&file, b"# good\n\xff\n").unwrap();
    let binary = Config::load(Some(&file), Selection::All)
        .unwrap_err()
        .to_string();
    assert!(
        binary.contains("house.yml:2:1: is not UTF-8 text"),
        "{binary}"
    );
}
