//! Control over MQTT: the commands of the control channel as messages, and the snapshot as retained states.
//!
//! It runs on the pool, and only hands messages to the session: a client that floods it, or a slow command, holds up no service.
//! [`receiver`] reads requests and answers them, one after the other; [`reporter`] publishes states.

mod asker;
mod changes;
mod outlet;
mod problem_log;
mod receiver;
mod reporter;
mod request;
mod states;
mod topics;

use tokio::sync::mpsc;

use crate::config;
use crate::control::PendingRequest;
use crate::session::Handle;

pub use topics::Topics;

use outlet::Outlet;
use receiver::Receiver;
use reporter::Reporter;

/// News from the receiver that wait for the reporter.
const NEWS: usize = 16;

/// Control over MQTT of one host.
#[derive(Debug)]
pub struct MqttControl {
    receiver: Receiver,
    reporter: Reporter,
}

impl MqttControl {
    /// Creates it over the main session. Requests go through `requests` to the host.
    pub fn new(
        settings: &config::MqttControl,
        topics: &Topics,
        session: &Handle,
        requests: &mpsc::Sender<PendingRequest>,
    ) -> Self {
        let (news, told) = mpsc::channel(NEWS);
        let outlet = Outlet::new(session.clone());
        let receiver = Receiver::new(
            settings.commands.clone(),
            topics.clone(),
            outlet.clone(),
            (requests.clone(), news),
        );

        Self {
            receiver,
            reporter: Reporter::new(settings, topics.clone(), outlet, (requests.clone(), told)),
        }
    }

    /// Serves requests and publishes states, until the session has ended.
    pub async fn run(self) {
        tokio::join!(self.receiver.run(), self.reporter.run());
    }
}
