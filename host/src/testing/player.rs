//! Plays a scenario on a bench, and compares what the service does with what the scenario expects.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::config::{self, format_duration, parse_duration};
use crate::guest::Component;
use crate::message::{Message, Qos};
use crate::topic::{Filter, Topic, TopicError};

use super::bench::{Bench, BenchError};
use super::content::{Content, show};
use super::difference::{compare, indent, labelled, marks};
use super::scenario::{Event, ExpectedMessage, Scenario, Step, Then};

/// Plays `scenario` of the file `path` with the component of `file`.
///
/// # Errors
/// The differences, step by step.
pub async fn play(
    scenario: &Scenario,
    path: &Path,
    component: Component,
    file: &Path,
) -> Result<(), String> {
    let service = scenario.given.service(file, Some(path));
    let service = service.map_err(|error| error.to_string())?;
    let given = |contents: &BTreeMap<String, Content>| {
        let contents = contents.iter();
        contents
            .map(|(key, content)| (key.clone(), content.to_bytes()))
            .collect::<BTreeMap<_, _>>()
    };

    let state = given(&scenario.given.state);
    let answers = given(&scenario.given.answers);

    let mut bench = Bench::start(component, service, state, answers)
        .await
        .map_err(|error| format!("start: {error}"))?;
    let mut failures = Vec::new();
    for (number, step) in scenario.steps.iter().enumerate() {
        let faults = match take_step(&mut bench, step).await {
            Ok(outcome) => check(&mut bench, &step.then, outcome),
            Err(mistake) => vec![mistake],
        };
        if !faults.is_empty() {
            let number = number + 1;
            let faults = indent(&faults.join("\n"));
            failures.push(format!("step {number}, {}:\n{faults}", describe(step)));
        }
    }

    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Does what the step says; `Ok` with the outcome of the call. A step without an event runs the timers that are due.
///
/// # Errors
/// When the step is not possible.
async fn take_step(bench: &mut Bench, step: &Step) -> Result<Result<(), BenchError>, String> {
    let kinds = [
        step.message.is_some(),
        step.advance.is_some(),
        step.event.is_some(),
    ];
    if kinds.into_iter().filter(|kind| *kind).count() > 1 {
        return Err("expected one of message, advance and event, found several".to_owned());
    }

    if let Some(topic) = &step.message {
        let message = message(bench.config(), topic, step)?;
        return Ok(bench.deliver(message).await);
    }
    if let Some(text) = &step.advance {
        let expected = || format!("advance: expected a duration such as 10s, found {text:?}");
        let time = parse_duration(text).ok_or_else(expected)?;
        return Ok(bench.advance(time).await);
    }
    Ok(match step.event {
        // loops that run at the start are due by then
        None => bench.advance(Duration::ZERO).await,
        Some(Event::Connected) => bench.connect(true).await,
        Some(Event::Disconnected) => bench.connect(false).await,
        Some(Event::Restart) => bench.restart().await,
        Some(Event::Swap) => bench.swap().await,
        Some(Event::Stop) => bench.stop().await,
    })
}

fn message(service: &config::Service, topic: &str, step: &Step) -> Result<Message, String> {
    let topic = full_topic(service, topic, step.global).map_err(|error| error.to_string())?;
    let qos = Qos::try_from(step.qos.unwrap_or_default()).map_err(|error| error.to_string())?;
    let payload = step.payload.as_ref().map(Content::to_bytes);
    Ok(Message::new(
        topic,
        payload.unwrap_or_default(),
        qos,
        step.retain,
    ))
}

fn full_topic(service: &config::Service, topic: &str, global: bool) -> Result<Topic, TopicError> {
    if global {
        Topic::new(topic.to_owned())
    } else {
        service.base.topic(topic)
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step {
            message: Some(topic),
            ..
        } => format!("message {topic}"),
        Step {
            advance: Some(time),
            ..
        } => format!("advance {time}"),
        Step {
            event: Some(event), ..
        } => format!("{event:?}").to_lowercase(),
        _ => "after the start".to_owned(),
    }
}

/// The differences from the expectation, a paragraph each.
fn check(bench: &mut Bench, then: &Then, outcome: Result<(), BenchError>) -> Vec<String> {
    let mut faults = Vec::new();
    match (&then.error, outcome) {
        (None, Ok(())) => {}
        (None, Err(error)) => faults.push(format!("error: {error}")),
        (Some(text), Ok(())) => {
            faults.push(format!("error: expected one with {text:?}, found none"));
        }
        (Some(text), Err(error)) => {
            let error = error.to_string();
            if !error.contains(text) {
                faults.push(format!(
                    "error: expected one with {text:?}, found {error:?}"
                ));
            }
        }
    }

    let published = bench.take_published();
    if let Some(expected) = &then.publishes {
        faults.extend(check_publishes(bench.config(), expected, &published));
    }
    if let Some(expected) = &then.state {
        faults.extend(check_state(bench, expected));
    }
    if let Some(expected) = &then.timers {
        faults.extend(check_timers(bench, expected));
    }
    if let Some(expected) = &then.subscriptions {
        faults.extend(check_subscriptions(bench, expected));
    }
    faults
}

fn check_publishes(
    service: &config::Service,
    expected: &[ExpectedMessage],
    found: &[Message],
) -> Option<String> {
    let topic_of = |one: &ExpectedMessage| full_topic(service, &one.topic, one.global);
    let same = |one: &ExpectedMessage, message: &Message| {
        topic_of(one).is_ok_and(|topic| topic == message.topic)
            && one.qos.is_none_or(|qos| qos == u8::from(message.qos))
            && one.retain.is_none_or(|retain| retain == message.retain)
            && one
                .payload
                .as_ref()
                .is_none_or(|payload| payload.matches(&message.payload))
    };

    let show_expected = |one: &ExpectedMessage| {
        let topic = topic_of(one).map_or_else(|_| one.topic.clone(), |topic| topic.to_string());
        let payload = one
            .payload
            .as_ref()
            .map(|payload| format!(" {}", payload.show()));
        let marks = marks(one.qos.unwrap_or_default(), one.retain == Some(true));
        format!("{topic}{}{marks}", payload.unwrap_or_default())
    };

    let show_found = |message: &Message| {
        let marks = marks(message.qos.into(), message.retain);
        format!("{} {}{marks}", message.topic, show(&message.payload))
    };
    labelled(
        "publishes",
        compare(expected, found, same, (show_expected, show_found)),
    )
}

fn check_state(bench: &Bench, expected: &BTreeMap<String, Content>) -> Option<String> {
    let expected: Vec<_> = expected.iter().collect();
    let found = bench.state();
    let outcome = compare(
        &expected,
        &found,
        |(key, content), (name, value)| *key == name && content.matches(value),
        (
            |(key, content)| format!("{key} = {}", content.show()),
            |(name, value)| format!("{name} = {}", show(value)),
        ),
    );

    labelled("state", outcome)
}

fn check_timers(bench: &Bench, expected: &BTreeMap<String, String>) -> Option<String> {
    let expected: Vec<_> = expected.iter().collect();
    let found: Vec<_> = bench.timers().into_iter().collect();
    let outcome = compare(
        &expected,
        &found,
        |(name, text), (other, time)| *name == other && parse_duration(text) == Some(*time),
        (
            |(name, text)| format!("{name} in {text}"),
            |(name, time)| format!("{name} in {}", format_duration(*time)),
        ),
    );

    labelled("timers", outcome)
}

fn check_subscriptions(bench: &Bench, expected: &[String]) -> Option<String> {
    let base = &bench.config().base;
    let full = |text: &String| {
        let filter = base.filter(text).or_else(|_| Filter::new(text));
        filter.map_or_else(|_| text.clone(), |filter| filter.as_str().to_owned())
    };
    let mut expected: Vec<String> = expected.iter().map(full).collect();
    expected.sort();

    let found = bench.subscriptions();
    let mut found: Vec<String> = found
        .iter()
        .map(|one| one.filter.as_str().to_owned())
        .collect();
    found.sort();
    labelled(
        "subscriptions",
        compare(
            &expected,
            &found,
            |a, b| a == b,
            (String::clone, String::clone),
        ),
    )
}
