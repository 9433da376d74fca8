//! Hands its count over from version to version, and breaks on command. On `work`, any payload counts; `fail` fails in a
//! version that is broken, `boom` in every one. It publishes `worked` and `loaded`, each with the version, the count in its
//! memory and the count in its state. A test overwrites the version in the file.
//!
//! Its section has, each by version: `broken` (`trap` or `error`), `broken_start`, `broken_save` (anything), `refuse_load`
//! (`trap`, or a reason), `differs` (anything: it answers differently), `also` (a list of filters to subscribe to); and
//! `save_bytes`, the number of bytes to save.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package miqro:swap;
        world swap {
            include miqro:service/service-with-lifecycle@0.1.0;
            export save: func() -> list<u8>;
            export load: func(state: list<u8>) -> result<_, string>;
        }",
    world: "miqro:swap/swap",
    generate_all,
});

use std::cell::Cell;
use std::hint::black_box;

use contract_kit::{Outcome, Value, command, json};
use miqro::service::messaging::{PublishOptions, Qos};
use miqro::service::{config, messaging, state, timers};

/// Eighteen bytes that stand in the file; a test replaces them by others of the same length.
static VERSION: &str = "version-0000000001";

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Swap;
export!(Swap);

impl Guest for Swap {
    fn start() -> Outcome {
        if let Some(reason) = told("broken_start").as_str() {
            return Err(reason.to_owned());
        }
        let also = told("also").as_array().cloned().unwrap_or_default();
        for filter in also.iter().filter_map(Value::as_str).chain(["work"]) {
            messaging::subscribe(filter, None).map_err(|error| error.to_string())?;
        }
        // far ahead: it is there for its phase only
        timers::every("beat", 3_600_000, 3_600_000).map_err(|error| error.to_string())
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let count = COUNT.get() + 1;
        COUNT.set(count);
        let kept = kept()? + 1;
        state::set("count", kept.to_string().as_bytes()).map_err(|error| error.to_string())?;
        publish("worked", &answer(count, kept, &payload))?;
        match told("broken").as_str() {
            Some("trap") if payload == b"fail" => panic!("broken"),
            Some(_) if payload == b"fail" => Err("broken".to_owned()),
            _ if payload == b"boom" => Err("boom".to_owned()),
            _ => Ok(()),
        }
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }

    fn save() -> Vec<u8> {
        if !told("broken_save").is_null() {
            panic!("cannot save");
        }
        match section()["save_bytes"].as_u64() {
            Some(bytes) => vec![b'0'; bytes as usize],
            None => COUNT.get().to_string().into_bytes(),
        }
    }

    fn load(saved: Vec<u8>) -> Outcome {
        let count = String::from_utf8_lossy(&saved)
            .parse()
            .map_err(|_| "expected a count")?;
        COUNT.set(count);
        publish("loaded", &answer(count, kept()?, b""))?;
        match told("refuse_load").as_str() {
            Some("trap") => panic!("cannot load"),
            Some(reason) => Err(reason.to_owned()),
            None => Ok(()),
        }
    }
}

/// Returns the value of `key` for this version in the section.
fn told(key: &str) -> Value {
    section()[key][version()].clone()
}

fn section() -> Value {
    command(config::get().as_bytes()).unwrap_or_default()
}

fn version() -> &'static str {
    black_box(VERSION)
}

fn answer(memory: u64, state: u64, payload: &[u8]) -> Value {
    let version = if told("differs").is_null() {
        version()
    } else {
        "another"
    };
    let version = if section()["anonymous"] == true && version != "another" {
        "any"
    } else {
        version
    };
    json!({ "version": version, "memory": memory, "state": state, "payload": String::from_utf8_lossy(payload) })
}

/// How many messages the state says were handled.
fn kept() -> Result<u64, String> {
    let value = state::get("count")
        .map_err(|error| error.to_string())?
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
}

fn publish(topic: &str, payload: &Value) -> Outcome {
    let options = PublishOptions {
        qos: Qos::AtLeastOnce,
        retain: false,
        global: false,
        only_if_changed: None,
        properties: None,
    };

    messaging::publish(topic, payload.to_string().as_bytes(), Some(&options))
        .map(drop)
        .map_err(|error| error.to_string())
}
