//! Actor's part: the topic `<base>online` of one service. In: the service's status. Out: a retained `1` or `0` through the
//! session that carries the matching will. Owns the last announced value.

use std::time::{Duration, Instant};

use crate::config;
use crate::message::{Message, Properties, Qos};
use crate::session;
use crate::topic::{BaseTopic, Topic, TopicError};

use super::lifecycle::Status;

/// Announces whether a service is online.
#[derive(Debug)]
pub struct Presence {
    topic: Topic,
    session: session::Handle,
    expiry: Option<Duration>,
    online: Option<bool>,
    renewal: Option<Instant>,
}

impl Presence {
    /// `session` is the one whose will says `0` for this service; without such a will, `expiry` makes the `1` go away by
    /// itself when it is not renewed.
    ///
    /// # Errors
    /// When the base topic is too long for `online` behind it.
    pub fn new(
        service: &config::Service,
        session: session::Handle,
        expiry: Option<Duration>,
    ) -> Result<Self, TopicError> {
        Ok(Self { topic: topic(service)?, session, expiry, online: None, renewal: None })
    }

    /// Announces `status` if it changes whether the service is online.
    pub async fn update(&mut self, status: Status) {
        let online = status.is_online();
        if self.online.replace(online) != Some(online) {
            self.announce(online).await;
        }
    }

    /// When `renew` is wanted; `None`: never.
    pub fn renewal(&self) -> Option<Instant> {
        self.renewal
    }

    /// Announces the last value again.
    pub async fn renew(&mut self) {
        if let Some(online) = self.online {
            self.announce(online).await;
        }
    }

    async fn announce(&mut self, online: bool) {
        let mut message = message(self.topic.clone(), online);
        self.renewal = self.expiry.filter(|_| online).map(|expiry| Instant::now() + expiry / 3);
        if let Some(expiry) = self.expiry.filter(|_| online) {
            let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
            message.properties = Some(Box::new(Properties { message_expiry: Some(seconds), ..Properties::default() }));
        }
        self.session.send(session::Command::Announce(message)).await;
    }
}

/// The will that says `0` for the service.
///
/// # Errors
/// When the base topic is too long for `online` behind it.
pub fn will(service: &config::Service) -> Result<Message, TopicError> {
    Ok(message(topic(service)?, false))
}

/// Below the base topic; of a service without one, where it would have been: `online` alone would be everybody's.
fn topic(service: &config::Service) -> Result<Topic, TopicError> {
    if service.base.is_global() {
        return BaseTopic::of_service(&service.name)?.topic("online");
    }
    service.base.topic("online")
}

fn message(topic: Topic, online: bool) -> Message {
    Message::new(topic, if online { "1" } else { "0" }, Qos::AtLeastOnce, true)
}
