//! The calls of a service: the host's calls run the service's methods, in order of declaration, each call as a transaction.

use std::any::Any;

use crate::bindings::messaging::DeliveryOutcome;
use crate::counters::{self, count};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::messaging::{self, Token};
use crate::registry::{self, Clockwork};
use crate::service::Service;
use crate::{host, json, timers, topic};

/// Result of a call for the host: a text if it failed.
type Outcome = std::result::Result<(), String>;

/// A service that runs.
pub struct Runtime<S> {
    service: S,
}

impl<S: Service> Runtime<S> {
    /// Makes the service, subscribes what its handlers want, and sets its loops.
    ///
    /// # Errors
    ///
    /// The reason why the service cannot start.
    pub fn start() -> std::result::Result<Self, String> {
        registry::reset();
        counters::reset();
        json::reset();
        let made = S::create().and_then(|mut service| {
            subscribe::<S>()?;
            set_loops::<S>()?;
            service.start()?;
            Ok(Self { service })
        });

        registry::finish(made.is_ok());
        made.map_err(|error| error.to_string())
    }

    /// Handles one message: every handler that matches, then those that were added at run time, or else the fallback.
    ///
    /// # Errors
    ///
    /// That of the first handler that fails.
    pub fn handle(&mut self, topic: &str, payload: &[u8]) -> Outcome {
        let message = Message::new(topic, payload);
        let handled = self
            .annotated(&message)
            .and_then(|handled| Ok(self.added(&message)? || handled));
        finish(handled.and_then(|handled| {
            if handled {
                Ok(())
            } else {
                self.unhandled(&message)
            }
        }))
    }

    /// Runs what is due.
    ///
    /// # Errors
    ///
    /// That of the first method that fails.
    pub fn tick(&mut self) -> Outcome {
        finish(
            host::timers::due()
                .iter()
                .try_for_each(|timer| self.due(&timer.name)),
        )
    }

    /// Stops the service.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn stop(&mut self) -> Outcome {
        finish(self.service.stop())
    }

    /// The connection is there.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn connected(&mut self, session_present: bool) -> Outcome {
        finish(self.service.connected(session_present))
    }

    /// The connection is lost.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn disconnected(&mut self) -> Outcome {
        finish(self.service.disconnected())
    }

    /// It is known what became of a message.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn delivered(&mut self, token: Token, outcome: DeliveryOutcome) -> Outcome {
        finish(self.service.delivered(token, outcome))
    }

    /// The section has changed.
    ///
    /// # Errors
    ///
    /// Refuse the change.
    pub fn config_changed(&mut self) -> Outcome {
        json::reset();
        let outcome = finish(self.service.config_changed());
        if outcome.is_err() {
            json::reset();
        }
        outcome
    }

    /// Returns the bytes for the next version.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn save(&mut self) -> std::result::Result<Vec<u8>, String> {
        let saved = self.service.save();
        // whatever it asked for is not done
        registry::finish(false);
        saved.map_err(|error| error.to_string())
    }

    /// Takes over the bytes of the former version.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn load(&mut self, state: &[u8]) -> Outcome {
        finish(self.service.load(state))
    }

    /// Calls a method that serves an interface. It cannot fail: everything that it asked for happens.
    pub fn serve<T>(&mut self, call: impl FnOnce(&mut S) -> T) -> T {
        let value = call(&mut self.service);
        registry::finish(true);
        value
    }

    /// The service itself, for tests.
    pub fn service(&mut self) -> &mut S {
        &mut self.service
    }

    fn annotated(&mut self, message: &Message<'_>) -> Result<bool> {
        // the host is asked which kind of topic it is only where that makes a difference
        let mixed = S::HANDLERS.iter().any(|handler| handler.global) || registry::has_routes();
        let mut handled = false;
        for handler in S::HANDLERS {
            let Some(topic) = seen_topic(message, handler.global, mixed) else {
                continue;
            };
            if let Some(outcome) = (handler.call)(&mut self.service, topic, message) {
                handled = true;
                forgive(outcome, handler.name, message.topic())?;
            }
        }

        Ok(handled)
    }

    fn added(&mut self, message: &Message<'_>) -> Result<bool> {
        if !registry::has_routes() {
            return Ok(false);
        }
        let mut handled = false;
        for route in registry::routes() {
            if seen_topic(message, route.global, true)
                .is_some_and(|topic| topic::matches(&route.filter, topic))
            {
                handled = true;
                let service: &mut dyn Any = &mut self.service;
                forgive(
                    (route.handle)(service, message),
                    &route.filter,
                    message.topic(),
                )?;
            }
        }

        Ok(handled)
    }

    fn unhandled(&mut self, message: &Message<'_>) -> Result {
        if S::HAS_FALLBACK {
            return forgive(self.service.fallback(message), "fallback", message.topic());
        }
        count(|counters| counters.unhandled += 1);
        crate::warn!("no handler takes this message"; topic = message.topic(), count = counters::counters().unhandled);
        Ok(())
    }

    fn due(&mut self, timer: &str) -> Result {
        for own in S::LOOPS.iter().filter(|own| own.name == timer) {
            if forgive_flow((own.call)(&mut self.service), own.name)?.is_break() {
                host::timers::cancel(timer);
            }
        }
        for own in S::TIMERS {
            if let Some(outcome) = (own.call)(&mut self.service, timer) {
                forgive(outcome, own.name, timer)?;
            }
        }
        registry::clockworks()
            .iter()
            .try_for_each(|own| self.added_due(own, timer))
    }

    fn added_due(&mut self, own: &Clockwork, timer: &str) -> Result {
        let Some(tick) = &own.tick else { return Ok(()) };
        let meant = if own.timing.is_some() {
            own.name == timer
        } else {
            topic::matches(&own.name, timer)
        };
        if meant && forgive_flow(tick(&mut self.service, timer), &own.name)?.is_break() {
            host::timers::cancel(timer);
        }
        Ok(())
    }
}

/// The topic that a filter is compared with; `None` when the message is not of the filter's kind. A full filter may also
/// cover the service's own topics.
fn seen_topic<'m>(message: &'m Message<'_>, global: bool, mixed: bool) -> Option<&'m str> {
    match (global, mixed) {
        (true, _) => Some(message.full_topic()),
        (false, true) => message.is_relative().then(|| message.topic()),
        (false, false) => Some(message.topic()),
    }
}

/// Logs and counts a message that cannot be read instead of failing: trying again would not help.
fn forgive(outcome: Result, handler: &str, topic: &str) -> Result {
    match outcome {
        Err(error) if error.is_decode() => {
            count(|counters| counters.decode_errors += 1);
            let total = counters::counters().decode_errors;
            crate::warn!("cannot read a message: {}", error; topic = topic, handler = handler, count = total);
            Ok(())
        }
        other => other,
    }
}

fn forgive_flow<T>(
    outcome: Result<std::ops::ControlFlow<T>>,
    name: &str,
) -> Result<std::ops::ControlFlow<T>> {
    match outcome {
        Err(error) if error.is_decode() => {
            forgive(Err(error), name, name).map(|()| std::ops::ControlFlow::Continue(()))
        }
        other => other,
    }
}

fn finish(outcome: Result) -> Outcome {
    registry::finish(outcome.is_ok());
    outcome.map_err(|error: Error| error.to_string())
}

/// Subscribes once for each filter, with the highest QoS that a handler wants.
fn subscribe<S: Service>() -> Result {
    for (at, handler) in S::HANDLERS.iter().enumerate() {
        let same = |other: &&crate::service::Handler<S>| {
            other.filter == handler.filter && other.global == handler.global
        };
        if S::HANDLERS[..at].iter().any(|other| same(&other)) {
            continue;
        }
        let qos = S::HANDLERS.iter().filter(same).map(|other| other.qos).max();
        messaging::subscribe(handler.filter, handler.global, qos.unwrap_or(handler.qos))?;
    }

    Ok(())
}

fn set_loops<S: Service>() -> Result {
    for own in S::LOOPS {
        registry::wind(Clockwork {
            name: own.name.to_owned(),
            timing: Some(own.timing),
            tick: None,
        });
        if own.starts {
            timers::arm(own.name, own.timing, timers::jittered(own.timing))?;
        }
    }

    Ok(())
}
