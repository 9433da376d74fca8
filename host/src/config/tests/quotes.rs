//! Values in quotes: numbers and words that are meant without them, and typographic quotes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{problems, quiet, remote, warnings};
use crate::config::{Broker, Config, Selection};

#[test]
fn quotes_around_numbers_and_truth_values_make_no_difference() {
    let connection = remote(
        "broker: {host: b, port: \"1884\", keepalive: '30', receive_maximum: '9', clean_start: 'true', max_packet_size: '64KiB', \
         connect_timeout: \"500ms\", protocol: '5', session_expiry: 'never', outbox: {messages: '7', bytes: '1MiB'}}",
    );
    assert_eq!(
        (connection.port, connection.session.keepalive),
        (1884, Duration::from_secs(30))
    );
    assert_eq!(
        (
            connection.session.receive_maximum,
            connection.session.clean_start,
            connection.session.outbox.messages
        ),
        (9, true, 7)
    );

    let config = quiet(
        "presence_connections: \"3\"\nservices: {a: {limits: {attempts: '5'}, subscriptions: [{filter: x, qos: \"2\", global: \"true\"}], \
         number: \"5\"}}",
    );
    assert_eq!(
        (
            config.host.presence_connections,
            config.services[0].limits.retry.attempts
        ),
        (3, 5)
    );

    let subscription = &config.services[0].triggers.subscriptions[0];
    assert_eq!(
        (subscription.filter.as_str(), u8::from(subscription.qos)),
        ("x", 2)
    );
    // values in the guest's own part keep their type
    assert_eq!(
        config.services[0].config.json,
        serde_json::json!({"number": "5"})
    );
    let text = r#"{"mqtt": {"broker": "b", "port": "1884"}}"#;
    let loaded = Config::read(
        text,
        Some(Path::new("a.conf")),
        Selection::Run(&[PathBuf::from("svc.wasm")]),
    )
    .unwrap();
    assert!(matches!(loaded.config.broker, Broker::Remote(connection) if connection.port == 1884));
    for port in [
        "'70000'", "''", "' 1884'", "'1884.0'", "'01884'", "'0x'", "[1884]",
    ] {
        let said = problems(&format!("broker: {{host: b, port: {port}}}"));
        assert!(
            said.contains("expected a whole number from 1 to 65535"),
            "{port}: {said}"
        );
    }

    assert!(problems("broker: {host: b, clean_start: 'yes'}").contains("expected true or false"));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn typographic_quotes_are_named_wherever_they_stand() {
    for host in [
        "“localhost”",
        "‘localhost’",
        "\"“localhost”\"",
        "local’host",
        "„b“",
        "«b»",
    ] {
        let said = problems(&format!("broker: {{host: {host}}}"));
        assert!(
            said.contains("broker.host: ") && said.contains("the typographic quote "),
            "{host}: {said}"
        );
    }

    for (text, key) in [
        ("broker: {host: b, port: “1884”}", "broker.port"),
        (
            "broker: {host: b, clean_start: ”true”}",
            "broker.clean_start",
        ),
        ("broker: {host: b, keepalive: “60s”}", "broker.keepalive"),
        ("broker: {host: b, client_id: ‘me’}", "broker.client_id"),
        ("log_level: “DEBUG”", "log_level"),
        (
            "services: {a: {data_topic: “home”}}",
            "services.a.data_topic",
        ),
        (
            "services: {a: {subscriptions: [‘x/#’]}}",
            "services.a.subscriptions[0]",
        ),
        (
            "services: {a: {component: “a.wasm”}}",
            "services.a.component",
        ),
        (
            "services: {a: {key: {from_file: “key.txt”}}}",
            "services.a.key.from_file",
        ),
    ] {
        let said = problems(text);
        assert!(
            said.contains(&format!("{key}: has the typographic quote ")) && said.contains("(U+20"),
            "{text}: {said}"
        );
    }

    let secret = problems("broker: {host: b}\nauth: {username: a, password: “geheim”}");
    assert!(
        secret.contains("auth.password: has the typographic quote “ (U+201C)")
            && !secret.contains("geheim"),
        "{secret}"
    );
    for text in [
        "{“mqtt”: {“broker”: “b”}}",
        "“broker”: {host: b}",
        "services: {‘a’: {}}",
        "services: {a: {“b”: 1}}",
    ] {
        let said = problems(text);
        assert!(
            said.contains("begins with the typographic quote "),
            "{text}: {said}"
        );
    }

    assert!(problems("services: {a: {grants: {http: ['“b”']}}}").contains("expected a host"));
    // in a text for the guest they are text, which may surprise
    let said =
        warnings("services: {a: {text: “kitchen”, title: he said “hi” there, quoted: '“x”'}}");
    assert!(
        said.lines().count() == 1 && said.contains("services.a.text: goes to the service with"),
        "{said}"
    );
    // in the middle of a topic they are accepted
    assert_eq!(
        quiet("services: {a: {data_topic: kid’s room}}").services[0]
            .base
            .as_str(),
        "kid’s room/"
    );
}
