//! Clients that acknowledge nothing further, and the broker's hint that messages for them go to
//! their bounded queue.
//!
//! The broker hands messages of QoS 1 and 2 to a channel of each connection, which is bounded in
//! messages alone. As long as they are small, that is a bound in bytes too. When a larger one comes,
//! the messages for clients whose window is full go to the queue, which is bounded in bytes, as if
//! the clients were away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueHandle;

use crate::config::BrokerLimits;

use super::retained_usage::RetainedUsage;

/// How many messages of each kind the crate hands to a connection that is busy. Retained messages of QoS 0 beyond it are dropped at a
/// subscription.
pub(super) const CHANNEL: usize = 10_000;
/// The broker numbers its connections from the time on; this is none of those numbers.
const DIVERTED: u64 = u64::MAX;

/// State of a connected client.
pub(super) struct Client {
    /// The bounds.
    pub limits: Arc<BrokerLimits>,
    /// How many messages of QoS 1 and 2 it has under way at most.
    pub window: usize,
    /// Its identifier and queue, once the broker has accepted it.
    session: OnceLock<(Arc<str>, QueueHandle)>,
    full: AtomicBool,
    diverted: AtomicBool,
    full_clients: Arc<FullClients>,
    retained: Arc<Mutex<RetainedUsage>>,
}

/// The clients whose window is full.
#[derive(Default)]
pub(super) struct FullClients {
    /// How many there are.
    count: AtomicUsize,
    clients: Mutex<HashMap<Arc<str>, Weak<Client>>>,
}

impl FullClients {
    /// A message of so many bytes is about to be routed.
    pub(super) fn on_publish(&self, bytes: usize, small: usize) {
        if self.count.load(Ordering::Acquire) == 0 || bytes <= small {
            return;
        }
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .values()
            .filter_map(Weak::upgrade)
            .for_each(|client| client.divert());
    }
}

impl Client {
    /// A client that is about to be connected.
    pub(super) fn new(
        limits: Arc<BrokerLimits>,
        window: usize,
        full_clients: Arc<FullClients>,
        retained: Arc<Mutex<RetainedUsage>>,
    ) -> Arc<Self> {
        let full = AtomicBool::new(false);
        let diverted = AtomicBool::new(false);
        Arc::new(Self {
            limits,
            window,
            session: OnceLock::new(),
            full,
            diverted,
            full_clients,
            retained,
        })
    }

    /// Whether the broker refuses to keep a message of `bytes` for `topic`.
    pub(super) fn exceeds_limit(&self, topic: &[u8], bytes: usize) -> bool {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        retained.exceeds_limit(topic, bytes, self.limits.retained)
    }

    /// The broker has accepted it under this identifier.
    pub(super) fn on_accepted(&self, id: Arc<str>, router: &MessageRouter) {
        let queue = router.queue_handle(&id);
        // an error means that it was accepted before
        let _ = self.session.set((id, queue));
    }

    /// How it is called in the log.
    pub(super) fn name(&self) -> String {
        self.session
            .get()
            .map_or_else(|| "a client".to_owned(), |(id, _)| format!("client {id:?}"))
    }

    /// Whether its window is full from now on.
    pub(super) fn set_full(self: &Arc<Self>, full: bool) {
        if self.full.swap(full, Ordering::AcqRel) == full {
            return;
        }
        let Some((id, queue)) = self.session.get() else {
            return;
        };
        let mut clients = self
            .full_clients
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if full {
            clients.insert(Arc::clone(id), Arc::downgrade(self));
        } else if clients
            .get(id)
            .is_some_and(|of| std::ptr::eq(of.as_ptr(), Arc::as_ptr(self)))
        {
            clients.remove(id);
        }

        self.full_clients
            .count
            .store(clients.len(), Ordering::Release);
        drop(clients);
        if !full && self.diverted.swap(false, Ordering::AcqRel) {
            queue.mark_bound(DIVERTED);
            queue.notify();
        }
    }

    fn divert(&self) {
        if let Some((_, queue)) = self.session.get()
            && !queue.awaiting_bind()
        {
            self.diverted.store(true, Ordering::Release);
            queue.expect_bind(DIVERTED);
        }
    }
}
