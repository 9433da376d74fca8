//! Control over MQTT: the commands of the control channel as messages, and the snapshot as retained states.
//!
//! It runs on the pool, and only hands messages to the session: a client that floods it, or a slow command, holds up no service.
//! `receiver` reads requests and answers them, one after the other; `reporter` publishes states.

mod asker;
mod changes;
mod home_assistant;
mod outlet;
mod problem_log;
mod receiver;
mod reporter;
mod request;
mod states;
mod topics;

use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::control::PendingRequest;
use crate::session::Handle;
use crate::topic::{Topic, TopicError};

pub use topics::Topics;

use home_assistant::Discovery;
use outlet::Outlet;
use receiver::Receiver;
use reporter::Reporter;

/// News from the receiver that wait for the reporter.
const NEWS: usize = 16;

/// Settings of control over MQTT.
#[derive(Debug)]
pub struct Setup {
    /// The section of the configuration.
    settings: config::MqttControl,
    /// The topics of the host.
    pub topics: Topics,
    /// The topic below which Home Assistant looks for devices.
    discovery_prefix: Topic,
}

impl Setup {
    /// The settings in the configuration, whose client identifier is complete; `None`: there is no control over MQTT.
    ///
    /// # Errors
    /// When the client identifier leaves no room for topics.
    pub fn from_config(config: &Config) -> Result<Option<Self>, TopicError> {
        let Some(settings) = config.mqtt_control.clone() else {
            return Ok(None);
        };
        let topics = Topics::new(&config.broker.connection().client_id)?;
        let discovery_prefix = config.ha_discovery_prefix.clone();
        Ok(Some(Self {
            settings,
            topics,
            discovery_prefix,
        }))
    }
}

/// Control over MQTT of one host.
#[derive(Debug)]
pub struct MqttControl {
    receiver: Receiver,
    reporter: Reporter,
}

impl MqttControl {
    /// Creates it over the main session. Requests go through `requests` to the host.
    pub fn new(setup: Setup, session: &Handle, requests: &mpsc::Sender<PendingRequest>) -> Self {
        let Setup {
            settings,
            topics,
            discovery_prefix,
        } = setup;

        let (news, told) = mpsc::channel(NEWS);
        let outlet = Outlet::new(session.clone());
        let commands = settings.commands.clone();
        let receiver = Receiver::new(
            commands.clone(),
            topics.clone(),
            outlet.clone(),
            (requests.clone(), news),
        );

        let discovery = settings
            .home_assistant
            .then(|| Discovery::new(discovery_prefix, topics.clone(), commands));
        let states = (topics, discovery);
        let reporter = Reporter::new(settings, states, outlet, (requests.clone(), told));
        Self { receiver, reporter }
    }

    /// Serves requests and publishes states, until the session has ended.
    pub async fn run(self) {
        tokio::join!(self.receiver.run(), self.reporter.run());
    }
}
