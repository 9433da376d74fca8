//! A thermostat that is served over MQTT: its target and mode are properties, readings come in by an operation, and switching and
//! warnings are signals.

mod room;

wit_bindgen::generate!({
    path: ["../../wit", "wit"],
    inline: "package guest:thermostat;
        world guest { include miqro:service/service@0.1.0; include home:climate/thermostat-service@1.0.0; }",
    world: "guest:thermostat/guest",
    generate_all,
});

use std::cell::RefCell;

use exports::home::climate::thermostat;
use home::climate::thermostat_signals;
use home::climate::types::{Mode, Reading, Refusal, Warnings};

use room::Room;

struct Thermostat;
export!(Thermostat);

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// Changes the room, and emits `switched` when that makes a difference.
fn change<T>(act: impl FnOnce(&mut Room) -> T) -> T {
    ROOM.with_borrow_mut(|room| {
        let before = room.is_active();
        let outcome = act(room);
        let after = room.is_active();
        if before != after {
            thermostat_signals::switched(after);
        }
        outcome
    })
}

impl thermostat::Guest for Thermostat {
    fn get_target() -> f64 {
        ROOM.with_borrow(|room| room.target)
    }

    fn set_target(celsius: f64) -> Result<(), Refusal> {
        change(|room| room.set_target(celsius))
    }

    fn get_mode() -> Mode {
        ROOM.with_borrow(|room| room.mode)
    }

    fn set_mode(mode: Mode) {
        change(|room| room.mode = mode);
    }

    fn get_measured() -> Option<Reading> {
        ROOM.with_borrow(|room| room.last())
    }

    fn get_active() -> bool {
        ROOM.with_borrow(Room::is_active)
    }

    fn measure(reading: Reading) -> Warnings {
        let warnings = change(|room| room.measure(reading));
        if !warnings.is_empty() {
            thermostat_signals::warned(warnings, reading);
        }
        warnings
    }

    fn boost(degrees: f64) -> Result<f64, Refusal> {
        change(|room| room.boost(degrees))
    }

    fn history(most: u32) -> Vec<(u64, Reading)> {
        ROOM.with_borrow(|room| room.history(most))
    }

    fn reset() {
        change(Room::reset);
    }
}

impl Guest for Thermostat {
    fn handle(_topic: String, _payload: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }
}
