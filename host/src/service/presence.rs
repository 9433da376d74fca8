//! Presence of one service: a retained `1` or `0` on `<base>online` and on further topics, sent through the session whose will says
//! `0` for the service.

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
    /// Interval at which a `1` is repeated; zero: never.
    interval: Duration,
    /// Session for the further topics, and these topics.
    further: (session::Handle, Vec<Availability>),
}

/// Sessions, topics and intervals of presence.
pub struct PresenceSetup {
    /// Session whose will says `0` for this service.
    pub session: session::Handle,
    /// Expiry of a `1` where there is no such will.
    pub expiry: Option<Duration>,
    /// Interval at which a `1` is repeated; zero: never.
    pub interval: Duration,
    /// Session for `further`.
    pub main: session::Handle,
    /// Further topics, on which no will says `0`.
    pub further: Vec<Availability>,
}

impl Presence {
    /// Creates presence that was not announced yet.
    ///
    /// # Errors
    /// When the base topic is too long for `online` behind it.
    pub fn new(service: &config::Service, announced: PresenceSetup) -> Result<Self, TopicError> {
        let PresenceSetup {
            session,
            expiry,
            interval,
            main,
            further,
        } = announced;

        let topic = topic(service)?;
        let further = (main, further);
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

    /// Time of the next `renew`; `None`: never.
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

/// Topic of a service's presence: below its base topic, or below the usual one where it has none.
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
