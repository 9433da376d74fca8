//! `miqro:service/timers`: changes of timers in the effects of the running call, and the timers that are due.

use std::time::Duration;

use crate::effects::TimerChange;
use crate::fault_kind::FaultKind;
use crate::guest::bindings::miqro::service::timers::{DueTimer, Host, TimersError};
use crate::guest::store::StoreData;

/// Bytes that the name of a timer may have.
const NAME_BYTES: usize = 256;

/// The longest delay or period in milliseconds: 36,500 days, so that no clock of the host overflows.
const LONGEST: u64 = 36_500 * 24 * 60 * 60 * 1_000;

impl Host for StoreData {
    fn every(&mut self, name: String, period: u64, delay: u64) -> Result<(), TimersError> {
        if period == 0 {
            return Err(TimersError::Invalid(format!(
                "timer {name:?}: the period must not be zero"
            )));
        }
        let period = span(&name, period)?;
        let delay = span(&name, delay)?;
        self.take_name(&name, true)?;
        self.call.effects.timers.push(TimerChange::Every {
            name,
            period,
            delay,
        });
        Ok(())
    }

    fn after(&mut self, name: String, delay: u64) -> Result<(), TimersError> {
        let delay = span(&name, delay)?;
        self.take_name(&name, false)?;
        self.call
            .effects
            .timers
            .push(TimerChange::After { name, delay });
        Ok(())
    }

    fn cancel(&mut self, name: String) {
        if self.timers.contains(&name) {
            self.timers.remove(&name);
            self.call.effects.timers.push(TimerChange::Cancel { name });
        }
    }

    fn remaining(&mut self, name: String) -> Option<u64> {
        let remaining = self.ctx.state.remaining(&name, self.ctx.now());
        let remaining = remaining.and_then(|time| u64::try_from(time.as_millis()).ok());
        self.inputs.remaining(remaining)
    }

    fn due(&mut self) -> Vec<DueTimer> {
        self.call
            .due
            .iter()
            .map(|timer| DueTimer {
                name: timer.name.clone(),
                count: timer.count,
            })
            .collect()
    }
}

impl StoreData {
    fn take_name(&mut self, name: &String, periodic: bool) -> Result<(), TimersError> {
        if name.is_empty() {
            return Err(TimersError::Invalid(
                "the name of a timer must not be empty".to_owned(),
            ));
        }
        if name.len() > NAME_BYTES {
            return Err(TimersError::Invalid(format!(
                "the name of a timer may have {NAME_BYTES} bytes, not {}",
                name.len()
            )));
        }

        let limit = self.ctx.config.limits.total.timers;
        if !self.timers.contains(name) && self.timers.len() >= limit {
            let text = format!("the service has {limit} timers, as many as limits.timers allows");
            return Err(TimersError::Limit(self.beyond(FaultKind::Timers, text)));
        }
        self.check_changes().map_err(TimersError::Limit)?;
        self.timers.insert(name.clone(), periodic);
        Ok(())
    }
}

fn span(name: &str, milliseconds: u64) -> Result<Duration, TimersError> {
    if milliseconds > LONGEST {
        return Err(TimersError::Invalid(format!(
            "timer {name:?}: {milliseconds} ms are more than 36,500 days"
        )));
    }
    Ok(Duration::from_millis(milliseconds))
}
