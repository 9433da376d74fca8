//! The adapter service. It turns Zigbee2MQTT's messages, one JSON object for each device, into one topic for each value,
//! `service/adapter/<device>/<key>`. Commands to `service/adapter/set/<device>/<key>` go back to the device, and all devices
//! are announced to Home Assistant. The list of devices is kept in the state, because Zigbee2MQTT publishes it when it starts
//! and not when this service does.
//!
//! ```yaml
//! adapter:
//!   component: guests/adapter.wasm
//!   zigbee_topic: zigbee2mqtt     # base topic of Zigbee2MQTT
//!   device_availability: false    # whether Zigbee2MQTT publishes <device>/availability
//!   grants:
//!     publish: [zigbee2mqtt/+/set, homeassistant/#]      # zigbee2mqtt/# where devices have slashes in their names
//!     subscribe: [zigbee2mqtt/#, homeassistant/status]
//! ```

mod devices;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use miqro_sdk::home_assistant::{Device, HomeAssistant};
use miqro_sdk::prelude::*;
use serde_json::Value;

use crate::devices::Described;

/// Key of the state for the devices.
const DEVICES: &str = "devices";

struct Adapter {
    /// Base topic of Zigbee2MQTT.
    zigbee: String,
    availability: bool,
    /// By their names.
    devices: BTreeMap<String, Described>,
    home: HomeAssistant,
}

#[service]
impl Adapter {
    #[new]
    fn new() -> Result<Self> {
        let zigbee = config::get("zigbee_topic")?.unwrap_or_else(|| "zigbee2mqtt".to_owned());
        let availability = config::get("device_availability")?.unwrap_or(false);
        let devices = state::get(DEVICES)?.unwrap_or_default();
        Ok(Self {
            zigbee,
            availability,
            devices,
            home: HomeAssistant::new(),
        })
    }

    #[start]
    fn start(&mut self) -> Result {
        self.home.start()?;
        self.home.replace(self.announcements())?;
        handler(&format!("{}/#", self.zigbee))
            .global()
            .call(Self::zigbee)
            .map(drop)
    }

    #[connected]
    fn connected(&mut self) -> Result {
        // before the bridge has named its devices, announcing nothing would remove them all
        if self.devices.is_empty() {
            Ok(())
        } else {
            self.home.announce()
        }
    }

    /// Anything from Zigbee2MQTT. Devices may have slashes in their names.
    fn zigbee(&mut self, message: &Message<'_>) -> Result {
        let Some(topic) = message
            .topic()
            .strip_prefix(&self.zigbee)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            return Ok(());
        };

        match topic.rsplit_once('/') {
            Some(("bridge", "devices")) => self.devices(message.json()?),
            Some((_, "set" | "get")) => Ok(()),
            _ if topic == "bridge" || topic.starts_with("bridge/") => Ok(()),
            Some((device, "availability")) => available(device, message),
            _ => values(topic, message),
        }
    }

    fn devices(&mut self, list: Vec<Value>) -> Result {
        // one device that is described otherwise does not take the others with it
        let devices = list.iter().filter_map(Described::read);
        self.devices = devices
            .map(|device| (device.name.clone(), device))
            .collect();
        if let Err(error) = state::set(DEVICES, &self.devices) {
            // too many for the state: they are known until the service is started again
            warn!("the devices are not kept: {}", error);
        }
        self.home.replace(self.announcements())?;
        self.home.announce()
    }

    fn announcements(&self) -> Vec<Device> {
        self.devices
            .values()
            .map(|device| device.announcement(self.availability))
            .collect()
    }

    #[handle("set/#")]
    fn set(&mut self, payload: &str, message: &Message<'_>, place: &str) -> Result {
        let Some((device, key)) = place.rsplit_once('/').filter(|_| !message.is_retained()) else {
            // a retained command is an old one, replayed at each connection
            warn!("not a command: set/<device>/<key>, not retained"; topic = message.topic());
            return Ok(());
        };
        let property = self
            .devices
            .get(device)
            .and_then(|device| device.properties.get(key));
        let value = property.map_or_else(
            || devices::guess(payload),
            |property| property.value(payload),
        );
        let topic = format!("{}/{device}/set", self.zigbee);
        miqro_sdk::message(&topic)
            .global()
            .qos(1)
            .send(json!({ key: value }))
            .map(drop)
    }
}

/// One topic for each value of a device, through all that is nested.
fn values(device: &str, message: &Message<'_>) -> Result {
    match message.json()? {
        values @ Value::Object(_) => miqro_sdk::message(device).retain().send_keys(&values),
        _ => Ok(()),
    }
}

/// `online` or `offline`, plain or as `{"state": "online"}`.
fn available(device: &str, message: &Message<'_>) -> Result {
    let text = message.text()?;
    let state = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|value| Some(value.get("state")?.as_str()?.to_owned()));
    let online = state.as_deref().unwrap_or(text) == "online";
    miqro_sdk::message(&format!("{device}/available"))
        .retain()
        .send(online)
        .map(drop)
}
