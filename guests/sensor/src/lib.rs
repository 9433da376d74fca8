//! The sensor service. It reads the files of the machine that its grants allow, and publishes `cpu/load`, `cpu/usage`
//! (percent), `memory/used` (percent), `memory/total` (kB) and `temperature/<zone>` (°C), each `interval`; the same for Home
//! Assistant, if `home_assistant` is set.
//!
//! ```yaml
//! sensor:
//!   component: guests/sensor.wasm
//!   interval: 10s
//!   proc: /proc            # the guest's path to the machine's /proc
//!   sys: /sys
//!   home_assistant: true
//!   grants:
//!     directories: [/proc, /sys]      # or another place: {path: /srv/machine/sys, guest: /sys}
//!     publish: [homeassistant/#]
//!     subscribe: [homeassistant/status]
//! ```

mod files;
#[cfg(test)]
mod tests;

use miqro_sdk::home_assistant::{Device, Entity, HomeAssistant};
use miqro_sdk::prelude::*;
use serde::Deserialize;

use crate::files::{Files, Processor};

#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    interval: Span,
    proc: String,
    sys: String,
    home_assistant: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Span(Duration::from_secs(10)),
            proc: "/proc".into(),
            sys: "/sys".into(),
            home_assistant: false,
        }
    }
}

struct Sensor {
    settings: Settings,
    files: Files,
    processor: Option<Processor>,
    home: HomeAssistant,
}

#[service]
impl Sensor {
    #[new]
    fn new() -> Result<Self> {
        let settings: Settings = config::section()?;
        let files = Files::new(&settings.proc, &settings.sys);
        let home = HomeAssistant::new().device(device(&files));
        Ok(Self {
            settings,
            files,
            processor: None,
            home,
        })
    }

    /// Logs missing files, once: samples leave them out.
    #[start]
    fn start(&mut self) -> Result {
        for (folder, why) in self.files.hidden() {
            warn!(
                "cannot read {folder}: {why}; to grant it, write into miqro.yml: services.{}.grants.directories: [{folder}]",
                config::me().name
            );
        }

        Loop::add("sample", self.settings.interval.0, Self::sample)?;
        if self.settings.home_assistant {
            self.home.start()
        } else {
            Ok(())
        }
    }

    #[connected]
    fn connected(&mut self) -> Result {
        if self.settings.home_assistant {
            self.home.announce()
        } else {
            Ok(())
        }
    }

    /// Publishes a sample without the files that cannot be read: a machine without a thermometer still has a load.
    fn sample(&mut self) -> Result {
        if let Some(load) = self.files.load() {
            publish("cpu/load", load)?;
        }
        if let Some(now) = self.files.processor() {
            if let Some(usage) = self.processor.and_then(|before| now.usage_since(before)) {
                publish("cpu/usage", usage)?;
            }
            self.processor = Some(now);
        }

        if let Some(memory) = self.files.memory() {
            publish("memory/used", memory.used_percent())?;
            message("memory/total")
                .retain()
                .only_if_changed()
                .send(memory.total)?;
        }

        for (zone, degrees) in self.files.temperatures() {
            publish(&format!("temperature/{zone}"), degrees)?;
        }
        Ok(())
    }
}

fn device(files: &Files) -> Device {
    let percent = |name: &str, topic: &str| {
        Entity::sensor(name, topic)
            .unit("%")
            .state_class("measurement")
    };
    let device = Device::new(config::me().name)
        .entity(
            Entity::sensor("Load", "cpu/load")
                .state_class("measurement")
                .icon("mdi:gauge"),
        )
        .entity(percent("Processor", "cpu/usage"))
        .entity(percent("Memory", "memory/used"));

    files
        .temperatures()
        .into_iter()
        .fold(device, |device, (zone, _)| {
            let topic = format!("temperature/{zone}");
            device.entity(
                Entity::sensor(&zone, &topic)
                    .unit("°C")
                    .device_class("temperature")
                    .state_class("measurement"),
            )
        })
}
