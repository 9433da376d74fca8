//! Announcements to Home Assistant (MQTT discovery).
//!
//! Devices and entities are announced when the service is connected and when Home Assistant starts, and removed when they vanish. Commands
//! reach handlers. The list of announced entities is in the service's state.
//!
//! ```
//! use miqro_sdk::home_assistant::{Device, Entity, HomeAssistant};
//! use miqro_sdk::prelude::*;
//!
//! struct Heater {
//!     home: HomeAssistant,
//! }
//!
//! #[service]
//! impl Heater {
//!     #[new]
//!     fn new() -> Self {
//!         let heater = Device::new("Heater")
//!             .manufacturer("Truma")
//!             .entity(Entity::sensor("Room", "temperature").unit("°C").device_class("temperature"))
//!             .entity(Entity::switch("Pump", "pump").on_command("pump/set", Self::pump));
//!         Self { home: HomeAssistant::new().device(heater) }
//!     }
//!
//!     #[start]
//!     fn start(&mut self) -> Result {
//!         self.home.start()
//!     }
//!
//!     #[connected]
//!     fn connected(&mut self) -> Result {
//!         self.home.announce()
//!     }
//!
//!     fn pump(&mut self, command: &Message<'_>) -> Result {
//!         publish("pump", command.decode::<bool>()?)
//!     }
//! }
//! # let mut host = miqro_sdk::test::TestHost::<Heater>::setup().grant("homeassistant/#").start().unwrap();
//! # assert_eq!(host.next_sent().unwrap().topic, "homeassistant/device/test_Heater/config");
//! # host.send("pump/set", "on").unwrap();
//! # host.expect_next("pump", "1");
//! ```
//!
//! It takes the grants `publish: [homeassistant/#]` and `subscribe: [homeassistant/status]`.

mod announcement;
mod check;
mod classes;
mod component;
mod device;
mod entity;
mod kinds;
mod rules;
pub mod schema;
mod value;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value};

pub use component::Component;
pub use device::{ChildDevice, Device};
pub use entity::Entity;

use crate::error::Result;
use crate::home_assistant::announcement::AnnouncedEntities;
use crate::message::Message;
use crate::{config, messaging, registry, state};

/// Key of the state under which announced entities are remembered.
const STATE_KEY: &str = "home_assistant";
/// Payload that Home Assistant publishes when it starts.
const BIRTH: &[u8] = b"online";

/// The announcements of a service to Home Assistant; see the [module](crate::home_assistant).
#[derive(Debug, Clone, Default)]
pub struct HomeAssistant {
    inner: Rc<RefCell<Inner>>,
}

/// The current announcements.
#[derive(Debug, Default)]
pub(crate) struct Inner {
    devices: Vec<Device>,
    entities: Vec<Entity>,
    availability: Vec<String>,
    /// Description of the service, besides its name.
    origin: Map<String, Value>,
}

impl HomeAssistant {
    /// Nothing to announce yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces a device too.
    pub fn device(self, device: Device) -> Self {
        self.inner.borrow_mut().devices.push(device);
        self
    }

    /// Announces an entity that belongs to no device.
    pub fn entity(self, entity: Entity) -> Self {
        self.inner.borrow_mut().entities.push(entity);
        self
    }

    /// A further topic below the base topic that must be `1` for everything here to be available. The service's `online` says
    /// only that the service runs; this one may say that its hardware is available too.
    pub fn availability(self, topic: impl Into<String>) -> Self {
        self.inner.borrow_mut().availability.push(topic.into());
        self
    }

    /// The version of the service, which Home Assistant shows in its log.
    pub fn sw_version(self, version: &str) -> Self {
        self.origin("sw_version", version)
    }

    /// The page that helps with the service; an address that begins with `http://` or `https://`.
    pub fn support_url(self, url: &str) -> Self {
        self.origin("support_url", url)
    }

    fn origin(self, key: &str, value: &str) -> Self {
        self.inner
            .borrow_mut()
            .origin
            .insert(key.to_owned(), value.into());
        self
    }

    /// Announces these devices from now on, in place of the earlier ones; [`announce`](Self::announce) tells Home Assistant.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn replace(&self, devices: Vec<Device>) -> Result {
        self.inner.borrow_mut().devices = devices;
        self.route()
    }

    /// Listens for commands, and for Home Assistant's start: the place is the method with `#[start]`.
    ///
    /// # Errors
    ///
    /// A [`MessagingError`](crate::MessagingError), as when the grant is missing.
    pub fn start(&self) -> Result {
        let topic = format!("{}/status", config::me().discovery_prefix);
        let home = self.clone();
        // a retained one is old, and `connected` has announced everything already
        let is_birth = |message: &Message<'_>| message.payload() == BIRTH && !message.is_retained();
        let born = move |message: &Message<'_>| {
            if is_birth(message) {
                home.announce()
            } else {
                Ok(())
            }
        };

        if registry::ensure_route(
            &topic,
            true,
            self.id(),
            Rc::new(move |_, message| born(message)),
        ) {
            messaging::subscribe(&topic, true, 1)?;
        }

        self.route()
    }

    /// Publishes all discovery messages, retained and with QoS 1, and removes what was announced before and is no more: the place
    /// is the method with `#[connected]`.
    ///
    /// # Errors
    ///
    /// When Home Assistant would refuse something: a key that the kind does not have or lacks, a value that it does not accept (the
    /// error names the entity, the key, the value and the accepted values); a [`MessagingError`](crate::MessagingError); or when the state
    /// cannot be used.
    pub fn announce(&self) -> Result {
        let now = self.inner.borrow().announcements()?;
        let before: AnnouncedEntities = state::get(STATE_KEY)?.unwrap_or_default();
        announcement::publish(&now, &before)?;
        let announced = announcement::remember(&now);
        if announced == before {
            Ok(())
        } else {
            state::set(STATE_KEY, &announced)
        }
    }

    /// One subscription and one route for each command topic, however many entities share it and however often it is announced.
    fn route(&self) -> Result {
        for topic in self.inner.borrow().command_topics() {
            let home = self.clone();
            let own = topic.clone();
            let handle = move |service: &mut dyn std::any::Any, message: &Message<'_>| {
                // taken out first, because a handler may change what is announced
                let commands = home.inner.borrow().commands(&own);
                commands
                    .iter()
                    .try_for_each(|command| command(service, message))
            };

            if registry::ensure_route(&topic, false, self.id(), Rc::new(handle)) {
                messaging::subscribe(&topic, false, 1)?;
            }
        }

        Ok(())
    }

    fn id(&self) -> usize {
        Rc::as_ptr(&self.inner).addr()
    }
}
