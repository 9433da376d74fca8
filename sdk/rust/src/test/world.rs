//! A small host: everything that it keeps, and the effects of one call, which are committed if the call succeeds and dropped if it fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::bindings::config::Identity;
use crate::bindings::log::Level;
use crate::bindings::messaging::{
    MessageInfo, OnlyIfChanged, Properties, PublishOptions, RequestError, Response,
};
use crate::bindings::timers::DueTimer;
use crate::http::HttpRequest;
use crate::request;
use crate::test::timers::{TimerChange, Timers};
use crate::topic;

/// A message that the service published.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The topic as the service wrote it: relative to its base topic, or full where `global` is.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The quality of service: 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Whether the topic is a full one.
    pub global: bool,
    /// Its properties.
    pub properties: Option<Properties>,
    /// Its token in `delivered`; `None` for QoS 0.
    pub token: Option<u64>,
    pub(super) only_if_changed: Option<OnlyIfChanged>,
}

impl Sent {
    /// Returns the payload as text, with replacements for invalid bytes.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A request that the service made.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The topic as the service wrote it.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Whether the topic is a full one.
    pub global: bool,
    /// How long it would wait.
    pub timeout: Duration,
    /// Its properties.
    pub properties: Option<Properties>,
}

/// A line that the service logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How important it is.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its fields, as name and value.
    pub fields: Vec<(String, String)>,
}

type HttpAnswer = Box<dyn FnMut(&HttpRequest) -> Result<(u16, String), String>>;
type Answer = Box<dyn FnMut(&Request) -> Result<Response, RequestError>>;

pub(crate) struct World {
    pub(crate) identity: Identity,
    pub(crate) config: String,
    pub(crate) grants: Vec<String>,
    pub(crate) wall: Duration,
    pub(crate) timers: Timers,
    pub(crate) chance: u64,
    pub(crate) subscriptions: BTreeMap<String, u8>,
    pub(crate) state: BTreeMap<String, Vec<u8>>,
    pub(crate) unread: VecDeque<Sent>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) requests: Vec<Request>,
    pub(crate) answer: Option<Answer>,
    pub(crate) http_requests: Vec<HttpRequest>,
    pub(crate) http_answer: Option<HttpAnswer>,
    pub(crate) log: Vec<LogLine>,
    pub(crate) current: Option<MessageInfo>,
    pub(crate) due: Vec<DueTimer>,
    pub(crate) effects: Effects,
    last_sent: HashMap<String, (Vec<u8>, Duration)>,
    last_token: u64,
}

/// Effects of one call.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) state: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) timers: Vec<TimerChange>,
    /// Full filters; `None` ends the subscription.
    pub(crate) subscriptions: Vec<(String, Option<u8>)>,
    pub(crate) sent: Vec<Sent>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub(crate) fn with<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

impl Default for World {
    fn default() -> Self {
        Self {
            identity: Identity {
                name: "test".to_owned(),
                base_topic: "service/test/".to_owned(),
                discovery_prefix: "homeassistant".to_owned(),
            },
            config: "{}".to_owned(),
            grants: Vec::new(),
            // 2026-01-01, so that a date in a test is the same on every day
            wall: Duration::from_secs(1_767_225_600),
            timers: Timers::default(),
            chance: 0,
            subscriptions: BTreeMap::new(),
            state: BTreeMap::new(),
            unread: VecDeque::new(),
            sent: Vec::new(),
            requests: Vec::new(),
            answer: None,
            http_requests: Vec::new(),
            http_answer: None,
            log: Vec::new(),
            current: None,
            due: Vec::new(),
            effects: Effects::default(),
            last_sent: HashMap::new(),
            last_token: 0,
        }
    }
}

impl World {
    /// Answers the service's requests.
    pub(crate) fn answer_requests(
        &mut self,
        mut answer: impl FnMut(&Request) -> Result<request::Response, RequestError> + 'static,
    ) {
        let answer = move |request: &Request| {
            let response = answer(request)?;
            Ok(Response {
                payload: response.payload,
                properties: response.properties,
            })
        };

        self.answer = Some(Box::new(answer));
    }

    pub(crate) fn full(&self, topic: &str, global: bool) -> String {
        if global {
            return topic.to_owned();
        }
        match topic
            .strip_prefix("$share/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((group, filter)) => format!("$share/{group}/{}{filter}", self.identity.base_topic),
            None => format!("{}{topic}", self.identity.base_topic),
        }
    }

    /// Whether the service may use `full`: below its base topic, or granted.
    pub(crate) fn is_granted(&self, full: &str) -> bool {
        let bare = topic::without_share(full);
        bare.starts_with(&self.identity.base_topic)
            || self
                .grants
                .iter()
                .any(|grant| grant == bare || topic::matches(grant, bare))
    }

    pub(crate) fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        options: Option<&PublishOptions>,
    ) -> Option<u64> {
        let qos = options.map_or(0, |options| crate::messaging::qos_number(options.qos));
        let token = (qos > 0).then(|| {
            self.last_token += 1;
            self.last_token
        });
        self.effects.sent.push(Sent {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            qos,
            retain: options.is_some_and(|options| options.retain),
            global: options.is_some_and(|options| options.global),
            properties: options.and_then(|options| options.properties.clone()),
            token,
            only_if_changed: options.and_then(|options| options.only_if_changed),
        });

        token
    }

    /// Ends a call, as the host does: in the order state, timers, subscriptions, publishes.
    pub(crate) fn finish(&mut self, well: bool) {
        let effects = std::mem::take(&mut self.effects);
        (self.current, self.due) = (None, Vec::new());
        if !well {
            return;
        }
        for (key, value) in effects.state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }

        effects
            .timers
            .into_iter()
            .for_each(|change| self.timers.apply(change));
        for (filter, qos) in effects.subscriptions {
            match qos {
                Some(qos) => self.subscriptions.insert(filter, qos),
                None => self.subscriptions.remove(&filter),
            };
        }

        effects.sent.into_iter().for_each(|sent| self.send(sent));
    }

    /// Forgets the messages that the broker was given: it has lost the session.
    pub(crate) fn forget_session(&mut self) {
        self.last_sent.clear();
    }

    fn send(&mut self, sent: Sent) {
        let full = self.full(&sent.topic, sent.global);
        let now = self.timers.now();
        let same = self
            .last_sent
            .get(&full)
            .filter(|(payload, _)| *payload == sent.payload);
        let left_out = match (sent.only_if_changed, same) {
            (Some(OnlyIfChanged::Always), Some(_)) => true,
            (Some(OnlyIfChanged::Within(span)), Some((_, then))) => {
                now - *then < Duration::from_millis(span)
            }
            _ => false,
        };

        if !left_out {
            self.last_sent.insert(full, (sent.payload.clone(), now));
            self.sent.push(sent.clone());
            self.unread.push_back(sent);
        }
    }
}
