//! Groups of inputs that raise one alarm. Changes of inputs, commands and timers move a group through its phases. Phase, switch
//! and inhibition are kept in the state, so that an alarm outlives a restart.

use miqro_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Alarm;
use crate::input::{Role, Trust};
use crate::output;
use crate::settings::{Output, Outputs};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Off,
    Prealarm,
    Alarm,
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Prealarm => "prealarm",
            Self::Alarm => "alarm",
        }
    }
}

/// The kept state of a group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Memory {
    pub enabled: bool,
    pub phase: Phase,
    pub inhibited: bool,
    /// Seconds since 1970 at which the inhibition ends by itself.
    pub inhibited_until: Option<u64>,
}

pub struct Group {
    pub name: String,
    pub label: String,
    pub priority: i64,
    pub prealarm: Option<Duration>,
    pub reset_delay: Option<Duration>,
    pub inputs: Vec<usize>,
    pub inhibitors: Vec<usize>,
    pub liveness: Vec<usize>,
    pub outputs: Outputs,
    pub memory: Memory,
}

impl Group {
    fn outputs(&self, phase: Phase) -> &[Output] {
        match phase {
            Phase::Off => &[],
            Phase::Prealarm => &self.outputs.prealarm,
            Phase::Alarm => &self.outputs.alarm,
        }
    }

    /// The switches of a phase, with their schedules.
    pub fn switches(&self, phase: Phase) -> Vec<(String, String)> {
        output::switches(self.outputs(phase))
            .map(|(name, schedule)| (name.clone(), schedule.clone()))
            .collect()
    }

    /// The switches of the other phases only.
    pub fn all_switches(&self, but: Phase) -> Vec<String> {
        let all = [Phase::Prealarm, Phase::Alarm]
            .into_iter()
            .flat_map(|phase| self.switches(phase));
        let own = self.switches(but);
        all.map(|(name, _)| name)
            .filter(|name| own.iter().all(|(own, _)| own != name))
            .collect()
    }

    pub fn texts(&self, phase: Phase) -> impl Iterator<Item = &String> {
        self.outputs(phase)
            .iter()
            .filter_map(|output| match output {
                Output::Text(name) => Some(name),
                Output::Switch(_) => None,
            })
    }

    pub fn timer(&self, kind: &str) -> String {
        format!("{kind}/{}", self.name)
    }
}

impl Alarm {
    pub fn resume(&mut self, id: usize) -> Result {
        let group = &self.groups[id];
        if let Some(until) = group.memory.inhibited_until {
            let left = until.saturating_sub(clock::wall().as_secs());
            timers::after(&group.timer("inhibit"), Duration::from_secs(left))?;
        }
        match (group.memory.phase, group.prealarm) {
            (Phase::Off, _) => return Ok(()),
            // how long it had lasted is not known, and an alarm is rather early than late
            (Phase::Prealarm, Some(span)) => timers::after(&group.timer("prealarm"), span)?,
            _ => {}
        }

        self.update_outputs(id)
    }

    pub fn input_changed(&mut self, input: usize, is_on: bool) -> Result {
        let id = self.inputs[input].group;
        let role = self.inputs[input].role;
        let word = if is_on { "Active" } else { "Inactive" };
        publish(
            &format!("{}/sensor_stream", self.groups[id].name),
            format!("{word}: {}", self.inputs[input].label),
        )?;
        match (role, is_on) {
            (Role::Inhibitor, true) if self.groups[id].memory.phase == Phase::Prealarm => {
                self.reset(id)
            }
            (Role::Input, true) => self.input_on(id),
            (Role::Input, false) => self.input_off(id),
            _ => Ok(()),
        }
    }

    fn input_on(&mut self, id: usize) -> Result {
        timers::cancel(&self.groups[id].timer("reset"));
        if !self.groups[id].memory.enabled || self.is_inhibited(id) {
            return Ok(());
        }
        match (self.groups[id].memory.phase, self.groups[id].prealarm) {
            (Phase::Off, Some(span)) => {
                timers::after(&self.groups[id].timer("prealarm"), span)?;
                self.enter(id, Phase::Prealarm)
            }
            (Phase::Off, None) => self.enter(id, Phase::Alarm),
            _ => self.update_outputs(id),
        }
    }

    /// An alarm with a delay ends by itself when none of its inputs is on any more, as far as they can be trusted.
    fn input_off(&mut self, id: usize) -> Result {
        let group = &self.groups[id];
        let (Some(span), true) = (group.reset_delay, group.memory.phase != Phase::Off) else {
            return Ok(());
        };
        let quiet = group
            .inputs
            .iter()
            .all(|input| self.trust(*input) != Trust::Online || !self.is_on(*input));
        if quiet {
            timers::after(&group.timer("reset"), span)
        } else {
            Ok(())
        }
    }

    pub fn enter(&mut self, id: usize, phase: Phase) -> Result {
        info!("{} is in {}", self.groups[id].label, phase.name());
        self.groups[id].memory.phase = phase;
        if phase != Phase::Prealarm {
            timers::cancel(&self.groups[id].timer("prealarm"));
        }
        if phase == Phase::Off {
            timers::cancel(&self.groups[id].timer("reset"));
        }
        self.keep_group(id)?;
        self.update_outputs(id)
    }

    pub fn reset(&mut self, id: usize) -> Result {
        if self.groups[id].memory.phase == Phase::Off {
            Ok(())
        } else {
            self.enter(id, Phase::Off)
        }
    }

    pub fn enable(&mut self, id: usize, enabled: bool) -> Result {
        self.groups[id].memory.enabled = enabled;
        if enabled {
            self.inhibit(id, false, None)?;
        } else {
            self.reset(id)?;
        }
        self.keep_group(id)
    }

    /// Inhibits a group, until it is told otherwise or for a span.
    pub fn inhibit(&mut self, id: usize, inhibited: bool, span: Option<Duration>) -> Result {
        let timer = self.groups[id].timer("inhibit");
        let memory = &mut self.groups[id].memory;
        memory.inhibited = inhibited;
        memory.inhibited_until = span
            .filter(|_| inhibited)
            .map(|span| (clock::wall() + span).as_secs());
        match span.filter(|_| inhibited) {
            Some(span) => timers::after(&timer, span)?,
            None => timers::cancel(&timer),
        }
        if inhibited && memory.phase == Phase::Prealarm {
            self.reset(id)?;
        }
        self.keep_group(id)
    }

    pub fn is_inhibited(&self, id: usize) -> bool {
        self.groups[id].memory.inhibited
            || self.groups[id]
                .inhibitors
                .iter()
                .any(|input| self.is_on(*input))
    }

    /// The inputs that are on, as they are shown.
    pub fn active_inputs(&self, id: usize) -> Vec<String> {
        let inputs = self.groups[id].inputs.iter().copied();
        inputs
            .filter(|input| self.trust(*input) == Trust::Online && self.is_on(*input))
            .map(|input| self.shown(input))
            .collect()
    }

    fn keep_group(&self, id: usize) -> Result {
        state::set(
            &format!("group/{}", self.groups[id].name),
            &self.groups[id].memory,
        )
    }
}
