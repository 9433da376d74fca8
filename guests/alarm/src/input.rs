//! Inputs: messages of foreign topics, and silences, decide whether each input is on. The memory of each input is kept in the
//! state at each message.

use miqro_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Alarm;
use crate::expression::{Expression, Scope};
use crate::settings::Mode;

/// The purpose of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Input,
    Inhibitor,
    Liveness,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Inhibitor => "inhibitor",
            Self::Liveness => "liveness",
        }
    }
}

pub enum Source {
    Topic {
        topic: String,
        condition: Expression,
    },
    Several {
        mode: Mode,
        members: Vec<usize>,
    },
}

/// Whether an input can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    InvalidResponse,
    #[default]
    Unknown,
    Offline,
    Online,
}

impl Trust {
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidResponse => "invalid_response",
            Self::Unknown => "unknown",
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }
}

/// The kept state of an input.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Memory {
    pub raw: Option<String>,
    pub value: Option<bool>,
    /// Seconds since 1970.
    pub seen: Option<u64>,
    pub trust: Trust,
}

pub struct Input {
    pub group: usize,
    pub role: Role,
    pub label: String,
    pub source: Source,
    /// The input of several of which this is one.
    pub parent: Option<usize>,
    pub format: Option<String>,
    pub debounce: Option<Duration>,
    pub silence: Option<Duration>,
    pub invalid: Duration,
    pub memory: Memory,
    /// A change that has to last before it counts.
    pub observed: Option<bool>,
    /// Key of the state for its memory.
    pub key: String,
}

impl Alarm {
    pub fn listen(&mut self, id: usize) -> Result {
        let input = &self.inputs[id];
        let Source::Topic { topic, .. } = &input.source else {
            return Ok(());
        };
        handler(topic)
            .global()
            .call(move |alarm: &mut Self, message| alarm.received(id, message))?;
        let Some(span) = input.silence else {
            return Ok(());
        };
        let silent = input
            .memory
            .seen
            .map_or(0, |seen| clock::wall().as_secs().saturating_sub(seen));
        timers::after(
            &format!("silence/{id}"),
            span.saturating_sub(Duration::from_secs(silent)),
        )
    }

    fn received(&mut self, id: usize, message: &Message<'_>) -> Result {
        let text = message.text()?.trim();
        let input = &mut self.inputs[id];
        input.memory.raw = Some(text.to_owned());
        input.memory.seen = Some(clock::wall().as_secs());
        if let Some(span) = input.silence {
            timers::after(&format!("silence/{id}"), span)?;
        }
        let Source::Topic { condition, .. } = &input.source else {
            return Ok(());
        };
        match condition.holds(&Scope::new(text)) {
            Ok(value) if input.role == Role::Liveness => self.alive(id, value)?,
            Ok(value) => {
                input.memory.trust = Trust::Online;
                self.change(id, value)?;
            }
            Err(why) => {
                let told = format!(
                    "{}: the condition cannot be applied to {text:?}: {why}",
                    input.label
                );
                self.tell(&told)?;
            }
        }

        self.keep(id)?;
        self.report()
    }

    /// A liveness input says that something lives, or for too long that it does not.
    fn alive(&mut self, id: usize, value: bool) -> Result {
        let input = &mut self.inputs[id];
        let timer = format!("invalid/{id}");
        if value {
            input.memory.trust = Trust::Online;
            timers::cancel(&timer);
        } else if input.memory.value != Some(false) {
            timers::after(&timer, input.invalid)?;
        }

        input.memory.value = Some(value);
        Ok(())
    }

    /// An input was something else than it should be for too long.
    pub fn invalid(&mut self, id: usize) -> Result {
        self.inputs[id].memory.trust = Trust::InvalidResponse;
        let told = format!(
            "{}: invalid response {:?}",
            self.inputs[id].label, self.inputs[id].memory.raw
        );
        self.tell(&told)?;
        self.keep(id)?;
        self.report()
    }

    /// An input was silent for too long.
    pub fn silent(&mut self, id: usize) -> Result {
        self.inputs[id].memory.trust = Trust::Offline;
        let input = &self.inputs[id];
        let told = match input.memory.seen {
            Some(seen) => format!(
                "{}: silent for {} s",
                input.label,
                clock::wall().as_secs().saturating_sub(seen)
            ),
            None => format!("{}: silent since it was started", input.label),
        };

        self.tell(&told)?;
        self.keep(id)?;
        self.report()
    }

    fn change(&mut self, id: usize, value: bool) -> Result {
        let input = &mut self.inputs[id];
        let Some(span) = input.debounce else {
            return if input.memory.value == Some(value) {
                Ok(())
            } else {
                self.commit(id, value)
            };
        };

        let timer = format!("debounce/{id}");
        match input.observed {
            None if input.memory.value != Some(value) => {
                input.observed = Some(value);
                timers::after(&timer, span)
            }
            Some(observed) if observed != value => {
                input.observed = None;
                timers::cancel(&timer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A change has lasted.
    pub fn lasted(&mut self, id: usize) -> Result {
        let Some(value) = self.inputs[id].observed.take() else {
            return Ok(());
        };
        self.commit(id, value)?;
        self.keep(id)?;
        self.report()
    }

    fn commit(&mut self, id: usize, value: bool) -> Result {
        self.inputs[id].memory.value = Some(value);
        match self.inputs[id].parent {
            Some(parent) => {
                let whole = self.is_on(parent);
                self.change(parent, whole)
            }
            None => self.input_changed(id, value),
        }
    }

    /// Whether an input is on; one of several is so by its members.
    pub fn is_on(&self, id: usize) -> bool {
        let is_on = |member: &usize| self.is_on(*member);
        match &self.inputs[id].source {
            Source::Topic { .. } => self.inputs[id].memory.value == Some(true),
            Source::Several {
                mode: Mode::And,
                members,
            } => members.iter().all(is_on),
            Source::Several {
                mode: Mode::Or,
                members,
            } => members.iter().any(is_on),
        }
    }

    /// Whether an input can be trusted; one of several as the worst of its members.
    pub fn trust(&self, id: usize) -> Trust {
        let Source::Several { members, .. } = &self.inputs[id].source else {
            return self.inputs[id].memory.trust;
        };
        let all: Vec<Trust> = members.iter().map(|member| self.trust(*member)).collect();
        let worst = [
            Trust::InvalidResponse,
            Trust::Offline,
            Trust::Unknown,
            Trust::Online,
        ];

        worst
            .into_iter()
            .find(|trust| all.contains(trust))
            .unwrap_or_default()
    }

    fn keep(&self, id: usize) -> Result {
        state::set(&self.inputs[id].key, &self.inputs[id].memory)
    }

    /// Returns the label with the last message in its format: `Inside (7°C)`.
    pub fn shown(&self, id: usize) -> String {
        let input = &self.inputs[id];
        match (&input.format, &input.memory.raw) {
            (Some(format), Some(raw)) => format!("{} ({})", input.label, filled(format, raw)),
            _ => input.label.clone(),
        }
    }
}

/// `{value}`, `{value_float}` and `{value_float:.1f}` in a format.
fn filled(format: &str, raw: &str) -> String {
    let number: f64 = raw.parse().unwrap_or(f64::NAN);
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((field, after)) = after.split_once('}') else {
            return text + "{" + after;
        };
        let digits = field
            .strip_prefix("value_float:.")
            .and_then(|rest| rest.strip_suffix('f')?.parse::<usize>().ok());
        match (field, digits) {
            ("value", _) => text.push_str(raw),
            (_, Some(digits)) => text.push_str(&format!("{number:.0$}", digits.min(20))),
            ("value_float", _) => text.push_str(&number.to_string()),
            _ => {}
        }

        rest = after;
    }

    text + rest
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn formats_are_filled() {
        assert_eq!(filled("{value_float:.0f}°C", "7.6"), "8°C");
        assert_eq!(filled("{value_float:.1f}/{value}", "7.66"), "7.7/7.66");
        assert_eq!(filled("{odd} {value", "1"), " {value");
    }
}
