//! The alarm service: alarm logic over MQTT, as miqro_alarm. Foreign topics with a condition each are its inputs; groups of
//! inputs take commands, publish facts below `service/alarm/<group>/`, and set their outputs. Groups and inputs survive a
//! restart.
//!
//! The section is that of miqro_alarm: `probe`, `switch_outputs`, `text_outputs`, `groups`; besides, `home_assistant: true`.
//! Facts: `state`, `display_state`, `enabled/state`, `inhibited/state`, `any_inhibitor_active`, `all_inputs_online`, `live`,
//! `label`, `active_inputs_text`, `sensor_stream`, `info`, and `state` and `value` below `input/<label>`, `inhibitor/<label>` and
//! `liveness/<label>`. Commands: `<group>/enabled/command` and `<group>/reset/command` (`1`, `0`); `<group>/auto/command` (also
//! `reset/auto/command`); `<group>/inhibited/command` (`on`, `off`, `1`, `0`, or a number of seconds from 2); `reset/command`.
//!
//! It takes grants to subscribe to the inputs' topics, to publish to the outputs', and for the hosts of `http_post`:
//!
//! ```yaml
//! alarm:
//!   component: guests/alarm.wasm
//!   groups: []                    # and the rest of miqro_alarm's section
//!   grants:
//!     subscribe: [service/door/state, home/+/temperature, homeassistant/status]
//!     publish: [service/siren/set, homeassistant/#]
//!     http: [probe.example]
//! ```

mod assemble;
mod expression;
mod group;
mod input;
mod output;
mod report;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use miqro_sdk::home_assistant::HomeAssistant;
use miqro_sdk::prelude::*;

use crate::group::{Group, Phase};
use crate::input::Input;
use crate::output::{Switch, TextOutput};

#[derive(Default)]
struct Alarm {
    inputs: Vec<Input>,
    groups: Vec<Group>,
    switches: BTreeMap<String, Switch>,
    texts: BTreeMap<String, TextOutput>,
    probe: Option<settings::Action>,
    home: Option<HomeAssistant>,
}

#[service]
impl Alarm {
    #[new]
    fn new() -> Result<Self> {
        Self::assemble(config::section()?)
    }

    #[start]
    fn start(&mut self) -> Result {
        (0..self.inputs.len()).try_for_each(|id| self.listen(id))?;
        (0..self.groups.len()).try_for_each(|id| self.resume(id))?;
        if let Some(action) = self.probe.clone() {
            let span = action.repeat.map_or(Duration::from_secs(60), |span| span.0);
            Loop::add("probe", span, move |_: &mut Self| output::perform(&action))?;
        }
        self.home.as_ref().map_or(Ok(()), HomeAssistant::start)
    }

    #[connected]
    fn connected(&mut self) -> Result {
        self.home.as_ref().map_or(Ok(()), HomeAssistant::announce)?;
        self.report()
    }

    #[every("3m", delayed)]
    fn refresh(&mut self) -> Result {
        self.report()
    }

    #[handle("+/enabled/command")]
    fn on_enabled(&mut self, on: bool, message: &Message<'_>, group: &str) -> Result {
        self.command(group, message, |alarm, id| alarm.enable(id, on))
    }

    #[handle("+/inhibited/command")]
    fn on_inhibited(&mut self, word: &str, message: &Message<'_>, group: &str) -> Result {
        let seconds = word
            .trim()
            .parse()
            .ok()
            .filter(|seconds: &u64| *seconds > 1);
        let inhibited = seconds.is_some() || message.decode::<bool>()?;
        self.command(group, message, |alarm, id| {
            alarm.inhibit(id, inhibited, seconds.map(Duration::from_secs))
        })
    }

    #[handle("+/reset/command")]
    fn on_reset(&mut self, on: bool, message: &Message<'_>, group: &str) -> Result {
        self.command(
            group,
            message,
            |alarm, id| if on { alarm.reset(id) } else { Ok(()) },
        )
    }

    /// One button for everything: it resets an alarm, or else switches the group on or off.
    #[handle("+/auto/command")]
    #[handle("+/reset/auto/command")]
    fn on_auto(&mut self, on: bool, message: &Message<'_>, group: &str) -> Result {
        self.command(group, message, |alarm, id| {
            match (on, alarm.groups[id].memory.phase) {
                (false, _) => Ok(()),
                (true, Phase::Off) => alarm.enable(id, !alarm.groups[id].memory.enabled),
                (true, _) => alarm.reset(id),
            }
        })
    }

    #[handle("reset/command")]
    fn on_reset_all(&mut self, on: bool, message: &Message<'_>) -> Result {
        if !on || message.is_retained() {
            return Ok(());
        }
        (0..self.groups.len()).try_for_each(|id| self.reset(id))?;
        self.report()
    }

    #[timer("silence/+")]
    fn on_silence(&mut self, id: usize) -> Result {
        self.silent(id)
    }

    #[timer("debounce/+")]
    fn on_debounced(&mut self, id: usize) -> Result {
        self.lasted(id)
    }

    #[timer("invalid/+")]
    fn on_invalid(&mut self, id: usize) -> Result {
        self.invalid(id)
    }

    #[timer("prealarm/+")]
    fn on_prealarm_over(&mut self, group: &str) -> Result {
        self.at(group, |alarm, id| alarm.enter(id, Phase::Alarm))
    }

    #[timer("reset/+")]
    fn on_quiet(&mut self, group: &str) -> Result {
        self.at(group, Self::reset)
    }

    #[timer("inhibit/+")]
    fn on_inhibition_over(&mut self, group: &str) -> Result {
        self.at(group, |alarm, id| alarm.inhibit(id, false, None))
    }

    #[timer("repeat/+")]
    fn on_repeat(&mut self, output: &str) -> Result {
        self.act(output)
    }

    /// A retained command is an old one, which the broker repeats at each connection: it is not done again.
    fn command(
        &mut self,
        group: &str,
        message: &Message<'_>,
        act: impl FnOnce(&mut Self, usize) -> Result,
    ) -> Result {
        if message.is_retained() {
            warn!("a retained command is an old one"; topic = message.topic());
            return Ok(());
        }
        self.at(group, act)
    }

    fn at(&mut self, group: &str, act: impl FnOnce(&mut Self, usize) -> Result) -> Result {
        let Some(id) = self.groups.iter().position(|own| own.name == group) else {
            warn!("there is no such group"; group = group);
            return Ok(());
        };
        act(self, id)?;
        self.report()
    }
}
