//! The errors about a file that is wrong.

use super::{problems, warnings};

#[test]
fn all_problems_are_reported_in_line_order() {
    let text = "\
broker:
  host: localhost
  prot: 1883
  keepalive: soon
services:
  echo:
    limits:
      call: \"5 parsecs\"
      memory: 64
      when_full: explode
    subscriptions: [a/#/b, {filter: x, qos: 3, gobal: true}]
    grants: {publish: everything}
log_levle: DEBUG
";
    let expected = "\
miqro.yml:3: broker.prot: unknown key; did you mean port? Accepted: ";
    let problems = problems(text);
    assert!(problems.starts_with(expected), "{problems}");
    let rest: Vec<&str> = problems.lines().skip(1).collect();
    assert_eq!(
        rest,
        [
            "miqro.yml:4: broker.keepalive: expected a duration such as 500ms, 5s or 1h30m, found \"soon\"",
            "miqro.yml:8: services.echo.limits.call: expected a duration such as 500ms, 5s or 1h30m, found \"5 parsecs\"",
            "miqro.yml:9: services.echo.limits.memory: expected a size such as 64KiB, 16MiB or 1000B, found \"64\"",
            "miqro.yml:10: services.echo.limits.when_full: expected one of drop-oldest, drop-newest, hold, unacknowledged, found \"explode\"",
            "miqro.yml:11: services.echo.subscriptions[0]: filter \"service/echo/a/#/b\": '+' must stand alone in its level and '#' alone in the last level",
            "miqro.yml:11: services.echo.subscriptions[1].qos: expected a whole number from 0 to 2, found \"3\"",
            "miqro.yml:11: services.echo.subscriptions[1].gobal: unknown key; did you mean global? Accepted: filter, global, qos",
            "miqro.yml:12: services.echo.grants.publish: expected a list such as [home/lamp/set, alarm/#], found \"everything\"",
            "miqro.yml:13: log_levle: unknown key; did you mean log_level? Accepted: auth, broker, cache_dir, compile_timeout, ha_discovery_prefix, log, log_level, mqtt_control, online_interval, presence_connections, services, state_file, statistics_interval, stop_deadline, tls, traces, trust, watch_interval, web",
        ]
    );
}

#[test]
fn invalid_yaml_is_reported_with_its_line() {
    assert!(
        problems("broker:\n  host: [a\nlog_level: x: y\n").starts_with("miqro.yml:3: not YAML: ")
    );
    assert!(problems("broker:\n  host: b\n\tport: 1\n").contains("not YAML: "));
    assert!(problems("broker: *nobody\n").starts_with("miqro.yml:1: not YAML: "));
}

#[test]
fn duplicate_keys_are_reported_with_both_lines() {
    let text = "services:\n  echo:\n    a: 1\n  other:\n    b: {c: 1, c: 2}\n  echo:\n    a: 2\n";
    assert_eq!(
        problems(text),
        "miqro.yml:5: services.other.b.c: written twice: in line 5 and in line 5; keep one\n\
         miqro.yml:6: services.echo: written twice: in line 2 and in line 6; keep one"
    );
}

#[test]
fn names_of_services_are_one_level() {
    for name in [
        "a/b",
        "'#'",
        "''",
        "a+",
        r#""a\tb""#,
        r#""a\x85b""#,
        r#""a\uFFFEb""#,
    ] {
        assert!(
            problems(&format!("services: {{{name}: }}")).contains("invalid service name"),
            "{name}"
        );
    }
}

#[test]
fn texts_that_brokers_reject_are_refused_with_their_line() {
    for (line, key) in [
        (r#"data_topic: "home\tx""#, "data_topic"),
        (r#"data_topic: "home\uFDD0""#, "data_topic"),
        (r#"subscriptions: ["a\nb"]"#, "subscriptions[0]"),
        (
            r#"subscriptions: [{filter: "$share/a\x01b/c", global: true}]"#,
            "subscriptions[0].filter",
        ),
        (r#"grants: {publish: ["a\x7Fb"]}"#, "grants.publish[0]"),
        (r#"dead_letter: "lost\x85""#, "dead_letter"),
        (
            r#"availability: [{topic: "a\U0010FFFF", global: true}]"#,
            "availability[0].topic",
        ),
        (
            r#"offline: [{filter: "a\x02", policy: drop}]"#,
            "offline[0].filter",
        ),
    ] {
        let text = problems(&format!("services:\n  echo:\n    {line}\n"));
        assert!(
            text.starts_with(&format!("miqro.yml:3: services.echo.{key}: ")),
            "{line}: {text}"
        );
        assert!(text.contains(", which MQTT forbids"), "{line}: {text}");
    }

    let deep = problems(&format!(
        "services: {{echo: {{data_topic: {}}}}}",
        vec!["x"; 200].join("/")
    ));
    assert!(
        deep.contains("services.echo.data_topic: a topic of 201 levels"),
        "{deep}"
    );
    let id = problems("broker:\n  host: b\n  client_id: \"a\\tb\"\n");
    assert!(id.starts_with("miqro.yml:3: broker.client_id: "), "{id}");
    let user = problems("broker: {host: b}\nauth:\n  username: \"a\\uFFFFb\"\n");
    assert!(
        user.starts_with("miqro.yml:3: auth.username: contains U+FFFF"),
        "{user}"
    );
}

#[test]
fn the_brokers_own_topics_are_no_base_topic() {
    for base in ["$SYS", "$SYS/x", "$share/g"] {
        let text = problems(&format!("services:\n  echo:\n    data_topic: {base}\n"));
        assert!(
            text.starts_with("miqro.yml:3: services.echo.data_topic: ")
                && text.contains("cannot be a base topic"),
            "{text}"
        );
    }
}

#[test]
fn a_guest_key_similar_to_a_host_key_warns() {
    let text = "services:\n  echo:\n    subscription: [a]\n    limit: 3\n    colour: red\n    data-topic: x\n";
    let warnings = warnings(text);
    let lines: Vec<&str> = warnings.lines().collect();
    assert_eq!(lines.len(), 3, "{warnings}");
    assert!(
        lines[0].starts_with("miqro.yml:3: services.echo.subscription: ")
            && lines[0].contains("subscriptions")
    );
}

#[test]
fn values_of_the_wrong_kind_are_named_and_secrets_are_not() {
    assert!(
        problems("services: {echo: {subscriptions: [~]}}")
            .ends_with("subscriptions[0]: expected text, found nothing")
    );
    assert!(problems("broker: {host: [b]}").contains("broker.host: expected text, found a list"));
    assert!(problems("services: [echo]").contains("services: expected a section, found a list"));
    let misplaced = problems("broker: {host: b}\nauth: geheim");
    assert!(
        misplaced.contains("miqro.yml:2: auth: expected a section, found a single value"),
        "{misplaced}"
    );
    assert!(!misplaced.contains("geheim"));
}
