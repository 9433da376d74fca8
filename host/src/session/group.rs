//! Actor's part: the connections of one host to its broker. In: attempts, connections and their ends. Out: whose turn it is to
//! connect, and the log lines about it. Owns the back-off that they share, and the one resolver.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::attempt::Failure;
use super::capability_probe::{CapabilityProbe, Verdict};
use super::connection::CloseReason;
use super::fallback::EXPIRY;
use super::now;
use super::outage::{Outage, Over, Say};
use super::packet::{Reason, ServerCapabilities};
use super::presence_status::PresenceStatus;
use super::schedule::{Role, Schedule, Trouble, Turn};
use super::transport::Resolver;
use crate::message::Message;

/// The connections of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    shared: Arc<watch::Sender<Shared>>,
    /// Looks up the broker's name for all of them.
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
    /// The service that a presence connection is for.
    service: String,
}

/// An attempt that may be made now; over when it is dropped.
pub struct Attempt<'a>(&'a Member);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let role = self.0.role;
        self.0.group.shared.send_if_modified(|shared| {
            shared.schedule.over(role);
            role == Role::Presence
        });
    }
}

/// What the log says of a connection that was made.
#[derive(Debug)]
pub struct Welcome {
    pub client_id: String,
    pub session_present: bool,
    pub peer: String,
}

impl Welcome {
    fn say(&self, over: Option<Over>) {
        let Self {
            client_id, peer, ..
        } = self;
        let session = if self.session_present { "kept" } else { "new" };
        match over.filter(|over| over.failures > 1) {
            Some(Over { failures, lasted }) => {
                let seconds = lasted.as_secs_f64();
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
    /// The group of a main connection: `min`, `max` are the waits of its back-off.
    pub fn new(min: Duration, max: Duration) -> Self {
        let (schedule, outage, places) = (
            Schedule::new(min, max),
            Outage::default(),
            PresenceStatus::default(),
        );
        let shared = Shared {
            schedule,
            outage,
            presence: places,
            capabilities: CapabilityProbe::default(),
        };
        Self {
            shared: Arc::new(watch::Sender::new(shared)),
            resolver: Arc::default(),
        }
    }

    /// Its main connection.
    pub fn main(self) -> Member {
        Member {
            group: self,
            role: Role::Main,
            service: String::new(),
        }
    }

    /// One more presence connection, for `service`.
    pub fn presence(self, service: String) -> Member {
        self.shared.send_if_modified(|shared| {
            shared.presence.join(&service);
            false
        });
        Member {
            group: self,
            role: Role::Presence,
            service,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> Option<T> {
        let mut outcome = None;
        self.shared
            .send_modify(|shared| outcome = Some(change(shared)));
        outcome
    }
}

impl Member {
    /// Waits until this connection may be attempted.
    pub async fn turn(&self) -> Attempt<'_> {
        let mut changes = self.group.shared.subscribe();
        loop {
            match self.claim() {
                Turn::Now => return Attempt(self),
                Turn::At(time) => tokio::select! {
                    () = sleep_until(time.into()) => {}
                    _ = changes.changed() => {}
                },
                // an error cannot be: this end is one of the senders
                Turn::Later => drop(changes.changed().await),
            }
        }
    }

    fn claim(&self) -> Turn {
        let mut turn = Turn::Later;
        self.group.shared.send_if_modified(|shared| {
            turn = shared.schedule.turn(self.role, now());
            if turn == Turn::Now {
                shared.schedule.begun(self.role);
            }
            false
        });
        turn
    }

    /// Other waits hold from now on.
    pub fn renew(&self, min: Duration, max: Duration) {
        if self.role == Role::Main {
            self.group.change(|shared| {
                shared.schedule.renew(min, max);
                (shared.outage, shared.capabilities) =
                    (Outage::default(), CapabilityProbe::default());
            });
        }
    }

    /// As much of the will `whole` as the next attempt is made with.
    pub fn will(&self, whole: Option<&Message>) -> Option<Message> {
        self.group
            .shared
            .borrow()
            .capabilities
            .will(whole?, self.role == Role::Main)
    }

    /// An attempt with this will failed. True: the broker takes less of it, and another attempt can be made at once.
    pub fn takes_less(&self, failure: &Failure, will: Option<&Message>) -> bool {
        let main = self.role == Role::Main;
        self.find_out(|capabilities| match failure {
            Failure::Refused { reason, .. } => capabilities.refused(*reason, will),
            Failure::Io(_) if main => capabilities.closed(),
            _ => {
                if main {
                    capabilities.failed();
                }
                false
            }
        })
    }

    /// CONNACK came with success, for `sent` in place of the will `whole`.
    pub fn accepted(&self, whole: Option<&Message>, sent: Option<&Message>) -> Verdict {
        match self.role {
            Role::Main => self.find_out(|capabilities| capabilities.accepted(whole, sent)),
            Role::Presence => Verdict::Serve,
        }
    }

    /// The broker ended a connection because it has not what was asked of it.
    pub fn unsupported(&self, what: Reason) {
        self.find_out(|capabilities| capabilities.unsupported(what));
    }

    /// Takes from `server` what was found to be otherwise; `host`: says what is missing then.
    pub fn limit(&self, server: &mut ServerCapabilities, host: bool) {
        let host = host && self.role == Role::Main;
        let missing = self.find_out(|capabilities| {
            capabilities.limit(server);
            if host {
                capabilities.missing(server)
            } else {
                Vec::new()
            }
        });
        missing.iter().for_each(|line| warn!("{line}"));
    }

    /// Whether it is a presence connection that was said to find no place.
    pub fn is_without_place(&self) -> bool {
        self.group
            .shared
            .borrow()
            .presence
            .is_without(&self.service)
    }

    /// Whether it is one for a service's will only.
    pub fn is_presence(&self) -> bool {
        self.role == Role::Presence
    }

    /// The service whose will the connection carries, if it is a presence connection.
    pub fn presence_of(&self) -> Option<&str> {
        self.is_presence().then_some(self.service.as_str())
    }

    /// Nobody waits for what is found out.
    fn find_out<T: Default>(&self, look: impl FnOnce(&mut CapabilityProbe) -> T) -> T {
        let mut found = T::default();
        self.group.shared.send_if_modified(|shared| {
            found = look(&mut shared.capabilities);
            false
        });
        found
    }

    /// An attempt failed.
    pub fn failed(&self, failure: &Failure, peer: &str) {
        let (now, jitter, trouble) = (now(), fastrand::f64(), failure.trouble());
        self.group.change(|shared| {
            shared.schedule.failed(self.role, trouble, now, jitter);
            match self.role {
                Role::Presence => shared.no_place(peer, &failure.to_string()),
                Role::Main => match shared.outage.failed(failure.kind(), now) {
                    Say::New if trouble == Trouble::Lasting => {
                        error!("cannot connect to {peer}: {failure}; trying again until it works");
                    }
                    Say::New => warn!("cannot connect to {peer}: {failure}; trying again until it works"),
                    Say::Count(count) => {
                        warn!("still not connected to {peer}: {count} more failures; the last: {failure}")
                    }
                    Say::Nothing => debug!("still not connected to {peer}: {failure}"),
                },
            }
        });
    }

    /// CONNACK came with success. Gives back what is to be said when the connection has lasted for a while.
    pub fn connected(&self, welcome: Welcome) -> Option<(Duration, Welcome)> {
        let now = now();
        self.group
            .change(|shared| {
                shared.schedule.connected(self.role, now);
                if self.role == Role::Presence {
                    debug!("its presence connection to {} is made", welcome.peer);
                    if shared.presence.up(&self.service) {
                        info!("every service has a presence connection of its own again");
                    }
                    return None;
                }
                match shared.schedule.settle() {
                    Duration::ZERO => {
                        welcome.say(shared.outage.over(now));
                        None
                    }
                    wait => Some((wait, welcome)),
                }
            })
            .flatten()
    }

    /// A connection ended that was there since `since`; the next attempt waits for `longest` at most. Gives back how many
    /// did not last, one after the other.
    pub fn lost(&self, reason: &str, peer: &str, since: Instant, longest: Duration) -> u32 {
        let (now, jitter) = (now(), fastrand::f64());
        let short = self.group.change(|shared| {
            shared
                .schedule
                .lost(self.role, since, now, (jitter, longest));
            if self.role == Role::Presence {
                shared.presence.down(&self.service);
                shared.no_place(peer, reason);
                return 0;
            }
            match shared.outage.failed("lost", now) {
                Say::New => warn!("connection to {peer} lost: {reason}; reconnecting"),
                Say::Count(count) => warn!(
                    "connection to {peer} lost: {reason}; {count} more failures; reconnecting"
                ),
                Say::Nothing => debug!("connection to {peer} lost: {reason}; reconnecting"),
            }
            shared.schedule.short()
        });
        short.unwrap_or(0)
    }

    /// Serves a connection. Says `welcome` when it has lasted for its time; a presence connection ends when the main one needs
    /// its place.
    pub async fn during(
        &self,
        welcome: Option<(Duration, Welcome)>,
        serving: impl Future<Output = CloseReason>,
    ) -> CloseReason {
        let (mut serving, mut room) = (pin!(serving), pin!(self.room_is_needed()));
        let mut welcome = welcome.map(|(wait, welcome)| (Box::pin(sleep(wait)), welcome));
        poll_fn(|context| {
            if let Some((timer, words)) = &mut welcome
                && timer.as_mut().poll(context).is_ready()
            {
                self.group
                    .change(|shared| words.say(shared.outage.over(now())));
                welcome = None;
            }
            if self.role == Role::Presence && room.as_mut().poll(context).is_ready() {
                return Poll::Ready(CloseReason::Lost(
                    "the main connection needs its place".to_owned(),
                ));
            }
            serving.as_mut().poll(context)
        })
        .await
    }

    async fn room_is_needed(&self) {
        let needed = |shared: &Shared| shared.schedule.must_make_room();
        // an error cannot be: this end is one of the senders
        drop(
            self.group
                .shared
                .subscribe()
                .wait_for(|shared| needed(shared))
                .await,
        );
    }
}

impl Shared {
    /// A presence connection is not there; says who has none if that has changed.
    fn no_place(&mut self, peer: &str, reason: &str) {
        debug!("no presence connection to {peer}: {reason}");
        if let Some(without) = self.presence.failed(self.schedule.presence_failures()) {
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
                .change(|shared| shared.presence.leave(&self.service));
        }
    }
}
