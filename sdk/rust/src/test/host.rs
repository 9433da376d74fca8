//! A host for one service under test. The test plays broker, clock and operator. A thread has one such host at a time.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::messaging::{DeliveryOutcome, MessageInfo, Properties, RequestError};
use crate::bindings::timers::DueTimer;
use crate::encode::Encode;
use crate::http::HttpRequest;
use crate::messaging::to_qos;
use crate::request::Response;
use crate::runtime::Runtime;
use crate::service::Service;
use crate::test::setup::Setup;
use crate::test::world::{LogLine, Request, Sent, with};
use crate::topic;

/// Result of a call of the service; the text is the one that the real host would log.
type Outcome = Result<(), String>;

/// A host for the service `S`; see the [module](crate::test).
pub struct TestHost<S> {
    runtime: Runtime<S>,
}

impl<S: Service> TestHost<S> {
    /// Sets up the world in which the service starts.
    pub fn setup() -> Setup<S> {
        Setup::new()
    }

    /// Starts the service with nothing special, tells it that it is connected, and runs the loops that are due at once.
    ///
    /// # Errors
    ///
    /// Those of the service's `start`, of `connected` and of these loops.
    pub fn start() -> Result<Self, String> {
        Self::setup().start()
    }

    pub(super) fn begin() -> Result<Self, String> {
        let started = Runtime::start();
        with(|world| world.finish(started.is_ok()));
        let mut host = Self { runtime: started? };
        host.connect(false)?;
        host.advance(Duration::ZERO)?;
        Ok(host)
    }

    /// Starts the service again, as after a crash or with a new version: only its state is as it was.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart(self) -> Result<Self, String> {
        with(|world| {
            world.timers.clear();
            world.subscriptions.clear();
        });
        Self::begin()
    }

    /// Has another version `T` of the service take its place: it starts, loads what this one saves, and runs the loops that are due
    /// at once. When it refuses, it is gone, and so is this one.
    ///
    /// # Errors
    ///
    /// Those of this service's `save`, and of the other's `start`, of its `load` and of these loops.
    pub fn swap<T: Service>(mut self) -> Result<TestHost<T>, String> {
        let saved = self.runtime.save();
        with(|world| world.finish(false));
        let saved = saved?;
        with(|world| {
            world.timers.clear();
            world.subscriptions.clear();
        });
        let started = Runtime::start();
        with(|world| world.finish(started.is_ok()));
        let mut host = TestHost { runtime: started? };
        host.call(|runtime| runtime.load(&saved))?;
        host.advance(Duration::ZERO)?;
        Ok(host)
    }

    /// Sends a message below the service's base topic.
    ///
    /// # Errors
    ///
    /// The service's own, or when it has not subscribed to such a topic.
    pub fn send(&mut self, topic: &str, payload: impl Encode) -> Outcome {
        self.message(topic).send(payload)
    }

    /// Sends a message to a full topic.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_global(&mut self, topic: &str, payload: impl Encode) -> Outcome {
        self.message(topic).global().send(payload)
    }

    /// A message with more to it than [`send`](Self::send) gives.
    pub fn message<'h>(&'h mut self, topic: &'h str) -> Incoming<'h, S> {
        Incoming {
            host: self,
            topic,
            global: false,
            qos: 0,
            retain: false,
            attempt: 1,
            properties: None,
        }
    }

    /// Moves the clock and runs every timer that becomes due, one after the other. The first error is returned, after all have
    /// run.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn advance(&mut self, span: Duration) -> Outcome {
        let end = with(|world| world.timers.now() + span);
        let mut outcome = Ok(());
        while let Some(name) = with(|world| world.timers.step(end)) {
            with(|world| world.due = vec![DueTimer { name, count: 1 }]);
            outcome = outcome.and(self.call(Runtime::tick));
        }
        outcome
    }

    /// Tells the service that the connection is there.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn connect(&mut self, session_present: bool) -> Outcome {
        if !session_present {
            with(|world| world.forget_session());
        }
        self.call(|runtime| runtime.connected(session_present))
    }

    /// Tells the service that the connection is lost.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn disconnect(&mut self) -> Outcome {
        self.call(Runtime::disconnected)
    }

    /// Tells the service what became of a message.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn deliver(&mut self, token: u64, outcome: DeliveryOutcome) -> Outcome {
        self.call(|runtime| runtime.delivered(token, outcome))
    }

    /// Changes the service's section; when the service refuses, it gets the old one back.
    ///
    /// # Errors
    ///
    /// The service's own: the change is refused.
    pub fn change_config(&mut self, section: serde_json::Value) -> Outcome {
        let old = with(|world| std::mem::replace(&mut world.config, section.to_string()));
        let outcome = self.call(Runtime::config_changed);
        if outcome.is_err() {
            with(|world| world.config = old);
        }
        outcome
    }

    /// Stops the service.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn stop(mut self) -> Outcome {
        self.call(Runtime::stop)
    }

    /// Answers the requests that the service makes from now on. Without it, they time out. [`Setup::answer`] answers those of the
    /// start, too.
    pub fn answer(
        &mut self,
        answer: impl FnMut(&Request) -> Result<Response, RequestError> + 'static,
    ) {
        with(|world| world.answer_requests(answer));
    }

    /// Answers the HTTP requests that the service makes from now on, with a status and a body, or says why there is no answer.
    /// Without it, there is no connection. [`Setup::answer_http`] answers those of the start, too.
    pub fn answer_http(
        &mut self,
        answer: impl FnMut(&HttpRequest) -> Result<(u16, String), String> + 'static,
    ) {
        with(|world| world.http_answer = Some(Box::new(answer)));
    }

    /// All HTTP requests since the start, in order.
    pub fn http_requests(&self) -> Vec<HttpRequest> {
        with(|world| world.http_requests.clone())
    }

    /// The next message that the service published and no call of this has returned yet.
    pub fn next_sent(&mut self) -> Option<Sent> {
        with(|world| world.unread.pop_front())
    }

    /// Fails the test unless the next published message is this one; returns it.
    #[track_caller]
    pub fn expect_next(&mut self, topic: &str, payload: impl Encode) -> Sent {
        let wanted = payload.encode().unwrap_or_default();
        let wanted = (topic, String::from_utf8_lossy(&wanted).into_owned());
        let Some(sent) = self.next_sent() else {
            panic!("nothing was published; {wanted:?} was expected")
        };
        assert_eq!((sent.topic.as_str(), sent.text()), wanted);
        sent
    }

    /// Fails the test when there is a published message that was not looked at.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        let unread = with(|world| Vec::from(std::mem::take(&mut world.unread)));
        assert!(
            unread.is_empty(),
            "nothing more was expected, and there is: {unread:#?}"
        );
    }

    /// Forgets the published messages that were not looked at.
    pub fn skip(&mut self) {
        with(|world| world.unread.clear());
    }

    /// All published messages since the start, in order.
    pub fn sent(&self) -> Vec<Sent> {
        with(|world| world.sent.clone())
    }

    /// The payload of the last message published to `topic`, as text.
    pub fn last(&self, topic: &str) -> Option<String> {
        with(|world| {
            world
                .sent
                .iter()
                .rev()
                .find(|sent| sent.topic == topic)
                .map(Sent::text)
        })
    }

    /// All requests since the start, in order.
    pub fn requests(&self) -> Vec<Request> {
        with(|world| world.requests.clone())
    }

    /// All lines that were logged since the start, in order.
    pub fn log(&self) -> Vec<LogLine> {
        with(|world| world.log.clone())
    }

    /// Returns the value that the service has kept under a key; `None` if there is none of that type.
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        with(|world| {
            world
                .state
                .get(key)
                .and_then(|value| serde_json::from_slice(value).ok())
        })
    }

    /// The full filters to which the service is subscribed.
    pub fn subscriptions(&self) -> Vec<String> {
        with(|world| world.subscriptions.keys().cloned().collect())
    }

    /// The names of the timers that are set.
    pub fn timers(&self) -> Vec<String> {
        with(|world| world.timers.names())
    }

    /// How long until a timer is due; `None` when it is not set.
    pub fn remaining(&self, timer: &str) -> Option<Duration> {
        with(|world| world.timers.remaining(timer))
    }

    /// Calls a method that serves an interface, as the host does for a caller: its publishes and its state take effect.
    pub fn serve<T>(&mut self, call: impl FnOnce(&mut S) -> T) -> T {
        let value = self.runtime.serve(call);
        with(|world| world.finish(true));
        value
    }

    /// The service itself.
    pub fn service(&mut self) -> &mut S {
        self.runtime.service()
    }

    fn call(&mut self, call: impl FnOnce(&mut Runtime<S>) -> Outcome) -> Outcome {
        let outcome = call(&mut self.runtime);
        with(|world| world.finish(outcome.is_ok()));
        outcome
    }
}

/// A message on its way to the service; see [`TestHost::message`].
#[must_use = "nothing arrives before `send`"]
pub struct Incoming<'h, S> {
    host: &'h mut TestHost<S>,
    topic: &'h str,
    global: bool,
    qos: u8,
    retain: bool,
    attempt: u32,
    properties: Option<Properties>,
}

impl<S: Service> Incoming<'_, S> {
    /// The topic is a full one.
    pub fn global(mut self) -> Self {
        self.global = true;
        self
    }

    /// The broker kept it from before the subscription.
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The quality of service: 0, 1 or 2.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// Which attempt at handling it this is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The properties that it carries.
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = Some(properties);
        self
    }

    /// Delivers it, where a subscription matches its topic exactly as MQTT says.
    ///
    /// # Errors
    ///
    /// The service's own, or when it has not subscribed to such a topic.
    pub fn send(self, payload: impl Encode) -> Outcome {
        let full = with(|world| world.full(self.topic, self.global));
        if !with(|world| {
            world
                .subscriptions
                .keys()
                .any(|filter| topic::matches(filter, &full))
        }) {
            return Err(format!("the service has not subscribed to {full}"));
        }

        let relative = with(|world| {
            full.strip_prefix(&world.identity.base_topic)
                .map(str::to_owned)
        });
        let info = MessageInfo {
            topic: full.clone(),
            relative: relative.is_some(),
            qos: to_qos(self.qos).map_err(|error| error.to_string())?,
            retain: self.retain,
            dup: self.attempt > 1,
            attempt: self.attempt,
            properties: self.properties,
        };

        with(|world| world.current = Some(info));
        let payload = payload.encode().map_err(|error| error.to_string())?;
        self.host
            .call(|runtime| runtime.handle(relative.as_deref().unwrap_or(&full), &payload))
    }
}
