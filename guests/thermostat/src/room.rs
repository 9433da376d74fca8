//! The state of the room, and the decision whether to heat or cool.

use std::collections::VecDeque;

use crate::types::{Limits, Mode, Reading, Refusal, Warnings};

/// The lowest and the highest target.
const LIMITS: Limits = Limits {
    lowest: 5.0,
    highest: 30.0,
};

/// Readings that are kept.
const READINGS: usize = 100;

/// A room with a thermostat.
pub struct Room {
    /// The wanted temperature in degrees Celsius.
    pub target: f64,
    pub mode: Mode,
    /// Readings with their numbers, the latest first.
    readings: VecDeque<(u64, Reading)>,
    next_number: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            target: 20.0,
            mode: Mode::Heat,
            readings: VecDeque::new(),
            next_number: 0,
        }
    }
}

impl Room {
    /// Sets the target.
    pub fn set_target(&mut self, celsius: f64) -> Result<(), Refusal> {
        if !(LIMITS.lowest..=LIMITS.highest).contains(&celsius) {
            return Err(Refusal::OutOfLimits(LIMITS));
        }
        self.target = celsius;
        Ok(())
    }

    /// Raises the target.
    pub fn boost(&mut self, degrees: f64) -> Result<f64, Refusal> {
        if self.mode == Mode::Off {
            return Err(Refusal::IsOff);
        }

        self.set_target(self.target + degrees)?;
        Ok(self.target)
    }

    /// Takes over a reading; returns the warnings that follow from it.
    pub fn measure(&mut self, reading: Reading) -> Warnings {
        self.readings.push_front((self.next_number, reading));
        self.readings.truncate(READINGS);
        self.next_number += 1;

        let mut warnings = Warnings::empty();
        warnings.set(Warnings::FROST, reading.celsius < LIMITS.lowest);
        warnings.set(Warnings::OVERHEATED, reading.celsius > LIMITS.highest);
        warnings.set(Warnings::HUMID, reading.humidity > Some(80));
        warnings
    }

    /// The last reading.
    pub fn last(&self) -> Option<Reading> {
        self.readings.front().map(|(_, reading)| *reading)
    }

    /// At most so many readings, the latest first.
    pub fn history(&self, most: u32) -> Vec<(u64, Reading)> {
        let most = usize::try_from(most).unwrap_or(READINGS);
        self.readings.iter().take(most).copied().collect()
    }

    /// Forgets all readings.
    pub fn reset(&mut self) {
        self.readings.clear();
    }

    /// Whether it heats or cools.
    pub fn is_active(&self) -> bool {
        let Some(reading) = self.last() else {
            return false;
        };
        match self.mode {
            Mode::Off => false,
            Mode::Heat => reading.celsius < self.target,
            Mode::Cool => reading.celsius > self.target,
        }
    }
}
