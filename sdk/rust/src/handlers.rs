//! Handlers that are added at run time: a filter, a closure, and a subscription until it is removed.

use crate::error::Result;
use crate::message::Message;
use crate::messaging;
use crate::registry;
use crate::service::{IntoOutcome, Service};

/// A handler for `filter`, to be added while the service runs. Several handlers may have the same filter: all of them run,
/// those that are annotated first.
///
/// ```
/// use miqro_sdk::prelude::*;
///
/// #[derive(Default)]
/// struct Lamps;
///
/// #[service]
/// impl Lamps {
///     #[handle("add")]
///     fn add(&mut self, lamp: &str) -> Result {
///         handler(&format!("zigbee2mqtt/{lamp}")).global().call(|_: &mut Lamps, message| publish("seen", message.topic()))?;
///         Ok(())
///     }
/// }
///
/// # let mut host = miqro_sdk::test::TestHost::<Lamps>::setup().grant("zigbee2mqtt/#").start().unwrap();
/// # host.send("add", "kitchen").unwrap();
/// # host.send_global("zigbee2mqtt/kitchen", "on").unwrap();
/// # host.expect_next("seen", "zigbee2mqtt/kitchen");
/// ```
pub fn handler(filter: &str) -> NewHandler<'_> {
    NewHandler {
        filter,
        global: false,
        qos: 1,
    }
}

/// A handler in the making; see [`handler`].
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is handled before `call`"]
pub struct NewHandler<'a> {
    filter: &'a str,
    global: bool,
    qos: u8,
}

impl NewHandler<'_> {
    /// The filter is a full one, which takes a grant.
    pub fn global(mut self) -> Self {
        self.global = true;
        self
    }

    /// The highest quality of service in which messages are delivered: 0, 1 (the default) or 2.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// Subscribes, and calls `handle` for each message, beginning with the next one.
    ///
    /// # Errors
    ///
    /// A [`MessagingError`](crate::MessagingError).
    pub fn call<S, R>(
        self,
        handle: impl Fn(&mut S, &Message<'_>) -> R + 'static,
    ) -> Result<HandlerId>
    where
        S: Service,
        R: IntoOutcome,
    {
        messaging::subscribe(self.filter, self.global, self.qos)?;
        let handle = registry::erase(move |service: &mut S, message: &Message<'_>| {
            handle(service, message).into_outcome()
        });
        Ok(HandlerId(registry::add_route(
            self.filter,
            self.global,
            handle,
        )))
    }
}

/// Names a handler that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandlerId(u64);

impl HandlerId {
    /// Removes the handler. The subscription ends with the last handler that was added for its filter, unless an annotated
    /// one of `S` has it too.
    ///
    /// # Errors
    ///
    /// A [`MessagingError`](crate::MessagingError).
    pub fn remove<S: Service>(self) -> Result {
        match registry::remove_route(self.0) {
            Some((filter, global))
                if !S::HANDLERS
                    .iter()
                    .any(|own| own.filter == filter && own.global == global) =>
            {
                messaging::unsubscribe(&filter, global)
            }
            _ => Ok(()),
        }
    }
}
