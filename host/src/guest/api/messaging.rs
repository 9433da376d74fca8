//! `miqro:service/messaging`: publishes and subscriptions in the effects of the running call, checked against the rules of MQTT,
//! the service's grants and its limits.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::fault_kind::FaultKind;
use crate::guest::bindings::miqro::service::messaging::{
    DeliveryOutcome, Host, MessageInfo, MessagingError, OnlyIfChanged as WitOnlyIfChanged,
    PublishOptions, Qos as WitQos, RequestError, RequestOptions, Response, SubscribeOptions,
};
use crate::guest::grant_usage::GrantKind;
use crate::guest::store::StoreData;
use crate::message::{
    Message, OnlyIfChanged, Outcome, Publication, Qos, Subscription, SubscriptionChange, Terms,
    Token,
};
use crate::topic::{Filter, Topic, TopicError};

use super::{properties, request};

impl Host for StoreData {
    fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        options: Option<PublishOptions>,
    ) -> Result<Option<u64>, MessagingError> {
        let Some(options) = options else {
            let topic = self.ctx.config.base.topic(&topic)?;
            return self.send(Message::new(topic, payload, Qos::AtMostOnce, false), None);
        };
        let topic = self.publish_topic(topic, options.global)?;
        let mut message = Message::new(topic, payload, options.qos.into(), options.retain);
        message.properties = options
            .properties
            .map(properties::validate)
            .transpose()?
            .flatten();
        self.send(message, options.only_if_changed.map(Into::into))
    }

    async fn request(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        options: Option<RequestOptions>,
    ) -> Result<Response, RequestError> {
        request::request(self, topic, payload, options).await
    }

    fn subscribe(
        &mut self,
        filter: String,
        options: Option<SubscribeOptions>,
    ) -> Result<(), MessagingError> {
        let (qos, global) = options.map_or((Qos::AtLeastOnce, false), |options| {
            (options.qos.into(), options.global)
        });
        let filter = self.full_filter(&filter, global)?;
        if global {
            self.may_subscribe(&filter)?;
        }
        let limit = self.ctx.config.limits.total.subscriptions;
        if !self.subscriptions.contains(&filter) && self.subscriptions.len() >= limit {
            let text = format!(
                "the service has {limit} subscriptions, as many as limits.subscriptions allows"
            );
            return Err(MessagingError::Limit(
                self.beyond(FaultKind::Subscriptions, text),
            ));
        }

        self.check_changes().map_err(MessagingError::Limit)?;
        self.subscriptions.insert(filter.clone(), ());
        self.call
            .effects
            .subscriptions
            .push(SubscriptionChange::Subscribe(Subscription { filter, qos }));
        Ok(())
    }

    fn unsubscribe(&mut self, filter: String, global: bool) -> Result<(), MessagingError> {
        let filter = self.full_filter(&filter, global)?;
        if self.subscriptions.contains(&filter) {
            self.subscriptions.remove(&filter);
            self.call
                .effects
                .subscriptions
                .push(SubscriptionChange::Unsubscribe(filter));
        }

        Ok(())
    }

    fn current_message(&mut self) -> Option<MessageInfo> {
        let current = self.call.current.as_ref()?;
        let message = &current.message;
        Some(MessageInfo {
            topic: message.topic.as_str().to_owned(),
            relative: self.ctx.config.base.relative(&message.topic).is_some(),
            qos: message.qos.into(),
            retain: message.retain,
            dup: message.dup,
            attempt: current.attempt,
            properties: message.properties.as_deref().map(Into::into),
        })
    }
}

impl StoreData {
    /// Puts a message into the effects of the call, with the terms that it needs.
    fn send(
        &mut self,
        message: Message,
        only_if_changed: Option<OnlyIfChanged>,
    ) -> Result<Option<u64>, MessagingError> {
        self.hold(&message)?;
        let token = (message.qos != Qos::AtMostOnce).then(|| self.inputs.token(|| Token::next().0));
        // a guest without `delivered` is not told the outcome, so nothing has to wait for it
        let awaited = token.filter(|_| self.delivered).map(Token);
        let offline = self
            .ctx
            .config
            .delivery
            .offline
            .iter()
            .find(|rule| rule.filter.matches(&message.topic))
            .cloned();

        let terms =
            (awaited.is_some() || only_if_changed.is_some() || offline.is_some()).then(|| {
                Box::new(Terms {
                    token: awaited,
                    only_if_changed,
                    offline,
                    kept: None,
                    at: Instant::now(),
                })
            });
        self.call
            .effects
            .publishes
            .push(Publication { message, terms });
        Ok(token.map(NonZeroU64::get))
    }

    pub(super) fn publish_topic(
        &self,
        topic: String,
        global: bool,
    ) -> Result<Topic, MessagingError> {
        if !global {
            return Ok(self.ctx.config.base.topic(&topic)?);
        }
        let topic = Topic::new(topic)?;
        if self.ctx.config.base.relative(&topic).is_some() {
            return Ok(topic);
        }

        let mut grants = self.ctx.config.grants.publish.iter();
        match grants.position(|grant| grant.matches(&topic)) {
            Some(place) => {
                self.ctx.grant_usage.note(GrantKind::Publish, place);
                Ok(topic)
            }
            None => Err(self.denied("publish", topic.as_str())),
        }
    }

    fn full_filter(&self, filter: &str, global: bool) -> Result<Filter, MessagingError> {
        if global {
            Ok(Filter::new(filter)?)
        } else {
            Ok(self.ctx.config.base.filter(filter)?)
        }
    }

    fn may_subscribe(&self, filter: &Filter) -> Result<(), MessagingError> {
        if !self.ctx.config.may_subscribe(filter) {
            return Err(self.denied("subscribe", filter.pattern()));
        }

        let mut grants = self.ctx.config.grants.subscribe.iter();
        if let Some(place) = grants.position(|grant| grant.covers(filter)) {
            self.ctx.grant_usage.note(GrantKind::Subscribe, place);
        }
        Ok(())
    }

    /// Names the key and the value that would grant it.
    fn denied(&self, what: &str, topic: &str) -> MessagingError {
        let name = &self.ctx.config.name;
        let base = &self.ctx.config.base;
        let line = format!("services.{name}.grants.{what}: [{topic:?}]");
        self.ctx
            .state
            .meter()
            .denied(&format!("to {what} {topic:?}"), &line);
        MessagingError::Denied(format!(
            "{topic:?} is outside of {base} and not granted; to grant it, write into miqro.yml: {line}"
        ))
    }

    /// Counts a message, published or sent as a request, against the limits of one call. Their total size is limited, so that a
    /// loop that publishes cannot use the host's memory instead of its own.
    pub(in crate::guest) fn hold(&mut self, message: &Message) -> Result<(), MessagingError> {
        let limits = &self.ctx.config.limits;
        let sent_bytes = self.call.sent_bytes.saturating_add(message.weight());
        let size = message.payload.len();
        let (exceeded, text) = if size > limits.call.payload {
            let text = format!(
                "a payload of {size} bytes is more than the {} of limits.payload",
                limits.call.payload
            );
            (FaultKind::Payload, text)
        } else if self.call.sent >= limits.call.publishes {
            let text = "messages, as many as limits.publishes allows";
            (
                FaultKind::Publishes,
                format!("this call has published {} {text}", limits.call.publishes),
            )
        } else if sent_bytes > limits.call.publish_bytes {
            let text = "the messages of this call take more than the";
            (
                FaultKind::PublishBytes,
                format!(
                    "{text} {} bytes of limits.publish_bytes",
                    limits.call.publish_bytes
                ),
            )
        } else {
            self.call.sent_bytes = sent_bytes;
            self.call.sent += 1;
            return Ok(());
        };

        Err(MessagingError::Limit(self.beyond(exceeded, text)))
    }
}

impl From<TopicError> for MessagingError {
    fn from(error: TopicError) -> Self {
        Self::InvalidTopic(error.to_string())
    }
}

impl From<WitOnlyIfChanged> for OnlyIfChanged {
    fn from(rule: WitOnlyIfChanged) -> Self {
        match rule {
            WitOnlyIfChanged::Always => Self::Always,
            WitOnlyIfChanged::Within(milliseconds) => {
                Self::Within(Duration::from_millis(milliseconds))
            }
        }
    }
}

impl From<&Outcome> for DeliveryOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Refused(why) => Self::Refused(why.clone()),
        }
    }
}

impl From<WitQos> for Qos {
    fn from(qos: WitQos) -> Self {
        match qos {
            WitQos::AtMostOnce => Self::AtMostOnce,
            WitQos::AtLeastOnce => Self::AtLeastOnce,
            WitQos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<Qos> for WitQos {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce,
            Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}
