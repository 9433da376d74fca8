//! The session's end of the command channels: commands as there is room for them, new settings, and the order to stop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};

use super::clock::now;
use super::command::{Inputs, QueuedCommand};
use super::dispatcher::Dispatcher;
use crate::config;

/// Commands taken at once.
const BATCH: usize = 512;
/// How long a stop may take when all handles were dropped without `Handle::stop`.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands as they come.
#[derive(Debug)]
pub(super) struct CommandSource {
    inputs: Inputs,
    batch: Vec<QueuedCommand>,
    /// Commands were left in the channel because there was no room for their messages.
    is_held_up: bool,
    /// The deadline of a stop.
    stop: Option<Pin<Box<Sleep>>>,
    /// All handles are gone.
    is_abandoned: bool,
    /// When a service has to be told that a message was not taken in time.
    expiry: Option<Pin<Box<Sleep>>>,
    /// Settings to connect with from now on.
    pub new_settings: Option<Box<config::Connection>>,
}

impl CommandSource {
    pub(super) fn new(inputs: Inputs) -> Self {
        Self {
            inputs,
            batch: Vec::with_capacity(BATCH),
            is_held_up: false,
            stop: None,
            is_abandoned: false,
            expiry: None,
            new_settings: None,
        }
    }

    /// Takes commands while there is room for their messages, and notes an order to stop.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, dispatcher: &mut Dispatcher) {
        if self.stop.is_none()
            && let Poll::Ready(deadline) = self.inputs.stop.poll_recv(context)
        {
            let deadline = deadline.unwrap_or_else(|| now() + ABANDONED_TIMEOUT);
            self.stop = Some(Box::pin(sleep_until(deadline.into())));
            dispatcher.state.close();
        }

        self.poll_expiry(context, dispatcher);
        if let Poll::Ready(Some(settings)) = self.inputs.settings.poll_recv(context) {
            self.new_settings = Some(settings);
            // the next one may have come already
            context.waker().wake_by_ref();
        }

        while !self.is_abandoned && dispatcher.state.has_room() {
            let received = self
                .inputs
                .commands
                .poll_recv_many(context, &mut self.batch, BATCH);
            match received {
                Poll::Pending => break,
                Poll::Ready(0) => self.is_abandoned = true,
                Poll::Ready(_) => self
                    .batch
                    .drain(..)
                    .for_each(|queued| dispatcher.handle_command(queued.command)),
            }
        }

        self.is_held_up = !dispatcher.state.has_room();
    }

    /// Whether there is room again for commands that were left in the channel: no waker is registered for them.
    pub(super) fn can_continue(&self, dispatcher: &Dispatcher) -> bool {
        self.is_held_up && dispatcher.state.has_room()
    }

    fn poll_expiry(&mut self, context: &mut Context<'_>, dispatcher: &mut Dispatcher) {
        while let Some(deadline) = dispatcher.next_expiry() {
            let timer = self
                .expiry
                .get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
            if timer.as_mut().poll(context).is_pending() {
                return;
            }
            self.expiry = None;
            dispatcher.expire_deliveries(now());
        }
    }

    /// Ready: the session has to end now. It was told to stop, and nothing is left or the time is over.
    pub(super) fn poll_stop(&mut self, context: &mut Context<'_>, is_drained: bool) -> Poll<()> {
        let Some(deadline) = &mut self.stop else {
            return Poll::Pending;
        };
        if is_drained && self.inputs.commands.is_empty() {
            return Poll::Ready(());
        }
        deadline.as_mut().poll(context)
    }
}
