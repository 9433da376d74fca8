//! The shipped `miqro.yml`.

use super::{load, problems, quiet};
use crate::config::{Broker, BrokerLimits, Config};

const SAMPLE: &str = include_str!("../../../../miqro.yml");
/// Keys of a broker elsewhere, of the embedded one, and those that exclude another key beside them.
const ELSEWHERE: [&str; 9] = [
    "host:",
    "port:",
    "transport:",
    "path:",
    "bind_address:",
    "auth:",
    "username:",
    "password:",
    "tls:",
];
const TLS: [&str; 7] = [
    "ca_certs:",
    "certfile:",
    "keyfile:",
    "cert_reqs:",
    "server_name:",
    "tls_version:",
    "ciphers:",
];
const EMBEDDED: [&str; 7] = [
    "embedded:",
    "listen:",
    "data_dir:",
    "users:",
    "limits: {connections",
    "waiting:",
    "queue:",
];
const EXCLUSIVE: [&str; 3] = ["password_file:", "password_env:", "log_level: INFO"];

/// The sample with every setting in use but those whose line begins with one of `but`.
fn uncommented(but: &[&[&str]]) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(text)
            if is_setting(text)
                && !but
                    .concat()
                    .iter()
                    .any(|key| text.trim_start().starts_with(key)) =>
        {
            line.replacen('#', "", 1)
        }
        _ => line.to_owned(),
    };

    SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `#key:` and `#  key:` are settings, `# text` is a comment.
fn is_setting(text: &str) -> bool {
    !text.is_empty() && (!text.starts_with(' ') || text.starts_with("  "))
}

#[test]
fn the_sample_says_the_defaults() {
    let sample = quiet(SAMPLE);
    assert_eq!(
        sample.services[0].config.json["custom_value"],
        "Use for service-specific configuration values"
    );
    assert_eq!(
        Config {
            services: Vec::new(),
            ..sample
        },
        Config { ..quiet("") },
        "a default was changed"
    );
}

#[test]
fn the_full_sample_loads_with_a_remote_broker() {
    let text = uncommented(&[&EMBEDDED, &EXCLUSIVE, &["- {username"]]);
    let loaded = load(&text);
    assert!(matches!(loaded.config.broker, Broker::Remote(_)));
    let only_files = loaded
        .warnings
        .iter()
        .all(|warning| warning.message.contains("there is no file"));
    assert!(only_files, "{:?}", loaded.warnings);
    let defaults = quiet("services: {echo: }").services.remove(0);
    let echo = &loaded.config.services[0];
    assert_eq!(
        (&echo.limits, &echo.base),
        (&defaults.limits, &defaults.base),
        "the sample shows other defaults"
    );
    assert_eq!(echo.triggers.subscriptions.len(), 2);
}

#[test]
fn the_full_sample_loads_with_the_embedded_broker() {
    let config = quiet(&uncommented(&[&ELSEWHERE, &TLS, &EXCLUSIVE]));
    let Broker::Embedded(broker, mut connection) = config.broker else {
        panic!()
    };
    assert_eq!((broker.users.len(), broker.listen_is_default), (1, false));
    let Broker::Embedded(_, defaults) = quiet("").broker else {
        panic!()
    };
    (connection.client_id, connection.credentials) = (defaults.client_id.clone(), None);
    assert_eq!(connection, defaults, "the sample shows other defaults");
    assert_eq!(
        broker.limits,
        BrokerLimits::default(),
        "the sample shows other defaults"
    );
    assert_eq!(
        (config.log, config.host.stop_deadline),
        (quiet("").log, quiet("").host.stop_deadline)
    );
    assert_eq!(
        config.host.presence_connections,
        quiet("").host.presence_connections
    );
}

/// The keys that a section accepts, as its problem about an unknown one lists them.
#[test]
fn the_sample_covers_every_key() {
    let wrong = "zzzzzzzz: 1\nbroker: {zzzzzzzz: 1, reconnect: {zzzzzzzz: 1}, outbox: {zzzzzzzz: 1}, embedded: {zzzzzzzz: 1, users: [{zzzzzzzz: 1}]}}\nlog: {zzzzzzzz: 1}\nservices: {a: {limits: {zzzzzzzz: 1, backoff: {zzzzzzzz: 1}}, grants: {zzzzzzzz: 1}, swap: {zzzzzzzz: 1}, subscriptions: [{zzzzzzzz: 1}]}}\n";
    let elsewhere = "broker: {host: b}\nauth: {zzzzzzzz: 1}\ntls: {zzzzzzzz: 1}\n";
    let problems = [problems(wrong), problems(elsewhere)].join("\n");
    let lists: Vec<&str> = problems
        .lines()
        .filter_map(|line| Some(line.split_once("accepted: ")?.1))
        .collect();
    assert_eq!(lists.len(), 14, "{problems}");
    let service = [
        "component",
        "data_topic",
        "subscriptions",
        "limits",
        "grants",
        "swap",
        "log_level",
    ];

    for key in lists
        .iter()
        .flat_map(|list| list.split(", "))
        .chain(service)
    {
        let mut words = SAMPLE.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        assert!(words.any(|word| word == key), "{key} is not in the sample");
    }
}
