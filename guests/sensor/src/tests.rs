//! The sensor service with a machine made of files in a folder of the test.

use std::path::PathBuf;

use miqro_sdk::prelude::*;
use miqro_sdk::test::TestHost;

use crate::Sensor;

/// A machine that is removed when the test ends.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("miqro-sensor-{}-{name}", std::process::id()));
        let machine = Self(folder);
        machine.write("proc/loadavg", "0.52 0.58 0.59 1/389 12345\n");
        machine.write("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n");
        machine.write(
            "proc/meminfo",
            "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n",
        );
        machine.write("sys/kernel/version", "1");
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn start(&self, more: serde_json::Value) -> TestHost<Sensor> {
        let mut section = json!({"proc": self.0.join("proc"), "sys": self.0.join("sys")});
        section
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        TestHost::setup()
            .name("sensor")
            .grant("homeassistant/#")
            .config(section)
            .start()
            .unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn load_memory_and_temperatures_are_published() {
    let machine = Machine::new("all");
    for (zone, kind) in [
        ("thermal_zone0", "x86_pkg_temp"),
        ("thermal_zone1", "acpitz"),
        ("thermal_zone2", "acpitz"),
    ] {
        machine.write(&format!("sys/class/thermal/{zone}/type"), kind);
        machine.write(&format!("sys/class/thermal/{zone}/temp"), "42500\n");
    }

    let mut host = machine.start(json!({}));
    host.expect_next("cpu/load", "0.52");
    host.expect_next("memory/used", "75.0");
    assert!(host.expect_next("memory/total", "1000").retain);
    host.expect_next("temperature/x86_pkg_temp", "42.5");
    host.expect_next("temperature/acpitz", "42.5");
    host.expect_next("temperature/acpitz-2", "42.5");
    host.expect_nothing();
}

#[test]
fn usage_is_what_was_used_between_two_samples() {
    let machine = Machine::new("usage");
    let mut host = machine.start(json!({"interval": "1s"}));
    machine.write("proc/stat", "cpu  140 0 110 850 0 0 0 0 0 0\n");
    host.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(host.last("cpu/usage").as_deref(), Some("50.0"));
}

#[test]
fn unreadable_sensors_are_left_out() {
    let machine = Machine::new("little");
    machine.write("proc/loadavg", "?");
    machine.write("proc/meminfo", "MemTotal: 1 kB\n");
    let mut host = machine.start(json!({}));
    host.advance(Duration::from_secs(10)).unwrap();
    host.expect_nothing();
}

#[test]
fn unreadable_sensors_are_reported_once() {
    let machine = Machine::new("hidden");
    let mut host = machine.start(json!({"sys": "/not/there"}));
    host.advance(Duration::from_secs(60)).unwrap();
    let warnings: Vec<String> = host
        .log()
        .into_iter()
        .map(|line| line.message.clone())
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("cannot read /not/there: "),
        "{warnings:?}"
    );
    assert!(
        warnings[0].ends_with("services.sensor.grants.directories: [/not/there]"),
        "{warnings:?}"
    );
}

#[test]
fn home_assistant_is_told_when_wished() {
    let machine = Machine::new("home");
    let mut host = machine.start(json!({"home_assistant": true}));
    assert_eq!(
        host.next_sent().unwrap().topic,
        "homeassistant/device/sensor_sensor/config"
    );
}
