//! The contract's own suite, which every service has to pass.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config;
use crate::effects::DueTimer;
use crate::guest::{Component, Fault};
use crate::message::{Message, Qos};
use crate::topic::{Filter, Topic};

use super::bench::{Bench, BenchError};
use super::case::Suite;
use super::content::show;
use super::difference::compare;

/// Virtual time in which the timers of a service are called.
const TIME: Duration = Duration::from_secs(60);

/// Adds the cases of the contract to `suite`.
pub async fn suite(suite: &mut Suite, component: &Component, service: &config::Service) {
    let began = Instant::now();
    let bench = start(component, service).await;
    let mut bench = match bench {
        Ok(bench) => bench,
        Err(error) => {
            suite.add("starts", began, Err(error.to_string()));
            return;
        }
    };

    suite.add("starts", began, Ok(()));

    let began = Instant::now();
    let outcome = unusual_payloads(&mut bench).await;
    suite.add("survives unusual payloads", began, outcome);

    let began = Instant::now();
    let outcome = unknown_topics(&mut bench).await;
    suite.add("survives unknown topics", began, outcome);

    let began = Instant::now();
    let outcome = timers(&mut bench).await;
    suite.add("survives its timers, and unknown ones", began, outcome);

    let began = Instant::now();
    let outcome = connections(&mut bench).await;
    suite.add("survives the loss of the connection", began, outcome);

    let began = Instant::now();
    let outcome = survives("swap", bench.swap().await);
    suite.add("hands over to another instance", began, outcome);

    let began = Instant::now();
    let outcome = match bench.take_denials() {
        0 => Ok(()),
        count => Err(format!(
            "{count} times it wanted something that is not granted; the log names it"
        )),
    };

    suite.add("keeps to its grants", began, outcome);

    let began = Instant::now();
    let outcome = survives("stop", bench.stop().await);
    suite.add("stops in time", began, outcome);

    let began = Instant::now();
    let outcome = replay(component, service).await;
    suite.add("does the same on a replay", began, outcome);
}

async fn start(component: &Component, service: &config::Service) -> Result<Bench, BenchError> {
    Bench::start(component.clone(), service.clone(), [], BTreeMap::new()).await
}

/// A service may refuse a call with an error; any other fault ends its instance.
fn survives(call: &str, outcome: Result<(), BenchError>) -> Result<(), String> {
    match outcome {
        Ok(()) | Err(BenchError::Fault(Fault::Refused(_))) => Ok(()),
        Err(error) => Err(format!("{call}: {error}")),
    }
}

/// Joins failures to one.
fn all(failures: impl IntoIterator<Item = Result<(), String>>) -> Result<(), String> {
    let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Payloads that few services expect.
fn payloads(largest: usize) -> Vec<Bytes> {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let text = [
        "",
        "0",
        "-1",
        "1e999",
        "NaN",
        "true",
        "null",
        "[]",
        "{}",
        "{\"a\":",
        "\"",
        "\u{1f600}",
        "a\0b",
        "{\"a\":{\"b\":[1,2.5,\"\u{e9}\",null]}}",
    ];

    let mut payloads: Vec<Bytes> = text
        .iter()
        .map(|text| Bytes::from_static(text.as_bytes()))
        .collect();
    payloads.push(Bytes::from_static(&[0xff, 0xfe, 0x00, 0x80]));
    payloads.push(every_byte.into());
    payloads.push("[".repeat(10_000).into());
    payloads.push(vec![b'x'; largest].into());
    payloads
}

/// Topics that match the filters of a service; one below its base topic where it has no filters.
fn topics(bench: &Bench) -> Vec<Topic> {
    let subscriptions = bench.subscriptions();
    let mut topics: Vec<Topic> = subscriptions
        .iter()
        .filter_map(|one| topic_of(&one.filter))
        .collect();
    if topics.is_empty() {
        topics.extend(bench.config().base.topic("echo"));
    }
    topics
}

fn topic_of(filter: &Filter) -> Option<Topic> {
    let levels = filter.pattern().split('/').map(|level| match level {
        "+" | "#" => "x",
        level => level,
    });
    Topic::new(levels.collect::<Vec<_>>().join("/")).ok()
}

async fn unusual_payloads(bench: &mut Bench) -> Result<(), String> {
    let largest = bench.config().limits.call.payload;
    let mut failures = Vec::new();
    for topic in topics(bench) {
        for payload in payloads(largest) {
            let name = format!("message {topic} {}", show(&payload));
            let message = Message::new(topic.clone(), payload, Qos::AtLeastOnce, false);
            failures.push(survives(&name, bench.handle(message).await));
        }
    }

    all(failures)
}

async fn unknown_topics(bench: &mut Bench) -> Result<(), String> {
    let base = bench.config().base.clone();
    let relative = ["no/such/topic", "\u{fc}n\u{ef}/code", " "];
    let topics = relative.iter().filter_map(|topic| base.topic(topic).ok());
    let global = Topic::new("somewhere/else").ok();

    let mut failures = Vec::new();
    for topic in topics.chain(global) {
        let name = format!("message {topic}");
        let message = Message::new(topic, "x", Qos::AtMostOnce, true);
        failures.push(survives(&name, bench.handle(message).await));
    }
    all(failures)
}

async fn timers(bench: &mut Bench) -> Result<(), String> {
    let time = survives("time passes", bench.advance(TIME).await);
    let unknown = DueTimer {
        name: "no such timer".to_owned(),
        count: 3,
    };
    let unknown = survives("tick of an unknown timer", bench.tick(unknown).await);
    all([time, unknown])
}

async fn connections(bench: &mut Bench) -> Result<(), String> {
    let lost = survives("disconnected", bench.connect(false).await);
    let found = survives("connected", bench.connect(true).await);
    all([lost, found])
}

/// Runs the same calls twice, each time in a new instance, and compares what the service did.
async fn replay(component: &Component, service: &config::Service) -> Result<(), String> {
    let first = record(component, service).await?;
    let second = record(component, service).await?;
    compare(
        &first,
        &second,
        |a, b| a == b,
        (String::clone, String::clone),
    )
}

/// The record of a short life of the service: lines of messages, state and timers.
async fn record(component: &Component, service: &config::Service) -> Result<Vec<String>, String> {
    let started = start(component, service).await;
    let mut bench = started.map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for topic in topics(&bench) {
        for payload in ["1", "hello", "{\"a\": 1}"] {
            let message = Message::new(topic.clone(), payload, Qos::AtLeastOnce, false);
            let outcome = bench.handle(message).await;
            lines.push(format!("{topic} {payload:?}: {}", in_words(&outcome)));
            lines.extend(published(&mut bench));
        }
    }

    let outcome = bench.advance(TIME).await;
    lines.push(format!("time passes: {}", in_words(&outcome)));
    lines.extend(published(&mut bench));

    let state = bench.state();
    lines.extend(
        state
            .iter()
            .map(|(key, value)| format!("{key} = {}", show(value))),
    );
    let timers = bench.timers();
    lines.extend(
        timers
            .iter()
            .map(|(name, time)| format!("{name} in {time:?}")),
    );
    Ok(lines)
}

fn in_words(outcome: &Result<(), BenchError>) -> String {
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn published(bench: &mut Bench) -> Vec<String> {
    let published = bench.take_published();
    let lines = published
        .iter()
        .map(|message| format!("{} {}", message.topic, show(&message.payload)));
    lines.collect()
}
