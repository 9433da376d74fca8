//! Configuration files of mqttservice: accepted as they are.

use std::path::{Path, PathBuf};

use crate::config::{Broker, Config, Credentials, LoadedConfig, Selection};

const FILE: &str = r#"{
	"mqtt": {
		"broker": "broker.example",
		"port": 1884,
		"user": "anna",
		"password": "geheim",
		"basetopic": "labor/eins"
	},
	"port": "/dev/ttyUSB0",
	"limits": { "low": 1.5, "high": [1, 2, null, true] },
	"smile": "\ud83d\ude00 \u00e4 a\/b"
}"#;

fn run(text: &str, files: &[&str]) -> Result<LoadedConfig, String> {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let loaded = Config::read(
        text,
        Some(Path::new("/etc/lab.conf")),
        Selection::Run(&files),
    );
    loaded.map_err(|error| error.to_string())
}

#[test]
fn a_file_of_mqttservice_is_taken_as_it_is() {
    let loaded = run(FILE, &["guests/svc.wasm"]).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let Broker::Remote(connection) = &config.broker else {
        panic!("{:?}", config.broker)
    };
    assert_eq!(
        (connection.host.as_str(), connection.port),
        ("broker.example", 1884)
    );
    let login = Credentials {
        username: "anna".to_owned(),
        password: Some("geheim".to_owned()),
    };
    assert_eq!(connection.credentials, Some(login));
    let service = &config.services[0];
    assert_eq!(
        (service.name.as_str(), service.base.as_str()),
        ("svc", "labor/eins/")
    );
    let expected = serde_json::json!({
        "port": "/dev/ttyUSB0", "limits": { "low": 1.5, "high": [1, 2, null, true] }, "smile": "😀 ä a/b",
    });
    assert_eq!(service.config.json, expected);
    assert!(!config.to_yaml().contains("geheim"));
}

#[test]
fn topics_are_full_without_a_base_topic() {
    for text in [
        r#"{"mqtt": {"broker": "b"}}"#,
        r#"{"mqtt": {"broker": "b", "basetopic": "", "user": null}}"#,
    ] {
        let config = run(text, &["svc.wasm"]).unwrap().config;
        let Broker::Remote(connection) = &config.broker else {
            panic!("{:?}", config.broker)
        };
        assert_eq!((connection.port, &connection.credentials), (1883, &None));
        assert_eq!(config.services[0].base.as_str(), "");
        assert_eq!(
            config.services[0].base.filter("a/#").unwrap().as_str(),
            "a/#"
        );
        let shown = config.to_yaml();
        let again = Config::read(&shown, None, Selection::All)
            .unwrap()
            .config
            .services
            .remove(0);
        assert_eq!(
            (again.name.as_str(), again.base.as_str()),
            ("svc", ""),
            "{shown}"
        );
    }
}

#[test]
fn every_fault_is_said_with_line_key_and_what_is_accepted() {
    let said = run(
        "{\n\"mqtt\": {\n\"port\": 70000,\n\"basetopic\": \"a/+\"\n}\n}",
        &[],
    )
    .unwrap_err();
    for part in [
        "/etc/lab.conf:2: mqtt: has no broker",
        "/etc/lab.conf:3: mqtt.port: expected a whole number from 1 to 65535, found \"70000\"",
        "/etc/lab.conf:4: mqtt.basetopic: ",
        "name one (miqro-host run svc.wasm --config svc.conf)",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }

    let twice = run(
        "{\"mqtt\": {\"broker\": \"b\"},\n\"a\": 1,\n\"a\": 2}",
        &["svc.wasm"],
    )
    .unwrap_err();
    assert!(
        twice.contains("a: written twice: in line 2 and in line 3"),
        "{twice}"
    );
    let two = run(r#"{"mqtt": {"broker": "b"}}"#, &["a.wasm", "b.wasm"]).unwrap_err();
    assert!(two.contains("is for one service"), "{two}");
    let password = run(r#"{"mqtt": {"broker": "b", "password": "x"}}"#, &["a.wasm"]).unwrap_err();
    assert!(
        password.contains("mqtt: has a password but no user"),
        "{password}"
    );
}

#[test]
fn an_unknown_key_of_the_section_is_said_and_ignored() {
    let loaded = run("{\"mqtt\": {\"broker\": \"b\", \"qos\": 1}}", &["a.wasm"]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("mqtt.qos: is ignored"),
        "{}",
        loaded.warnings[0]
    );
}

#[test]
fn to_look_at_the_service_is_named_after_the_file() {
    let config = Config::read(FILE, Some(Path::new("/etc/lab.conf")), Selection::All)
        .unwrap()
        .config;
    assert_eq!(config.services[0].name, "lab");
}
