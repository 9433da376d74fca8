//! The reference: it describes exactly the keys that the readers ask for, and its examples are accepted.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::context::LoadContext;
use crate::config::key::Key;
use crate::config::load::{parse, read_config};
use crate::config::reference::{KeySection, mqttservice_section, sections};
use crate::config::{Config, Selection};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

#[test]
fn reference_page_is_the_output_of_the_program() {
    assert_eq!(
        Config::reference(),
        PAGE,
        "write it with: miqro-host config --reference > docs/configuration.md"
    );
}

#[test]
fn readers_ask_for_exactly_the_keys_of_the_reference() {
    let mut described = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for section in sections() {
        for key in &section.keys {
            described.insert(section.path_of(key));
            asked.extend(read_example(&section, key));
        }
    }

    compare(&asked, &described);
}

#[test]
fn reader_of_mqttservice_asks_for_exactly_the_keys_of_the_reference() {
    let section = mqttservice_section();
    let mut described = BTreeSet::from(["mqtt".to_owned()]);
    let mut asked = BTreeSet::new();
    for key in &section.keys {
        described.insert(section.path_of(key));
        asked.extend(read_example(&section, key));
    }
    compare(&asked, &described);
}

fn compare(asked: &BTreeSet<String>, described: &BTreeSet<String>) {
    let missing: Vec<&String> = asked.difference(described).collect();
    let unknown: Vec<&String> = described.difference(asked).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "read, but not in the reference: {missing:?}; in the reference, but not read: {unknown:?}"
    );
}

/// Reads a file with the example of `key` and the keys that it needs. The example must be accepted. Returns the keys that the readers
/// asked for.
fn read_example(section: &KeySection, key: &Key) -> BTreeSet<String> {
    let path = section.path_of(key);
    let text = file_with(section, key);
    let context = LoadContext::new(Some(Path::new("/etc/house/miqro.yml")));
    let node = parse(&context, &text).unwrap();
    read_config(&node, Selection::All, &context);

    let asked = context.asked.take();
    let errors = context.diagnostics.finish().err();
    for error in errors.iter().flat_map(|error| &error.0) {
        let is_elsewhere = !without_indices(&error.key).starts_with(&path);
        let is_missing = error.awaited.is_some() || error.message.contains("environment variable");
        assert!(is_elsewhere || is_missing, "{error}\n{text}");
    }
    // the example of `services` has a service of another name
    asked
        .iter()
        .map(|key| without_indices(key).replace("services.echo.", "services.NAME."))
        .collect()
}

fn file_with(section: &KeySection, key: &Key) -> String {
    let example = match &*key.example {
        "" => "{}",
        example => example,
    };
    let needs = match section.path_of(key).as_str() {
        "broker.path" => "host: b, transport: ws, ",
        "broker.port" | "broker.transport" | "broker.bind_address" | "broker.bind_port" => {
            "host: b, "
        }
        _ => "",
    };

    let inner = format!("{{{needs}{}: {example}}}", key.name);
    let parts = section.path.rsplit('.').filter(|part| !part.is_empty());
    let text = parts.fold(inner, |inner, part| match part.strip_suffix("[]") {
        Some(name) => format!("{{{name}: [{inner}]}}"),
        None => format!("{{{part}: {inner}}}"),
    });

    if text.starts_with("{auth") || text.starts_with("{tls") {
        text.replacen('{', "{broker: {host: b}, ", 1)
    } else {
        text
    }
}

/// `a[0].b` as `a[].b`.
fn without_indices(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = *c == '[' || (inside && c.is_ascii_digit());
            !(inside && c.is_ascii_digit())
        })
        .collect()
}
