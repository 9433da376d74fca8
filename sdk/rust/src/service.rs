//! The trait that the runtime works with. `#[service]` implements it from the annotated methods of one `impl` block.

use std::ops::ControlFlow;

use crate::bindings::messaging::DeliveryOutcome;
use crate::encode::Encode;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::messaging::Token;

/// A service. Write [`#[service]`](macro@crate::service) on an `impl` block instead of implementing this.
pub trait Service: Sized + 'static {
    /// The handlers, in order of declaration.
    const HANDLERS: &'static [Handler<Self>] = &[];
    /// The loops, in order of declaration.
    const LOOPS: &'static [LoopSpec<Self>] = &[];
    /// The one-shot timers, in order of declaration.
    const TIMERS: &'static [TimerSpec<Self>] = &[];
    /// Whether the service has a method for messages that no handler takes.
    const HAS_FALLBACK: bool = false;

    /// Makes the service: the method with `#[new]`, or `Default::default()`.
    ///
    /// # Errors
    ///
    /// Keep the service from starting.
    fn create() -> Result<Self>;

    /// Runs when the service starts, after its handlers and loops are in place.
    ///
    /// # Errors
    ///
    /// Keep the service from starting.
    fn start(&mut self) -> Result {
        Ok(())
    }

    /// Runs when the service is stopped or replaced.
    ///
    /// # Errors
    ///
    /// Are logged.
    fn stop(&mut self) -> Result {
        Ok(())
    }

    /// Runs each time the connection to the broker is there.
    ///
    /// # Errors
    ///
    /// Are logged and counted.
    fn connected(&mut self, _session_present: bool) -> Result {
        Ok(())
    }

    /// Runs each time the connection to the broker is lost.
    ///
    /// # Errors
    ///
    /// Are logged and counted.
    fn disconnected(&mut self) -> Result {
        Ok(())
    }

    /// Runs when it is known what became of a message that was published with QoS 1 or 2.
    ///
    /// # Errors
    ///
    /// Are logged and counted.
    fn delivered(&mut self, _token: Token, _outcome: DeliveryOutcome) -> Result {
        Ok(())
    }

    /// Runs when the service's section has changed.
    ///
    /// # Errors
    ///
    /// Refuse the change.
    fn config_changed(&mut self) -> Result {
        Ok(())
    }

    /// Returns the bytes that the next version gets to `load`.
    ///
    /// # Errors
    ///
    /// Keep this version.
    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Takes over the bytes that the former version saved.
    ///
    /// # Errors
    ///
    /// Keep the former version.
    fn load(&mut self, _state: &[u8]) -> Result {
        Ok(())
    }

    /// Runs for a message that no handler takes.
    ///
    /// # Errors
    ///
    /// As in a handler.
    fn fallback(&mut self, _message: &Message<'_>) -> Result {
        Ok(())
    }
}

/// One annotated handler.
pub struct Handler<S> {
    /// The method's name.
    pub name: &'static str,
    /// Its filter.
    pub filter: &'static str,
    /// Whether the filter is a full one.
    pub global: bool,
    /// The highest quality of service in which messages are delivered.
    pub qos: u8,
    /// Calls the method with a topic; `None` when the topic does not match.
    pub call: fn(&mut S, topic: &str, message: &Message<'_>) -> Option<Result>,
}

/// One annotated loop.
pub struct LoopSpec<S> {
    /// Its name: that of the method, where it has no other.
    pub name: &'static str,
    /// When it runs.
    pub timing: Timing,
    /// Whether it runs without being started by hand.
    pub starts: bool,
    /// Calls the method.
    pub call: fn(&mut S) -> Result<ControlFlow<()>>,
}

/// When a loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Milliseconds between two runs.
    pub period: u64,
    /// Milliseconds before the first.
    pub delay: u64,
    /// Up to so many milliseconds more before the first, by chance.
    pub jitter: u64,
}

/// One annotated one-shot timer.
pub struct TimerSpec<S> {
    /// The names of timers for which the method runs: a name, or a pattern as a topic filter is one.
    pub pattern: &'static str,
    /// The method's name.
    pub name: &'static str,
    /// Calls the method with a timer's name; `None` when the name does not match.
    pub call: fn(&mut S, timer: &str) -> Option<Result>,
}

/// Return type of a handler: nothing, or a result with anything in it.
pub trait IntoOutcome {
    /// The result of the call.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn into_outcome(self) -> Result;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result {
        Ok(())
    }
}

impl<T, E: Into<Error>> IntoOutcome for std::result::Result<T, E> {
    fn into_outcome(self) -> Result {
        self.map(drop).map_err(Into::into)
    }
}

/// Return type of a method that saves: a value that can be a payload, or a result of one.
pub trait IntoSaved {
    /// The bytes that are handed over.
    ///
    /// # Errors
    ///
    /// The method's own, or when the value cannot be JSON.
    fn into_saved(self) -> Result<Vec<u8>>;
}

impl<T: Encode> IntoSaved for T {
    fn into_saved(self) -> Result<Vec<u8>> {
        self.encode().map(std::borrow::Cow::into_owned)
    }
}

impl<T: Encode, E: Into<Error>> IntoSaved for std::result::Result<T, E> {
    fn into_saved(self) -> Result<Vec<u8>> {
        self.map_err(Into::into)?.into_saved()
    }
}

/// Return type of a loop: nothing, a `ControlFlow` that stops it with `Break(())`, or a result of either.
pub trait IntoFlow {
    /// The result of the call.
    ///
    /// # Errors
    ///
    /// The loop's own.
    fn into_flow(self) -> Result<ControlFlow<()>>;
}

impl IntoFlow for () {
    fn into_flow(self) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }
}

impl IntoFlow for ControlFlow<()> {
    fn into_flow(self) -> Result<ControlFlow<()>> {
        Ok(self)
    }
}

impl<T: IntoFlow, E: Into<Error>> IntoFlow for std::result::Result<T, E> {
    fn into_flow(self) -> Result<ControlFlow<()>> {
        self.map_err(Into::into)?.into_flow()
    }
}
