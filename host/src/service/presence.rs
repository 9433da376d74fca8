//! Actor's part: the topic `<base>online` of one service, and further ones. In: the service's status. Out: a retained `1` or `0` through the
//! session that carries the matching will. Owns the last announced value.

use std::time::{Duration, Instant};

use crate::config::{self, Availability};
use crate::message::{Message, Properties, Qos};
use crate::session;
use crate::topic::{BaseTopic, Topic, TopicError};

use super::status::Status;

/// Announces whether a service is online.
#[derive(Debug)]
pub struct Presence {
    topic: Topic,
    session: session::Handle,
    expiry: Option<Duration>,
    online: Option<bool>,
    renewal: Option<Instant>,
    /// How often the `1` is said again; zero: never.
    interval: Duration,
    /// The session for the further topics, and these.
    further: (session::Handle, Vec<Availability>),
}

/// Where and how often presence is told.
pub struct Announced {
    /// The session whose will says `0` for this service.
    pub session: session::Handle,
    /// Without such a will: when a `1` goes away by itself.
    pub expiry: Option<Duration>,
    /// How often a `1` is said again; zero: never.
    pub interval: Duration,
    /// The session for `further`.
    pub main: session::Handle,
    /// Further topics; only the host says there whether the service is online.
    pub further: Vec<Availability>,
}

impl Presence {
    /// Nothing is announced yet.
    ///
    /// # Errors
    /// When the base topic is too long for `online` behind it.
    pub fn new(service: &config::Service, announced: Announced) -> Result<Self, TopicError> {
        let Announced {
            session,
            expiry,
            interval,
            main,
            further,
        } = announced;
        let (topic, further) = (topic(service)?, (main, further));
        Ok(Self {
            topic,
            session,
            expiry,
            online: None,
            renewal: None,
            interval,
            further,
        })
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
        let interval = Some(self.interval).filter(|interval| !interval.is_zero());
        let interval = self
            .expiry
            .map(|expiry| expiry / 3)
            .into_iter()
            .chain(interval)
            .min();
        self.renewal = interval
            .filter(|_| online)
            .map(|interval| Instant::now() + interval);
        if let Some(expiry) = self.expiry.filter(|_| online) {
            let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
            message.properties = Some(Box::new(Properties {
                message_expiry: Some(seconds),
                ..Properties::default()
            }));
        }
        self.session.send(session::Command::Announce(message)).await;
        let (session, further) = &self.further;
        for Availability {
            topic,
            online: up,
            offline: down,
        } in further
        {
            let payload = if online { up } else { down };
            let message = Message::new(topic.clone(), payload.clone(), Qos::AtLeastOnce, true);
            session.send(session::Command::Announce(message)).await;
        }
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
    Message::new(
        topic,
        if online { "1" } else { "0" },
        Qos::AtLeastOnce,
        true,
    )
}
