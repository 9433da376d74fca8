//! The sections `broker`, `auth` and `tls`.

use std::path::PathBuf;
use std::time::Duration;

use super::{load, problems, quiet, remote, warnings};
use crate::config::{Broker, Connection, Credentials, EmbeddedBroker, Level, Protocol, Transport};

fn embedded(text: &str) -> (EmbeddedBroker, Connection) {
    match quiet(text).broker {
        Broker::Embedded(broker, connection) => (broker, connection),
        Broker::Remote(_) => panic!("remote: {text}"),
    }
}

#[test]
fn the_default_is_the_embedded_broker_on_loopback() {
    for text in [
        "",
        "# nothing\n",
        "broker:\n",
        "broker: {}",
        "---\n",
        "services:\n",
        "broker: {embedded: }",
    ] {
        let (broker, connection) = embedded(text);
        assert_eq!(broker.listen, "127.0.0.1:1883".parse().unwrap());
        assert!(broker.listen_is_default && broker.users.is_empty() && broker.data_dir.is_none());
        assert_eq!(
            (connection.host.as_str(), connection.port),
            ("127.0.0.1", 1883)
        );
    }
}

#[test]
fn miqro_s_own_file_is_accepted_unchanged() {
    let config = quiet(
        "broker:\n  host: localhost\n  port: 1883\n  keepalive: 60\nlog_level: DEBUG\nservices:\n  echo:\n    custom_value: \"Use for service-specific configuration values\"\n",
    );
    let Broker::Remote(connection) = &config.broker else {
        panic!("{config:?}")
    };
    assert_eq!(
        (connection.host.as_str(), connection.port),
        ("localhost", 1883)
    );
    assert_eq!(connection.session.keepalive, Duration::from_secs(60));
    assert_eq!(config.log.level, Level::Debug);
    assert_eq!(config.services[0].name, "echo");
    let expected =
        serde_json::json!({"custom_value": "Use for service-specific configuration values"});
    assert_eq!(config.services[0].config.json, expected);
    assert_eq!(config.services[0].base.as_str(), "service/echo/");
}

#[test]
fn miqro_s_longer_sample_is_accepted_unchanged() {
    let text = "\
broker:
  host: localhost
  port: 1883
  keepalive: 60
  
log_level: DEBUG

services:

  echo:
    custom_value: \"Use for service-specific configuration values\"

  some_other_service:
    has_some:
      custom:
        - \"configuration values\"
";
    let services = quiet(text).services;
    assert_eq!(
        services[1].config.json["has_some"]["custom"][0],
        "configuration values"
    );
}

#[test]
fn every_key_that_miqro_knew_is_accepted() {
    let loaded = load(
        "broker: {host: broker.example, port: 8884, keepalive: 30, bind_address: '', bind_port: 0, clean_start: 3, properties: }\n\
         auth: {username: anna, password: 1234}\n\
         tls: {ca_certs: /dev/null, certfile: /dev/null, keyfile: /dev/null, cert_reqs: CERT_REQUIRED, tls_version: PROTOCOL_TLS, ciphers: None}\n\
         ha_discovery_prefix: homeassistant\nlog_level: info\n\
         services: {can: {data_topic: car/, udp_sender: {enabled: false, addresses: []}}}\n",
    );

    assert_eq!(loaded.warnings, []);
    let Broker::Remote(connection) = loaded.config.broker else {
        panic!()
    };
    assert_eq!(connection.transport, Transport::Tls);
    assert!(connection.session.clean_start && !connection.tls.insecure);
    let credentials = Credentials {
        username: "anna".to_owned(),
        password: Some("1234".to_owned()),
    };
    assert_eq!(connection.credentials, Some(credentials));
    assert_eq!(loaded.config.services[0].base.as_str(), "car/");
    assert_eq!(loaded.config.ha_discovery_prefix.as_str(), "homeassistant");
}

#[test]
fn an_empty_tls_section_enables_tls_and_its_port() {
    for tls in ["tls:", "tls: {}", "tls: {cert_reqs: CERT_OPTIONAL}"] {
        let connection = remote(&format!("broker: {{host: b}}\n{tls}\n"));
        assert_eq!(
            (connection.transport, connection.port),
            (Transport::Tls, 8883)
        );
    }

    assert_eq!(remote("broker: {host: b, port: 1883}\ntls:\n").port, 1883);
}

#[test]
fn transports_have_their_ports_and_paths() {
    let at = |text: &str| {
        let connection = remote(&format!("broker: {{host: b, {text}}}"));
        (connection.transport, connection.port)
    };
    assert_eq!(at("transport: tcp"), (Transport::Tcp, 1883));
    assert_eq!(at("transport: tls"), (Transport::Tls, 8883));
    assert_eq!(
        at("transport: ws"),
        (Transport::WebSocket("/mqtt".to_owned()), 80)
    );
    assert_eq!(
        at("transport: wss, path: /x?y=1"),
        (Transport::SecureWebSocket("/x?y=1".to_owned()), 443)
    );
    assert!(
        problems("broker: {host: b, transport: tcp}\ntls:\n")
            .contains("broker.transport: is without TLS")
    );
    assert!(problems("broker: {host: b, path: /x}").contains("broker.path: is for transport: ws"));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn protocols_and_spans_are_read() {
    let connection = remote(
        "broker: {host: '[::1]', protocol: 3.1.1, keepalive: 1m30s, session_expiry: never, connect_timeout: 500ms, \
         reconnect: {min: 1s, max: 2m}, outbox: {messages: 5, bytes: 1MiB}, max_packet_size: 64KiB, receive_maximum: 9, \
         client_id: me, clean_start: true, bind_address: 127.0.0.2}",
    );
    assert_eq!(
        (connection.host.as_str(), connection.session.protocol),
        ("::1", Protocol::V311)
    );
    assert_eq!(connection.session.keepalive, Duration::from_secs(90));
    assert_eq!(
        connection.session.session_expiry,
        Duration::from_secs(u32::MAX.into())
    );
    assert_eq!(
        connection.session.connect_timeout,
        Duration::from_millis(500)
    );
    assert_eq!(
        (
            connection.session.reconnect.min,
            connection.session.reconnect.max
        ),
        (Duration::from_secs(1), Duration::from_secs(120))
    );

    assert_eq!(
        (
            connection.session.outbox.messages,
            connection.session.outbox.bytes
        ),
        (5, 1 << 20)
    );

    assert_eq!(
        (
            connection.session.max_packet_size,
            connection.session.receive_maximum
        ),
        (65536, 9)
    );

    assert_eq!(
        (
            connection.client_id.as_str(),
            connection.session.clean_start
        ),
        ("me", true)
    );

    assert_eq!(
        remote("broker: {host: b, protocol: 5}").session.protocol,
        Protocol::V5
    );
    assert_eq!(
        remote("broker: {host: b, reconnect: {min: 5m}}")
            .session
            .reconnect
            .max,
        Duration::from_secs(300)
    );

    assert_eq!(
        remote("broker: {host: b, reconnect: {max: 50ms}}")
            .session
            .reconnect
            .min,
        Duration::from_millis(50)
    );
}

#[test]
fn hosts_are_names_or_addresses() {
    for host in ["mqtt://b", "b:1883", "''", "b/c", "a b"] {
        assert!(
            problems(&format!("broker: {{host: {host}}}")).contains("expected a host name"),
            "{host}"
        );
    }
}

#[test]
fn the_host_logs_in_as_the_first_user() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "s3cret\r\n").unwrap();
    let (broker, connection) = embedded(&format!(
        "broker: {{keepalive: 5, embedded: {{listen: '0.0.0.0:1999', data_dir: state, users: [{{username: anna, password_file: {}}}, {{username: bo, password: x}}]}}}}",
        file.display()
    ));
    assert!(!broker.listen_is_default);
    assert_eq!(broker.data_dir, Some(PathBuf::from("/etc/house/state")));
    assert_eq!(broker.users.len(), 2);
    assert_eq!(
        (connection.host.as_str(), connection.port),
        ("127.0.0.1", 1999)
    );
    assert_eq!(connection.session.keepalive, Duration::from_secs(5));
    assert_eq!(connection.credentials.unwrap().password.unwrap(), "s3cret");
}

#[test]
fn a_public_embedded_broker_requires_users() {
    assert!(
        problems("broker: {embedded: {listen: '0.0.0.0:1883'}}").contains("write users for it")
    );
    assert!(
        problems("broker: {embedded: {listen: '0.0.0.0:1883', users: []}}")
            .contains("write users for it")
    );
    assert!(problems("broker: {embedded: {users: [{username: a}]}}").contains("has no password"));
    let twice =
        "broker: {embedded: {users: [{username: a, password: b}, {username: a, password: c}]}}";
    assert!(problems(twice).contains("users[1]: the user \"a\" is there already"));
    assert!(problems("broker: {host: b, embedded: }").contains("either host"));
    assert!(
        problems("broker: {embedded: , port: 1884}")
            .contains("broker.port: is for a broker elsewhere")
    );
    assert!(problems("broker: {port: 1884}").contains("broker.host is missing"));
    assert!(problems("auth: {username: a}").contains("broker.embedded.users"));
    assert!(problems("tls:").contains("speaks no TLS"));
}

#[test]
fn secrets_come_in_exactly_one_way() {
    let both =
        problems("broker: {host: b}\nauth: {username: a, password: geheim, password_env: X}");
    assert!(
        both.contains("write only one of password, password_file, password_env")
            && !both.contains("geheim")
    );
    assert!(
        problems("broker: {host: b}\nauth: {password: x}")
            .contains("has a password but no username")
    );
    let missing =
        problems("broker: {host: b}\nauth: {username: a, password_env: MIQRO_TEST_UNSET}");
    assert!(
        missing
            .contains("auth.password_env: cannot read the environment variable MIQRO_TEST_UNSET"),
        "{missing}"
    );
    let missing = problems("broker: {host: b}\nauth: {username: a, password_file: nowhere}");
    assert!(missing.contains("cannot read nowhere:"), "{missing}");
    let path = std::env::var("PATH").unwrap();
    let credentials = remote("broker: {host: b}\nauth: {username: a, password_env: PATH}")
        .credentials
        .unwrap();
    assert_eq!(credentials.password, Some(path));
}

#[test]
fn tls_reads_python_s_words() {
    let connection = remote(
        "broker: {host: b}\ntls: {cert_reqs: CERT_NONE, certfile: /dev/null, server_name: c}",
    );
    assert!(connection.tls.insecure);
    let file = PathBuf::from("/dev/null");
    assert_eq!(
        connection.tls.client_certificate,
        Some((file.clone(), file))
    );
    assert_eq!(connection.tls.server_name.as_deref(), Some("c"));
    let old = problems(
        "broker: {host: b}\ntls: {tls_version: PROTOCOL_TLSv1_1, cert_reqs: no, keyfile: /dev/null}",
    );
    assert!(
        old.contains("TLSv1_1 is broken")
            && old.contains("CERT_OPTIONAL")
            && old.contains("no certfile"),
        "{old}"
    );

    let ignored = warnings(
        "broker: {host: b, bind_port: 7, properties: {a: 1}}\ntls: {ciphers: HIGH, ca_certs: nowhere.pem}",
    );
    assert_eq!(ignored.lines().count(), 4, "{ignored}");
    assert!(
        ignored.contains("miqro.yml:2: tls.ca_certs: there is no file nowhere.pem"),
        "{ignored}"
    );
}
