//! Outputs: the requests of groups become messages and HTTP requests. Each switch knows the request that rules it, and each
//! text output its last text.

use std::collections::BTreeMap;

use miqro_sdk::http;
use miqro_sdk::prelude::*;

use crate::Alarm;
use crate::group::Phase;
use crate::settings::{Action, Output, Schedule, Text};

/// A switch that several groups share: the most important request rules.
pub struct Switch {
    schedules: BTreeMap<String, Schedule>,
    requests: Vec<Request>,
    /// The schedule and phase that are active; `Off` for its reset.
    active: Option<(String, Phase)>,
}

#[derive(Debug, Clone)]
struct Request {
    priority: i64,
    group: usize,
    schedule: String,
    phase: Phase,
}

pub struct TextOutput {
    pub settings: Text,
    /// The lines that it was told last, by their groups.
    told: BTreeMap<usize, Vec<String>>,
}

impl Switch {
    pub fn new(schedules: BTreeMap<String, Schedule>) -> Self {
        Self {
            schedules,
            requests: Vec::new(),
            active: None,
        }
    }

    pub fn has(&self, schedule: &str) -> bool {
        self.schedules.contains_key(schedule)
    }

    fn action(&self) -> Option<Action> {
        let (schedule, phase) = self.active.as_ref()?;
        let schedule = self.schedules.get(schedule)?;
        match phase {
            Phase::Prealarm => schedule.prealarm.clone(),
            Phase::Alarm => schedule.alarm.clone(),
            Phase::Off => schedule.reset.clone(),
        }
    }

    /// Returns the steps to take, in order, after the requests have changed.
    fn settle(&mut self) -> Vec<(String, Phase)> {
        self.requests
            .sort_by_key(|request| (request.priority, request.group));
        let wanted = self
            .requests
            .first()
            .map(|request| (request.schedule.clone(), request.phase));
        let running = self
            .active
            .clone()
            .filter(|(_, phase)| *phase != Phase::Off);
        if wanted == running {
            return Vec::new();
        }
        // a schedule is reset before another action begins, as the original does
        let reset = running.map(|(schedule, _)| (schedule, Phase::Off));
        reset.into_iter().chain(wanted).collect()
    }
}

impl TextOutput {
    pub fn new(settings: Text) -> Self {
        Self {
            settings,
            told: BTreeMap::new(),
        }
    }
}

impl Alarm {
    /// Updates the outputs of a group for its phase.
    pub fn update_outputs(&mut self, group: usize) -> Result {
        let phase = self.groups[group].memory.phase;
        for (name, switch) in self.groups[group].switches(phase) {
            self.request(&name, group, Some((switch, phase)))?;
        }
        let others = self.groups[group].all_switches(phase);
        others
            .iter()
            .try_for_each(|name| self.request(name, group, None))?;
        self.update_texts()
    }

    fn request(&mut self, name: &str, group: usize, wanted: Option<(String, Phase)>) -> Result {
        let priority = self.groups[group].priority;
        let Some(switch) = self.switches.get_mut(name) else {
            return Ok(());
        };
        switch.requests.retain(|request| request.group != group);
        if let Some((schedule, phase)) = wanted {
            switch.requests.push(Request {
                priority,
                group,
                schedule,
                phase,
            });
        }

        for active in switch.settle() {
            info!("the output {name} changes"; schedule = active.0, phase = active.1.name());
            if let Some(switch) = self.switches.get_mut(name) {
                switch.active = Some(active);
            }
            timers::cancel(&format!("repeat/{name}"));
            self.act(name)?;
        }

        Ok(())
    }

    /// Does what an output does now, and again when its span is over.
    pub fn act(&mut self, name: &str) -> Result {
        let Some(action) = self.switches.get(name).and_then(Switch::action) else {
            return Ok(());
        };
        perform(&action)?;
        match action.repeat {
            Some(Span(span)) => timers::after(&format!("repeat/{name}"), span),
            None => Ok(()),
        }
    }

    /// Tells text outputs what is new: another phase, or another active input. That something is over is not told.
    fn update_texts(&mut self) -> Result {
        let now: Vec<BTreeMap<usize, Vec<String>>> =
            self.texts.keys().map(|name| self.lines(name)).collect();
        for (text, now) in self.texts.values_mut().zip(now) {
            let is_new = |(group, words): (&usize, &Vec<String>)| {
                text.told
                    .get(group)
                    .is_none_or(|told| words.iter().any(|word| !told.contains(word)))
            };
            if now.iter().any(is_new) {
                let lines: Vec<String> = now.values().map(|words| line(words)).collect();
                message(&text.settings.mqtt)
                    .global()
                    .qos(1)
                    .send(lines.join("\n"))?;
            }

            text.told = now;
        }

        Ok(())
    }

    /// Returns the lines of a text output: for each group in (pre)alarm that uses it, its headline and its active inputs.
    fn lines(&self, name: &str) -> BTreeMap<usize, Vec<String>> {
        let uses =
            |group: &crate::group::Group| group.texts(group.memory.phase).any(|own| own == name);
        let groups = self
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| uses(group));
        groups
            .map(|(id, group)| {
                let head = format!(
                    "{} {}: ",
                    group.memory.phase.name().to_uppercase(),
                    group.label
                );
                (
                    id,
                    std::iter::once(head)
                        .chain(self.active_inputs(id))
                        .collect(),
                )
            })
            .collect()
    }

    /// A warning: into the log, and to the text outputs that want it.
    pub fn tell(&self, text: &str) -> Result {
        warn!("{}", text);
        let wanting = self.texts.values().filter(|output| output.settings.info);
        wanting.into_iter().try_for_each(|output| {
            message(&output.settings.mqtt)
                .global()
                .qos(1)
                .send(text)
                .map(drop)
        })
    }
}

/// Sends what an action sends. That an address does not answer is logged: an alarm must not depend on it.
pub fn perform(action: &Action) -> Result {
    if let (Some(topic), Some(text)) = (&action.mqtt, &action.message) {
        message(topic).global().qos(1).send(text)?;
    }
    if let Some(address) = &action.http_post
        && let Err(error) = http::post(address.as_str())
            .timeout(Duration::from_secs(10))
            .send()
    {
        error!("{}", error);
    }

    Ok(())
}

fn line(words: &[String]) -> String {
    let (head, inputs) = words
        .split_first()
        .map_or(("", &[][..]), |(head, inputs)| (head.as_str(), inputs));
    format!("{head}{}", inputs.join(", "))
}

/// The names of the outputs in a list.
pub fn switches(outputs: &[Output]) -> impl Iterator<Item = (&String, &String)> {
    outputs.iter().flat_map(|output| {
        match output {
            Output::Switch(switches) => Some(switches),
            Output::Text(_) => None,
        }
        .into_iter()
        .flatten()
    })
}
