//! Timers task: wakes services when their timers are due.
//!
//! A service keeps its own timers ([`set::TimerSet`]); after each wake-up or change it sets the time of the next one. This task has
//! one deadline for each service, and needs one timer of the runtime for all of them. The runtime's timers have a resolution of a
//! millisecond and are never early, so a wake-up is late by about a millisecond. With many services, wake-ups are bundled and may be
//! late by two more.

pub mod heap;
pub mod set;

use std::collections::HashMap;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::mailbox;
use crate::router::ServiceId;
use heap::Heap;

/// Commands that may wait; sending one more waits for room.
const COMMANDS: usize = 1024;

/// Number of waiting services above which wake-ups are bundled.
const MANY: usize = 1000;

/// Time between two wake-ups of the task when there are many services: one costs more than notifying a dozen services.
const BUNDLED: Duration = Duration::from_millis(2);

/// Creates the timers task, to be run, and the first handle to it.
pub fn timers() -> (Timers, Handle) {
    let (sender, commands) = mpsc::channel(COMMANDS);
    let timers = Timers {
        commands,
        deadlines: Heap::new(),
        services: HashMap::new(),
        woken: Instant::now(),
    };

    (timers, Handle { commands: sender })
}

#[derive(Debug)]
enum Command {
    Register(ServiceId, mailbox::Sender),
    Set(ServiceId, Option<Instant>),
    Remove(ServiceId),
}

/// Handle to the timers task. When the task has ended, commands have no effect.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Registers the mailbox of a service, before any time is set. Replaces an earlier mailbox and its time.
    pub async fn register(&self, service: ServiceId, mailbox: mailbox::Sender) {
        self.send(Command::Register(service, mailbox)).await;
    }

    /// Wakes the service once at `at`, or now if that is past. Replaces an earlier time. `None`: no wake-up.
    pub async fn set(&self, service: ServiceId, at: Option<Instant>) {
        self.send(Command::Set(service, at)).await;
    }

    /// Removes the service.
    pub async fn remove(&self, service: ServiceId) {
        self.send(Command::Remove(service)).await;
    }

    async fn send(&self, command: Command) {
        // fails only when the task has ended: the host is stopping
        let _ = self.commands.send(command).await;
    }
}

/// Timers of all services.
#[derive(Debug)]
pub struct Timers {
    commands: mpsc::Receiver<Command>,
    services: HashMap<ServiceId, Service>,
    /// May hold outdated entries, which are skipped when they come up.
    deadlines: Heap<ServiceId>,
    /// Time of the last wake-up.
    woken: Instant,
}

#[derive(Debug)]
struct Service {
    mailbox: mailbox::Sender,
    at: Option<Instant>,
}

impl Timers {
    /// Wakes services until all handles are dropped.
    pub async fn run(mut self) {
        let mut commands = Vec::new();
        loop {
            let wake_up = sleep_until(self.next_wake_up());
            tokio::select! {
                received = self.commands.recv_many(&mut commands, COMMANDS) => {
                    if received == 0 {
                        return;
                    }
                    commands.drain(..).for_each(|command| self.on_command(command));
                }
                () = wake_up => self.wake(Instant::now()),
            }
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let (at, _) = self.deadlines.peek()?;
        Some(if self.deadlines.entries() > MANY {
            at.max(self.woken + BUNDLED)
        } else {
            at
        })
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Register(service, mailbox) => {
                self.services.insert(service, Service { mailbox, at: None });
            }
            Command::Set(service, at) => self.set(service, at),
            Command::Remove(service) => {
                self.services.remove(&service);
            }
        }

        let services = &self.services;
        let holds = |at, id| {
            services
                .get(&id)
                .is_some_and(|service| service.at == Some(at))
        };
        self.deadlines.tidy(services.len(), holds);
    }

    fn set(&mut self, id: ServiceId, at: Option<Instant>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        if service.at != at {
            service.at = at;
            if let Some(at) = at {
                self.deadlines.push(at, id);
            }
        }
    }

    fn wake(&mut self, now: Instant) {
        self.woken = now;
        while let Some((at, id)) = self.deadlines.pop_due(now) {
            if let Some(service) = self
                .services
                .get_mut(&id)
                .filter(|service| service.at == Some(at))
            {
                service.at = None;
                service.mailbox.wake_timers();
            }
        }
    }
}

/// Waits until `at`; without one, forever.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::config::WhenFull;
    use crate::mailbox::{Limits, Mailbox, Next};
    use std::time::Duration;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn service(handle: &Handle, id: u32) -> Mailbox {
        let limits = Limits {
            messages: 1,
            bytes: usize::MAX,
            when_full: WhenFull::DropNewest,
        };
        let (sender, mailbox) = mailbox::mailbox(limits);
        handle.register(ServiceId(id), sender).await;
        mailbox
    }

    async fn rung(mailbox: &mut Mailbox) -> Instant {
        assert_eq!(
            timeout(PATIENCE, mailbox.next()).await.unwrap(),
            Next::Timers
        );
        Instant::now()
    }

    #[tokio::test]
    async fn rings_once_and_never_early() {
        let (timers, handle) = timers();
        let running = tokio::spawn(timers.run());
        let mut a = service(&handle, 1).await;
        let mut b = service(&handle, 2).await;
        let start = Instant::now();
        let [soon, later] = [20, 60].map(|ms| start + Duration::from_millis(ms));
        handle.set(ServiceId(1), Some(later)).await;
        handle.set(ServiceId(2), Some(soon)).await;
        assert!(rung(&mut b).await >= soon);
        assert!(rung(&mut a).await >= later);
        assert_eq!((a.try_next(), b.try_next()), (None, None));
        drop(handle);
        timeout(PATIENCE, running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn past_timers_fire_at_once_and_removed_ones_never() {
        let (timers, handle) = timers();
        tokio::spawn(timers.run());
        let mut boxes = Vec::new();
        for id in 0..4 {
            boxes.push(service(&handle, id).await);
        }
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        handle.set(ServiceId(0), at(10)).await;
        handle.set(ServiceId(0), None).await;
        handle.set(ServiceId(1), at(10)).await;
        handle.remove(ServiceId(1)).await;
        handle.set(ServiceId(2), at(3_600_000)).await;
        handle.set(ServiceId(2), at(50)).await;
        handle.set(ServiceId(3), Some(start)).await;
        assert!(rung(&mut boxes[3]).await < start + PATIENCE);
        // the ring at 50 ms shows that those at 10 ms would have come
        assert!(rung(&mut boxes[2]).await >= start + Duration::from_millis(50));
        assert_eq!(boxes[0].try_next(), None);
        assert_eq!(boxes[1].try_next(), Some(Next::Closed));
    }

    #[tokio::test]
    async fn the_timer_task_ends_with_its_last_handle() {
        let (timers, handle) = timers();
        let other = handle.clone();
        let mut mailbox = service(&handle, 1).await;
        handle
            .set(
                ServiceId(1),
                Some(Instant::now() + Duration::from_secs(3600)),
            )
            .await;

        drop((handle, other));
        timeout(PATIENCE, timers.run()).await.unwrap();
        assert_eq!(mailbox.try_next(), Some(Next::Closed));
    }
}
