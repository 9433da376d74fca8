//! A thermostat that is served over MQTT: its target and mode are properties, readings come in by an operation, and switching and
//! warnings are signals.

mod room;

use miqro_sdk::prelude::*;

miqro_sdk::interfaces!("wit", "home:climate/thermostat-service@1.0.0");

use room::Room;
use types::{Mode, Reading, Refusal, Warnings};

#[derive(Default)]
struct Thermostat {
    room: Room,
}

#[service]
impl Thermostat {
    /// Changes the room, and emits `switched` when that makes a difference.
    fn change<T>(&mut self, act: impl FnOnce(&mut Room) -> T) -> T {
        let before = self.room.is_active();
        let outcome = act(&mut self.room);
        let after = self.room.is_active();
        if before != after {
            thermostat_signals::switched(after);
        }
        outcome
    }
}

#[serve]
impl thermostat::Guest for Thermostat {
    fn get_target(&mut self) -> f64 {
        self.room.target
    }

    fn set_target(&mut self, celsius: f64) -> std::result::Result<(), Refusal> {
        self.change(|room| room.set_target(celsius))
    }

    fn get_mode(&mut self) -> Mode {
        self.room.mode
    }

    fn set_mode(&mut self, mode: Mode) {
        self.change(|room| room.mode = mode);
    }

    fn get_measured(&mut self) -> Option<Reading> {
        self.room.last()
    }

    fn get_active(&mut self) -> bool {
        self.room.is_active()
    }

    fn measure(&mut self, reading: Reading) -> Warnings {
        let warnings = self.change(|room| room.measure(reading));
        if !warnings.is_empty() {
            thermostat_signals::warned(warnings, reading);
        }
        warnings
    }

    fn boost(&mut self, degrees: f64) -> std::result::Result<f64, Refusal> {
        self.change(|room| room.boost(degrees))
    }

    fn history(&mut self, most: u32) -> Vec<(u64, Reading)> {
        self.room.history(most)
    }

    fn reset(&mut self) {
        self.change(Room::reset);
    }
}
