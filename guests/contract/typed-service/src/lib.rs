//! Serves the interface `machine` for the tests of typed services: every type of value, and every way to fail.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    inline: "package miqro:typed-service;
        world typed-service {
            include miqro:service/service@0.1.0;
            include test:typed/machine-service@1.0.0;
        }",
    world: "miqro:typed-service/typed-service",
    generate_all,
});

use std::cell::Cell;
use std::time::Duration;

use exports::test::typed::machine;
use miqro::service::{messaging, state};
use test::typed::machine_signals;
use test::typed::types::{Color, Everything};

struct Machine;
export!(Machine);

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static LEVEL: Cell<i32> = const { Cell::new(0) };
    static TINT: Cell<Color> = const { Cell::new(Color::Red) };
}

impl machine::Guest for Machine {
    fn get_count() -> u32 {
        COUNT.get()
    }

    fn get_level() -> i32 {
        LEVEL.get()
    }

    fn set_level(level: i32) -> Result<(), String> {
        if level > 100 {
            return Err(format!("{level} is above 100"));
        }
        LEVEL.set(level);
        Ok(())
    }

    fn get_tint() -> Color {
        TINT.get()
    }

    fn set_tint(tint: Color) {
        TINT.set(tint);
    }

    fn add(a: i32, b: i32) -> i32 {
        COUNT.set(COUNT.get() + 1);
        a.wrapping_add(b)
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        let _ = state::set("divided", b"1");
        let _ = messaging::publish("divided", b"", None);
        a.checked_div(b)
            .ok_or_else(|| "division by zero".to_owned())
    }

    fn echo(value: Everything) -> Everything {
        value
    }

    fn reverse(mut data: Vec<u8>) -> Vec<u8> {
        data.reverse();
        data
    }

    fn nothing() {}

    fn not_finite() -> f64 {
        f64::NAN
    }

    fn fail() -> u32 {
        panic!("fails on purpose")
    }

    fn rest(time: u32) {
        std::thread::sleep(Duration::from_millis(time.into()));
    }

    fn emit(count: u32) {
        for number in 0..count {
            machine_signals::level_passed(number, "passed");
        }
    }
}

impl Guest for Machine {
    fn handle(_topic: String, payload: Vec<u8>) -> Result<(), String> {
        messaging::publish("handled", &payload, None)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }
}
