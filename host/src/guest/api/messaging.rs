//! Machine: `miqro:service/messaging`. In: what a guest publishes and subscribes to. Out: messages and subscription changes
//! in the effects of the running call, checked against MQTT's rules, the service's grants and its limits; facts about the
//! message being handled. Owns nothing.

use bytes::Bytes;

use crate::guest::bindings::miqro::service::messaging::{
    Host, MessageInfo, MessagingError, Properties as WitProperties, PublishOptions, Qos as WitQos, SubscribeOptions,
};
use crate::guest::store::Data;
use crate::message::{Message, Properties, Qos, Subscription, SubscriptionChange};
use crate::topic::{Filter, Topic, TopicError};

/// Bytes that a string or binary property may have (MQTT 5, sections 1.5.4 and 1.5.6).
const PROPERTY_BYTES: usize = 65_535;

impl Host for Data {
    fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        options: Option<PublishOptions>,
    ) -> Result<(), MessagingError> {
        let (topic, qos, retain, properties) = match options {
            None => (self.setting.base.topic(&topic)?, Qos::AtMostOnce, false, None),
            Some(options) => {
                let topic = self.publish_topic(topic, options.global)?;
                (topic, options.qos.into(), options.retain, options.properties.map(checked).transpose()?.flatten())
            }
        };
        let mut message = Message::new(topic, payload, qos, retain);
        message.properties = properties;
        self.hold(&message)?;
        self.effects.publishes.push(message);
        Ok(())
    }

    fn subscribe(&mut self, filter: String, options: Option<SubscribeOptions>) -> Result<(), MessagingError> {
        let (qos, global) = options.map_or((Qos::AtLeastOnce, false), |options| (options.qos.into(), options.global));
        let filter = self.full_filter(&filter, global)?;
        if global {
            self.may_subscribe(&filter)?;
        }
        let limit = self.setting.limits.subscriptions;
        if !self.subscriptions.contains(&filter) && self.subscriptions.len() >= limit {
            let text = format!("the service has {limit} subscriptions, as many as limits.subscriptions allows");
            return Err(MessagingError::Limit(text));
        }
        self.subscriptions.insert(filter.clone(), ());
        self.effects.subscriptions.push(SubscriptionChange::Subscribe(Subscription { filter, qos }));
        Ok(())
    }

    fn unsubscribe(&mut self, filter: String, global: bool) -> Result<(), MessagingError> {
        let filter = self.full_filter(&filter, global)?;
        if self.subscriptions.contains(&filter) {
            self.subscriptions.remove(&filter);
            self.effects.subscriptions.push(SubscriptionChange::Unsubscribe(filter));
        }
        Ok(())
    }

    fn current_message(&mut self) -> Option<MessageInfo> {
        let current = self.current.as_ref()?;
        let message = &current.message;
        Some(MessageInfo {
            topic: message.topic.as_str().to_owned(),
            relative: self.setting.base.relative(&message.topic).is_some(),
            qos: message.qos.into(),
            retain: message.retain,
            dup: message.dup,
            attempt: current.attempt,
            properties: message.properties.as_deref().map(WitProperties::from),
        })
    }
}

impl Data {
    fn publish_topic(&self, topic: String, global: bool) -> Result<Topic, MessagingError> {
        if !global {
            return Ok(self.setting.base.topic(&topic)?);
        }
        let topic = Topic::new(topic)?;
        let granted = self.setting.base.relative(&topic).is_some()
            || self.setting.grants.publish.iter().any(|grant| grant.matches(&topic));
        if granted { Ok(topic) } else { Err(self.denied("publish", topic.as_str())) }
    }

    fn full_filter(&self, filter: &str, global: bool) -> Result<Filter, MessagingError> {
        if global { Ok(Filter::new(filter)?) } else { Ok(self.setting.base.filter(filter)?) }
    }

    fn may_subscribe(&self, filter: &Filter) -> Result<(), MessagingError> {
        let below = filter.pattern().strip_prefix(self.setting.base.as_str()).is_some_and(|rest| !rest.is_empty());
        if below || self.setting.grants.subscribe.iter().any(|grant| grant.covers(filter)) {
            return Ok(());
        }
        Err(self.denied("subscribe", filter.pattern()))
    }

    /// Names the key and the value that would grant it.
    fn denied(&self, what: &str, topic: &str) -> MessagingError {
        let (name, base) = (&self.setting.name, &self.setting.base);
        MessagingError::Denied(format!(
            "{topic:?} is outside of {base} and not granted; to grant it, write into miqro.yml: \
             services.{name}.grants.{what}: [{topic:?}]"
        ))
    }

    /// Counts a message against the limits of one call. All messages of a call together may take as much memory as the
    /// guest itself, so that a loop that publishes cannot use the host's memory instead of its own.
    fn hold(&mut self, message: &Message) -> Result<(), MessagingError> {
        let limits = &self.setting.limits;
        let held = self.held.saturating_add(message.weight());
        let refusal = if message.payload.len() > limits.payload {
            format!(
                "a payload of {} bytes is more than the {} of limits.payload",
                message.payload.len(),
                limits.payload
            )
        } else if self.effects.publishes.len() >= limits.publishes {
            format!("this call has published {} messages, as many as limits.publishes allows", limits.publishes)
        } else if held > limits.memory {
            format!("what this call publishes takes more than the {} bytes of limits.memory", limits.memory)
        } else {
            self.held = held;
            return Ok(());
        };
        Err(MessagingError::Limit(refusal))
    }
}

impl From<TopicError> for MessagingError {
    fn from(error: TopicError) -> Self {
        Self::InvalidTopic(error.to_string())
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

impl From<&Properties> for WitProperties {
    fn from(properties: &Properties) -> Self {
        Self {
            response_topic: properties.response_topic.as_ref().map(|topic| topic.as_str().to_owned()),
            correlation_data: properties.correlation_data.as_ref().map(|data| data.to_vec()),
            content_type: properties.content_type.clone(),
            message_expiry: properties.message_expiry,
            utf8: properties.utf8,
            user_properties: properties.user_properties.clone(),
        }
    }
}

/// The guest's properties, if there are any in it, when MQTT can carry them.
fn checked(properties: WitProperties) -> Result<Option<Box<Properties>>, MessagingError> {
    let texts = properties.user_properties.iter().flat_map(|(name, value)| [name, value]);
    for text in texts.chain(&properties.content_type) {
        check_text(text)?;
    }
    if let Some(data) = properties.correlation_data.as_ref().filter(|data| data.len() > PROPERTY_BYTES) {
        return Err(too_long("correlation data", data.len()));
    }
    let properties = Properties {
        response_topic: properties.response_topic.map(Topic::new).transpose()?,
        correlation_data: properties.correlation_data.map(Bytes::from),
        content_type: properties.content_type,
        message_expiry: properties.message_expiry,
        utf8: properties.utf8,
        user_properties: properties.user_properties,
    };
    Ok((properties != Properties::default()).then(|| Box::new(properties)))
}

fn check_text(text: &str) -> Result<(), MessagingError> {
    if text.len() > PROPERTY_BYTES {
        return Err(too_long("a text property", text.len()));
    }
    if text.contains('\0') {
        return Err(MessagingError::InvalidProperty(format!("{text:?} contains U+0000, which MQTT forbids")));
    }
    Ok(())
}

fn too_long(what: &str, bytes: usize) -> MessagingError {
    MessagingError::InvalidProperty(format!(
        "{what} of {bytes} bytes is longer than the {PROPERTY_BYTES} that MQTT allows"
    ))
}
