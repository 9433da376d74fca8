//! Tests of the configuration: accepted and refused files, the words of the errors, and the places of files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::{Broker, Config, Connection, LoadedConfig, Selection};

mod broker;
mod difference;
mod files;
mod mqtt_control;
mod mqttservice;
mod problems;
mod quotes;
mod reference;
mod render;
mod sample;
mod secrets;
mod services;
mod traces;
mod typed;
mod web;
mod words;
mod yaml;

/// Loads `text` as the content of /etc/house/miqro.yml.
fn load(text: &str) -> LoadedConfig {
    match Config::read(
        text,
        Some(Path::new("/etc/house/miqro.yml")),
        Selection::All,
    ) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// Loads `text`, which must give no warning.
fn quiet(text: &str) -> Config {
    let loaded = load(text);
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

/// The problems of `text`, one a line, without the directory.
fn problems(text: &str) -> String {
    match Config::read(
        text,
        Some(Path::new("/etc/house/miqro.yml")),
        Selection::All,
    ) {
        Ok(loaded) => panic!("accepted: {text}\n{loaded:?}"),
        Err(error) => error.to_string().replace("/etc/house/", ""),
    }
}

fn warnings(text: &str) -> String {
    let lines: Vec<String> = load(text)
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.join("\n").replace("/etc/house/", "")
}

fn remote(text: &str) -> Connection {
    match quiet(text).broker {
        Broker::Remote(connection) => connection,
        Broker::Embedded(..) => panic!("embedded: {text}"),
    }
}
