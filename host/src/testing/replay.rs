//! Runs a component on a recording, and compares what it does with what the recorded one did.
//!
//! The guest gets the recorded calls, clocks, random numbers and answers, one call after the other. It begins as a new version does
//! that takes over: with the state, and the bytes that the recorded instance saved.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Grants};
use crate::effects::{DueTimer, Effects};
use crate::guest::{Call, Component, Fault, InputSource, Instance, Script, ServiceState};
use crate::message::{Message, Outcome, Token};
use crate::recording::{
    Begin, CallRecord, Content, DeliveryOutcome, Effect, Header, Inputs, RecordedCall,
    RecordedMessage, RecordingFile,
};
use crate::rollout::handover::{self, StartedInstance};
use crate::service_ctx::ServiceCtx;
use crate::timers::set::TimerSet;
use crate::topic::Topic;

use super::content::show;
use super::difference::{compare, indent, labelled, marks};
use super::scenario::{ScenarioError, service};

/// Calls whose differences are shown.
const SHOWN: usize = 20;

/// The outcome of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The differences, call by call.
    pub outcome: Result<(), String>,
    /// Remarks for the reader, a line each.
    pub notes: Vec<String>,
}

/// A guest that is given the recorded calls.
struct Player {
    component: Component,
    ctx: Arc<ServiceCtx>,
    script: Arc<Script>,
    /// `None` before the start, after `stop`, and after a fault.
    instance: Option<Box<Instance>>,
    notes: Vec<String>,
}

/// Runs the component of `file` on a recording.
///
/// # Errors
/// When the recorded section of the configuration has errors.
pub async fn replay(
    recording: &RecordingFile,
    component: Component,
    file: &Path,
) -> Result<Replay, ScenarioError> {
    let header = &recording.header;
    let config = service(&header.service, Some(&header.config), file, None)?;
    let mut player = Player::new(header, config, component);
    player.note_origin(recording);

    if let Err(fault) = player.begin(header).await {
        return Ok(Replay {
            outcome: Err(format!("start: {fault}")),
            notes: player.notes,
        });
    }

    let mut differences = Vec::new();
    for (index, recorded) in recording.calls.iter().enumerate() {
        let Some((effect, requests)) = player.call(recorded).await else {
            continue;
        };
        let faults = differences_of(recorded, &effect, &requests);
        if !faults.is_empty() {
            let number = index + 1;
            let faults = indent(&faults.join("\n"));
            differences.push(format!("call {number}, {}:\n{faults}", recorded.describe()));
        }
    }

    player.note_excess();
    Ok(Replay {
        outcome: outcome(differences),
        notes: player.notes,
    })
}

fn outcome(mut differences: Vec<String>) -> Result<(), String> {
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("{more} more calls differ"));
    }
    Err(differences.join("\n"))
}

impl Player {
    fn new(header: &Header, mut config: config::Service, component: Component) -> Self {
        let script = Script::new(header.at);
        let notes = restrict(&mut config);
        let state = header.state.iter();
        let state = state.map(|(key, Content(value))| (key.clone(), value.clone()));

        let mut ctx = ServiceCtx {
            state: Arc::new(ServiceState::with_state(state)),
            inputs: Some(InputSource::Script(script.clone())),
            ..ServiceCtx::new(Arc::new(config))
        };
        if let Ok(prefix) = Topic::new(header.discovery_prefix.clone()) {
            ctx.discovery_prefix = prefix;
        }

        Self {
            component,
            ctx: Arc::new(ctx),
            script,
            instance: None,
            notes,
        }
    }

    fn note_origin(&mut self, recording: &RecordingFile) {
        let header = &recording.header;
        if header.begin == Begin::Running && header.saved.is_none() {
            let note = "the recording began while the instance ran, and it has no `save`: values that it held in memory are missing";
            self.notes.push(note.to_owned());
        }
        match recording.end {
            None => self.notes.push("the recording is cut off".to_owned()),
            Some(end) if !end.is_complete() => {
                self.notes.push(format!("the recording ended early: {end}"));
            }
            Some(_) => {}
        }
    }

    fn note_excess(&mut self) {
        for (name, count) in self.script.excess() {
            self.notes.push(format!(
                "{count} {name} more than recorded: they were made up, and are the same in each replay"
            ));
        }
    }

    /// Takes over from the recorded instance.
    async fn begin(&mut self, header: &Header) -> Result<(), Fault> {
        if header.begin == Begin::Start {
            return Ok(());
        }
        let inputs = Inputs {
            seed: header.seed.clone(),
            ..Inputs::default()
        };
        self.script.begin(header.at, inputs);
        let prepared = handover::prepare(self.component.clone(), self.ctx.clone()).await?;
        let saved = header.saved.clone().map(|Content(saved)| saved);
        let prepared = handover::load(prepared, saved).await?;
        self.install(prepared);
        Ok(())
    }

    /// Makes a started instance the running one, and returns the effect of its start.
    fn install(&mut self, prepared: StartedInstance) -> Effect {
        let StartedInstance {
            instance, effects, ..
        } = prepared;
        self.instance = Some(instance);
        *self.ctx.state.timers() = TimerSet::new();
        self.commit(effects)
    }

    fn commit(&self, effects: Effects) -> Effect {
        let effect = Effect::from(&effects);
        self.ctx.state.apply(effects.state);
        let now = self.ctx.now();
        self.ctx.state.timers().apply(effects.timers, now);
        effect
    }

    /// Repeats a call. `None`: it concerned the recorded instance alone.
    async fn call(&mut self, recorded: &CallRecord) -> Option<(Effect, Vec<Message>)> {
        if recorded.call == RecordedCall::Start && self.instance.is_some() {
            self.notes.push(
                "the recorded instance was started again after a fault; this one has not failed and continues".to_owned(),
            );
            return None;
        }

        let mut outcome = Ok(());
        if self.instance.is_none() && recorded.call != RecordedCall::Start {
            self.script.begin(recorded.at, Inputs::default());
            outcome = self.start().await.map(drop);
        }
        self.script.begin(recorded.at, recorded.inputs.clone());
        let effect = match outcome {
            Ok(()) => self.repeat(&recorded.call).await,
            Err(fault) => Err(fault),
        };
        let effect = effect.unwrap_or_else(|fault| Effect::of_fault(&fault));
        Some((effect, self.script.take_requests()))
    }

    async fn start(&mut self) -> Result<Effect, Fault> {
        let prepared = handover::prepare(self.component.clone(), self.ctx.clone()).await?;
        Ok(self.install(prepared))
    }

    async fn repeat(&mut self, recorded: &RecordedCall) -> Result<Effect, Fault> {
        let Some(call) = call_of(recorded) else {
            return self.start().await;
        };
        let Some(instance) = self.instance.take() else {
            return Ok(Effect::default());
        };
        let stops = matches!(call, Call::Stop);
        let (instance, outcome) = instance.call(call).await;
        self.instance = instance.filter(|_| !stops);
        Ok(self.commit(outcome?))
    }
}

/// Takes from a service what a replay does not give, and says so.
fn restrict(config: &mut config::Service) -> Vec<String> {
    let mut notes = Vec::new();
    let grants = std::mem::take(&mut config.grants);
    if !grants.http.is_empty() || !grants.sockets.is_empty() {
        let note =
            "answers over HTTP and sockets are not in a recording: the service reaches neither";
        notes.push(note.to_owned());
    }
    if !grants.environment.is_empty() {
        let note =
            "environment variables are not in a recording: the service gets those of this machine";
        notes.push(note.to_owned());
    }

    let mut directories = grants.directories;
    directories.retain_mut(|directory| {
        directory.write = false;
        let path = directory.path.display();
        let is_there = directory.path.is_dir();
        if is_there {
            notes.push(format!(
                "files are not in a recording: the service reads {path} as it is here, and cannot write"
            ));
        } else {
            notes.push(format!("{path} is not here: the service does without it"));
        }
        is_there
    });

    config.grants = Grants {
        publish: grants.publish,
        subscribe: grants.subscribe,
        environment: grants.environment,
        directories,
        ..Grants::default()
    };
    notes
}

/// The call of a guest; `None`: the start of an instance, which is more than a call.
fn call_of(recorded: &RecordedCall) -> Option<Call> {
    Some(match recorded {
        RecordedCall::Start => return None,
        RecordedCall::Stop => Call::Stop,
        RecordedCall::Message { message, attempt } => Call::Message {
            message: message.message.clone(),
            attempt: *attempt,
        },
        RecordedCall::Tick { timer, count } => Call::Tick(DueTimer {
            name: timer.clone(),
            count: *count,
        }),
        RecordedCall::Connected { session_present } => Call::Connected {
            session_present: *session_present,
        },
        RecordedCall::Disconnected => Call::Disconnected,
        RecordedCall::Delivered { token, outcome } => {
            let outcome = match outcome {
                DeliveryOutcome::Delivered => Outcome::Delivered,
                DeliveryOutcome::TimedOut => Outcome::TimedOut,
                DeliveryOutcome::Refused(why) => Outcome::Refused(why.clone()),
            };
            let token = NonZeroU64::new(*token).unwrap_or(NonZeroU64::MIN);
            Call::Delivered(Token(token), outcome)
        }
    })
}

/// The differences from the recorded effect, a paragraph each.
fn differences_of(recorded: &CallRecord, found: &Effect, requests: &[Message]) -> Vec<String> {
    let expected = &recorded.effect;
    let error = |effect: &Effect| effect.error.iter().cloned().collect::<Vec<_>>();
    let asked = recorded.inputs.requests.iter();
    let asked: Vec<RecordedMessage> = asked.map(|one| one.request.clone()).collect();
    let requests: Vec<RecordedMessage> = requests.iter().cloned().map(Into::into).collect();

    let paragraphs = [
        ("error", texts(&error(expected), &error(found))),
        ("publishes", messages(&expected.publishes, &found.publishes)),
        ("requests", messages(&asked, &requests)),
        ("timers", texts(&expected.timers, &found.timers)),
        (
            "subscriptions",
            texts(&expected.subscriptions, &found.subscriptions),
        ),
    ];
    let paragraphs = paragraphs.into_iter();
    paragraphs
        .filter_map(|(name, outcome)| labelled(name, outcome))
        .collect()
}

fn texts(expected: &[String], found: &[String]) -> Result<(), String> {
    compare(
        expected,
        found,
        |a, b| a == b,
        (String::clone, String::clone),
    )
}

fn messages(expected: &[RecordedMessage], found: &[RecordedMessage]) -> Result<(), String> {
    compare(expected, found, |a, b| a == b, (show_message, show_message))
}

fn show_message(recorded: &RecordedMessage) -> String {
    let message = &recorded.message;
    let marks = marks(message.qos.into(), message.retain);
    let mut text = format!("{} {}{marks}", message.topic, show(&message.payload));
    if let Some(rule) = &recorded.only_if_changed {
        text += &format!(", {rule}");
    }

    let Some(properties) = &message.properties else {
        return text;
    };
    if let Some(topic) = &properties.response_topic {
        text += &format!(", response topic {topic}");
    }
    if let Some(data) = &properties.correlation_data {
        text += &format!(", correlation data {}", show(data));
    }
    if let Some(kind) = &properties.content_type {
        text += &format!(", content type {kind:?}");
    }
    if let Some(seconds) = properties.message_expiry {
        text += &format!(", expires in {seconds} s");
    }
    for (name, value) in &properties.user_properties {
        text += &format!(", {name}={value:?}");
    }
    text
}
