//! The connections of one host to its broker: when each may connect, and the log lines about them. The members share one
//! back-off, one resolver, and the capabilities found so far.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::capability_probe::{AfterConnack, CapabilityProbe};
use super::clock::now;
use super::close_reason::CloseReason;
use super::connect_error::ConnectError;
use super::fallback::EXPIRY;
use super::outage::{FailureReport, Outage, OutageSummary};
use super::packet::{Reason, ServerCapabilities};
use super::presence_status::PresenceStatus;
use super::schedule::{FailureClass, NextAttempt, Role, Schedule};
use super::transport::Resolver;
use crate::message::Message;

/// The connections of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    shared: Arc<watch::Sender<Shared>>,
    pub(super) resolver: Arc<Resolver>,
}

#[derive(Debug)]
struct Shared {
    schedule: Schedule,
    outage: Outage,
    presence: PresenceStatus,
    capabilities: CapabilityProbe,
}

/// One of the connections.
#[derive(Debug)]
pub struct Member {
    pub group: Group,
    role: Role,
    service: String,
}

/// Permission for an attempt; the attempt is over when it is dropped.
pub struct AttemptPermit<'a>(&'a Member);

impl Drop for AttemptPermit<'_> {
    fn drop(&mut self) {
        let role = self.0.role;
        self.0.group.shared.send_if_modified(|shared| {
            shared.schedule.on_attempt_ended(role);
            role == Role::Presence
        });
    }
}

/// The log line about a new connection.
#[derive(Debug)]
pub struct ConnectedReport {
    pub client_id: String,
    pub session_present: bool,
    pub peer: String,
}

impl ConnectedReport {
    fn log(&self, outage: Option<OutageSummary>) {
        let Self {
            client_id, peer, ..
        } = self;
        let session = if self.session_present { "kept" } else { "new" };
        match outage.filter(|outage| outage.failures > 1) {
            Some(OutageSummary { failures, duration }) => {
                let seconds = duration.as_secs_f64();
                info!(
                    client_id,
                    session, "connected to {peer} after {failures} failures in {seconds:.1} s"
                );
            }
            None => info!(client_id, session, "connected to {peer}"),
        }
    }
}

impl Group {
    /// Creates a group; `min` and `max` are the waits of its back-off.
    pub fn new(min: Duration, max: Duration) -> Self {
        let shared = Shared {
            schedule: Schedule::new(min, max),
            outage: Outage::default(),
            presence: PresenceStatus::default(),
            capabilities: CapabilityProbe::default(),
        };
        Self {
            shared: Arc::new(watch::Sender::new(shared)),
            resolver: Arc::default(),
        }
    }

    /// Creates its main connection.
    pub fn main(self) -> Member {
        Member {
            group: self,
            role: Role::Main,
            service: String::new(),
        }
    }

    /// Creates a presence connection for `service`.
    pub fn presence(self, service: String) -> Member {
        self.shared.send_if_modified(|shared| {
            shared.presence.add(&service);
            false
        });
        Member {
            group: self,
            role: Role::Presence,
            service,
        }
    }

    fn update<T>(&self, update: impl FnOnce(&mut Shared) -> T) -> Option<T> {
        let mut outcome = None;
        self.shared
            .send_modify(|shared| outcome = Some(update(shared)));
        outcome
    }
}

impl Member {
    /// Waits until this connection may be attempted.
    pub async fn acquire_attempt(&self) -> AttemptPermit<'_> {
        let mut changes = self.group.shared.subscribe();
        loop {
            match self.try_acquire() {
                NextAttempt::Now => return AttemptPermit(self),
                NextAttempt::At(time) => tokio::select! {
                    () = sleep_until(time.into()) => {}
                    _ = changes.changed() => {}
                },
                // never an error: this end is one of the senders
                NextAttempt::AfterChange => _ = changes.changed().await,
            }
        }
    }

    fn try_acquire(&self) -> NextAttempt {
        let mut next = NextAttempt::AfterChange;
        self.group.shared.send_if_modified(|shared| {
            next = shared.schedule.next_attempt(self.role, now());
            if next == NextAttempt::Now {
                shared.schedule.on_attempt_started(self.role);
            }
            false
        });
        next
    }

    /// Applies other waits, and forgets the outage and the capabilities found so far.
    pub fn reconfigure(&self, min: Duration, max: Duration) {
        if self.role == Role::Main {
            self.group.update(|shared| {
                shared.schedule.reset(min, max);
                shared.outage = Outage::default();
                shared.capabilities = CapabilityProbe::default();
            });
        }
    }

    /// The part of the will `whole` that the next attempt is made with.
    pub fn reduced_will(&self, whole: Option<&Message>) -> Option<Message> {
        self.group
            .shared
            .borrow()
            .capabilities
            .reduced_will(whole?, self.role == Role::Main)
    }

    /// Handles a failed attempt with this will. True: the broker accepts less of it, and another attempt can be made at once.
    pub fn can_retry_with_less(&self, error: &ConnectError, will: Option<&Message>) -> bool {
        let main = self.role == Role::Main;
        self.with_capabilities(|capabilities| match error {
            ConnectError::Refused { reason, .. } => capabilities.on_refused(*reason, will),
            ConnectError::Io(_) if main => capabilities.on_closed(),
            _ => {
                if main {
                    capabilities.on_failed();
                }
                false
            }
        })
    }

    /// Handles a CONNACK with success, for `sent` in place of the will `whole`.
    pub fn on_accepted(&self, whole: Option<&Message>, sent: Option<&Message>) -> AfterConnack {
        match self.role {
            Role::Main => {
                self.with_capabilities(|capabilities| capabilities.on_accepted(whole, sent))
            }
            Role::Presence => AfterConnack::Serve,
        }
    }

    /// Handles that the broker ended a connection because it does not support a feature.
    pub fn on_unsupported(&self, feature: Reason) {
        self.with_capabilities(|capabilities| capabilities.on_unsupported(feature));
    }

    /// Takes features out of `server` that are known not to work. `host`: logs missing features.
    pub fn apply_capabilities(&self, server: &mut ServerCapabilities, host: bool) {
        let host = host && self.role == Role::Main;
        let warnings = self.with_capabilities(|capabilities| {
            capabilities.apply_to(server);
            if host {
                capabilities.new_warnings(server)
            } else {
                Vec::new()
            }
        });
        warnings.iter().for_each(|line| warn!("{line}"));
    }

    /// Whether this is a presence connection that was reported to find no place.
    pub fn is_without_place(&self) -> bool {
        self.group
            .shared
            .borrow()
            .presence
            .is_reported_missing(&self.service)
    }

    /// Whether this is a presence connection.
    pub fn is_presence(&self) -> bool {
        self.role == Role::Presence
    }

    /// The service whose will the connection carries, if it is a presence connection.
    pub fn presence_of(&self) -> Option<&str> {
        self.is_presence().then_some(self.service.as_str())
    }

    /// Accesses the capabilities, without waking the other members.
    fn with_capabilities<T: Default>(&self, access: impl FnOnce(&mut CapabilityProbe) -> T) -> T {
        let mut found = T::default();
        self.group.shared.send_if_modified(|shared| {
            found = access(&mut shared.capabilities);
            false
        });
        found
    }

    /// Handles a failed attempt.
    pub fn on_connect_failed(&self, error: &ConnectError, peer: &str) {
        let now = now();
        let jitter = fastrand::f64();
        let class = error.class();
        self.group.update(|shared| {
            shared.schedule.on_failed(self.role, class, now, jitter);
            match self.role {
                Role::Presence => shared.log_missing_presence(peer, &error.to_string()),
                Role::Main => match shared.outage.on_failed(error.label(), now) {
                    FailureReport::New if class == FailureClass::Persistent => {
                        error!("cannot connect to {peer}: {error}; trying again until it works");
                    }
                    FailureReport::New => warn!("cannot connect to {peer}: {error}; trying again until it works"),
                    FailureReport::Count(count) => {
                        warn!("still not connected to {peer}: {count} more failures; the last: {error}")
                    }
                    FailureReport::Nothing => debug!("still not connected to {peer}: {error}"),
                },
            }
        });
    }

    /// Handles a CONNACK with success. Returns the log line for when the connection has lasted for a while.
    pub fn on_connected(&self, report: ConnectedReport) -> Option<(Duration, ConnectedReport)> {
        let now = now();
        self.group
            .update(|shared| {
                shared.schedule.on_connected(self.role, now);
                if self.role == Role::Presence {
                    debug!("presence connection to {} is up", report.peer);
                    if shared.presence.on_connected(&self.service) {
                        info!("every service has a presence connection of its own again");
                    }
                    return None;
                }
                match shared.schedule.settle_time() {
                    Duration::ZERO => {
                        report.log(shared.outage.on_recovered(now));
                        None
                    }
                    wait => Some((wait, report)),
                }
            })
            .flatten()
    }

    /// Handles the end of a connection; the next attempt waits for `max_wait` at most. Returns the number that did not last, in a row.
    pub fn on_disconnected(
        &self,
        reason: &str,
        peer: &str,
        since: Instant,
        max_wait: Duration,
    ) -> u32 {
        let now = now();
        let jitter = fastrand::f64();
        let short = self.group.update(|shared| {
            shared
                .schedule
                .on_lost(self.role, since, now, (jitter, max_wait));
            if self.role == Role::Presence {
                shared.presence.on_lost(&self.service);
                shared.log_missing_presence(peer, reason);
                return 0;
            }
            match shared.outage.on_failed("lost", now) {
                FailureReport::New => warn!("connection to {peer} lost: {reason}; reconnecting"),
                FailureReport::Count(count) => warn!(
                    "connection to {peer} lost: {reason}; {count} more failures; reconnecting"
                ),
                FailureReport::Nothing => {
                    debug!("connection to {peer} lost: {reason}; reconnecting")
                }
            }
            shared.schedule.short_connections()
        });
        short.unwrap_or(0)
    }

    /// Runs a connection. Logs `report` when it has lasted for its time; a presence connection ends when the main one needs its place.
    pub async fn supervise(
        &self,
        report: Option<(Duration, ConnectedReport)>,
        running: impl Future<Output = CloseReason>,
    ) -> CloseReason {
        let mut running = pin!(running);
        let mut must_yield = pin!(self.wait_until_presence_must_yield());
        let mut report = report.map(|(wait, report)| (Box::pin(sleep(wait)), report));
        poll_fn(|context| {
            if let Some((timer, line)) = &mut report
                && timer.as_mut().poll(context).is_ready()
            {
                self.group
                    .update(|shared| line.log(shared.outage.on_recovered(now())));
                report = None;
            }
            if self.role == Role::Presence && must_yield.as_mut().poll(context).is_ready() {
                return Poll::Ready(CloseReason::Lost(
                    "the main connection needs its place".to_owned(),
                ));
            }
            running.as_mut().poll(context)
        })
        .await
    }

    async fn wait_until_presence_must_yield(&self) {
        let mut changes = self.group.shared.subscribe();
        // never an error: this end is one of the senders
        let _ = changes
            .wait_for(|shared| shared.schedule.presence_must_yield())
            .await;
    }
}

impl Shared {
    /// Logs that a presence connection is missing, and which services have none if that has changed.
    fn log_missing_presence(&mut self, peer: &str, reason: &str) {
        debug!("no presence connection to {peer}: {reason}");
        if let Some(without) = self.presence.on_failed(self.schedule.presence_failures()) {
            let without = without.join(", ");
            warn!(
                "no presence connection of their own: {without}; their `online` is announced over the main connection without a will, \
                 so that it expires {EXPIRY:?} after the host is gone, or stays with MQTT 3.1.1; trying again: {reason}"
            );
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.role == Role::Presence {
            self.group
                .update(|shared| shared.presence.remove(&self.service));
        }
    }
}
