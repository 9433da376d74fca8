//! Assembles inputs, groups and outputs from the settings and the remembered state. Errors name the group and the input.

use miqro_sdk::prelude::*;

use crate::group::{self, Group};
use crate::input::{Input, Memory, Role, Source};
use crate::output::{self, Switch, TextOutput};
use crate::settings::{self, Settings};
use crate::{Alarm, report};

const DAY: u64 = 86_400;

impl Alarm {
    pub fn assemble(settings: Settings) -> Result<Self> {
        let mut alarm = Self {
            switches: settings
                .switch_outputs
                .into_iter()
                .map(|(name, own)| (name, Switch::new(own)))
                .collect(),
            texts: settings
                .text_outputs
                .into_iter()
                .map(|(name, own)| (name, TextOutput::new(own)))
                .collect(),
            probe: settings.probe,
            ..Self::default()
        };

        settings
            .groups
            .into_iter()
            .try_for_each(|group| alarm.add_group(group))?;
        if settings.home_assistant {
            alarm.home = Some(alarm.groups.iter().fold(
                Default::default(),
                |home: miqro_sdk::home_assistant::HomeAssistant, group| {
                    home.device(report::device(group))
                },
            ));
        }

        Ok(alarm)
    }

    fn add_group(&mut self, settings: settings::Group) -> Result {
        let name = settings.name;
        if !miqro_sdk::topic::is_topic(&name)
            || name.contains('/')
            || self.groups.iter().any(|group| group.name == name)
        {
            return Err(Error::new(format!(
                "group {name:?}: a name is one level of a topic, and no two are the same"
            )));
        }

        self.check_outputs(&name, &settings.outputs)?;
        let fresh = group::Memory {
            enabled: settings.default_enabled,
            ..group::Memory::default()
        };
        let id = self.groups.len();
        let group = Group {
            label: settings.label,
            priority: settings
                .priority
                .unwrap_or_else(|| 101 + i64::try_from(id).unwrap_or(i64::MAX / 2)),
            prealarm: settings.prealarm.map(|span| span.0),
            reset_delay: settings.reset_delay.map(|span| span.0),
            inputs: self.add_inputs(id, &name, Role::Input, settings.inputs)?,
            inhibitors: self.add_inputs(id, &name, Role::Inhibitor, settings.inhibitors)?,
            liveness: self.add_inputs(id, &name, Role::Liveness, settings.liveness)?,
            outputs: settings.outputs,
            memory: state::get(&format!("group/{name}"))?.unwrap_or(fresh),
            name,
        };

        self.groups.push(group);
        Ok(())
    }

    fn check_outputs(&self, group: &str, outputs: &settings::Outputs) -> Result {
        let unknown = |what: &str| {
            Err(Error::new(format!(
                "group {group}: there is no output {what}"
            )))
        };
        for list in [&outputs.prealarm, &outputs.alarm] {
            for (name, schedule) in output::switches(list) {
                if !self
                    .switches
                    .get(name)
                    .is_some_and(|switch| switch.has(schedule))
                {
                    return unknown(&format!("{name}: {schedule}"));
                }
            }

            for output in list {
                if let settings::Output::Text(name) = output
                    && !self.texts.contains_key(name)
                {
                    return unknown(name);
                }
            }
        }

        Ok(())
    }

    fn add_inputs(
        &mut self,
        group: usize,
        name: &str,
        role: Role,
        all: Vec<settings::Input>,
    ) -> Result<Vec<usize>> {
        let path = format!("input/{name}/{}", role.name());
        all.into_iter()
            .map(|input| self.add_input(group, &path, role, input))
            .collect()
    }

    fn add_input(
        &mut self,
        group: usize,
        path: &str,
        role: Role,
        settings: settings::Input,
    ) -> Result<usize> {
        let key = format!("{path}/{}", settings.label);
        if self.inputs.iter().any(|input| input.key == key) {
            return Err(Error::new(format!("{key}: no two labels are the same")));
        }
        let wrong = |why: &str| Error::new(format!("{key}: {why}"));
        let source = match (settings.mqtt, settings.when, settings.mode) {
            (Some(topic), Some(when), None) => {
                let condition = when
                    .parse()
                    .map_err(|why| wrong(&format!("the condition {when:?}: {why}")))?;
                Source::Topic { topic, condition }
            }
            (None, None, Some(mode)) => {
                let members = settings
                    .inputs
                    .into_iter()
                    .map(|member| self.add_input(group, &key, role, member));
                Source::Several {
                    mode,
                    members: members.collect::<Result<_>>()?,
                }
            }
            _ => {
                return Err(wrong(
                    "an input has either `mqtt` and `when`, or `mode` (and, or) and `inputs`",
                ));
            }
        };

        let usual = if role == Role::Liveness {
            3_600
        } else {
            7 * DAY
        };
        let id = self.inputs.len();
        if let Source::Several { members, .. } = &source {
            members
                .iter()
                .for_each(|member| self.inputs[*member].parent = Some(id));
        }
        self.inputs.push(Input {
            group,
            role,
            label: settings.label,
            source,
            parent: None,
            format: settings.format,
            debounce: settings.debounce.map(|span| span.0),
            silence: settings
                .silence_timeout
                .unwrap_or(Some(Span(Duration::from_secs(usual))))
                .map(|span| span.0),
            invalid: settings
                .invalid_response_timeout
                .map_or(Duration::from_secs(180), |span| span.0),
            memory: state::get::<Memory>(&key)?.unwrap_or_default(),
            observed: None,
            key,
        });

        Ok(id)
    }
}
