//! Counts of messages and clients that the embedded broker refuses and drops, summed up in one log
//! line a minute for each kind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::warn;

/// How long events are collected before the first line.
const COLLECT: Duration = Duration::from_secs(1);
/// The time between two lines about the same.
const EVERY: Duration = Duration::from_secs(60);

/// Something that was refused or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Connections beyond `limits.connections`.
    Connections,
    /// Connections beyond `limits.pending`, before CONNECT.
    Pending,
    /// Connections that did not say CONNECT in time.
    Silent,
    /// Connections that said something else.
    Foreign,
    /// Connections that the system could not take.
    Accept,
    /// User name or password.
    Login,
    /// Sessions beyond `limits.sessions`.
    Sessions,
    /// Messages beyond `limits.retained`, with QoS 1 or 2.
    Quota,
    /// Subscriptions beyond `limits.subscriptions`.
    Subscriptions,
    /// Messages of QoS 0 for clients that do not read.
    Slow,
    /// Clients that were disconnected since they read nothing.
    Stalled,
    /// Connections that ended by another fault of the client.
    Faults,
}

impl Refusal {
    const fn text(self) -> &'static str {
        match self {
            Self::Connections => "connections refused, since there are limits.connections",
            Self::Pending => {
                "connections ended that had not said CONNECT, to make room beyond limits.pending"
            }
            Self::Silent => "connections ended that did not say CONNECT in time",
            Self::Foreign => "connections ended that said something else than CONNECT",
            Self::Accept => "connections lost, which the system could not take",
            Self::Login => "clients refused for user name or password",
            Self::Sessions => "sessions refused, since there are limits.sessions",
            Self::Quota => "messages refused beyond limits.retained",
            Self::Subscriptions => "subscriptions refused beyond limits.subscriptions",
            Self::Slow => "messages of QoS 0 dropped for clients that do not read",
            Self::Stalled => "clients disconnected that read nothing",
            Self::Faults => "connections ended by faults of clients",
        }
    }
}

/// RefusalLog, and who was the last.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    counts: Mutex<BTreeMap<Refusal, (u64, String)>>,
    changed: Notify,
    /// Bytes that wait for all clients together.
    pub waiting_bytes: AtomicUsize,
}

impl RefusalLog {
    /// Records an event; `last` says whose it is.
    pub(super) fn record(&self, refusal: Refusal, last: impl FnOnce() -> String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, name) = counts.entry(refusal).or_default();
        *count += 1;
        // the client is looked up once a line: a flood is to cost nothing
        if name.is_empty() {
            *name = last();
        }
        drop(counts);
        self.changed.notify_one();
    }

    /// Bytes that wait for a client changed.
    pub(super) fn update_waiting(&self, before: usize, after: usize) {
        if after >= before {
            self.waiting_bytes
                .fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.waiting_bytes
                .fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Returns the line that sums up the counts since the last one, and whether some kinds wait because they are among `told`.
    fn line(&self, told: &mut BTreeMap<Refusal, Instant>, now: Instant) -> (Option<String>, bool) {
        told.retain(|_, at| now.saturating_duration_since(*at) < EVERY);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (wait, tell) = std::mem::take(&mut *counts)
            .into_iter()
            .partition(|(refusal, _)| told.contains_key(refusal));
        *counts = wait;
        let tell: BTreeMap<Refusal, (u64, String)> = tell;
        told.extend(tell.keys().map(|refusal| (*refusal, now)));
        let part = |(refusal, (count, name)): (Refusal, (u64, String))| {
            format!("{count} {} (among them {name})", refusal.text())
        };
        let line =
            (!tell.is_empty()).then(|| tell.into_iter().map(part).collect::<Vec<_>>().join("; "));
        (line, !counts.is_empty())
    }

    /// Logs the line whenever there is one; each kind of event is told a minute apart.
    pub(super) async fn run(&self) {
        let mut told = BTreeMap::new();
        loop {
            self.changed.notified().await;
            loop {
                tokio::time::sleep(COLLECT).await;
                let (line, waits) = self.line(&mut told, Instant::now());
                if let Some(line) = line {
                    warn!("the embedded broker: {line}");
                }
                if !waits {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute_with_its_count() {
        let refusals = RefusalLog::default();
        let mut told = BTreeMap::new();
        let start = Instant::now();
        assert_eq!(refusals.line(&mut told, start), (None, false));
        for number in 0..3 {
            refusals.record(Refusal::Silent, || format!("client {number}"));
        }
        refusals.record(Refusal::Slow, || "anna".to_owned());
        let line = "3 connections ended that did not say CONNECT in time (among them client 0); \
            1 messages of QoS 0 dropped for clients that do not read (among them anna)";
        assert_eq!(
            refusals.line(&mut told, start),
            (Some(line.to_owned()), false)
        );
        refusals.record(Refusal::Slow, || "bert".to_owned());
        refusals.record(Refusal::Slow, || "carl".to_owned());
        assert_eq!(refusals.line(&mut told, start), (None, true));
        refusals.record(Refusal::Login, || "dora".to_owned());
        let line = "1 clients refused for user name or password (among them dora)";
        assert_eq!(
            refusals.line(&mut told, start + COLLECT),
            (Some(line.to_owned()), true)
        );
        let line = "2 messages of QoS 0 dropped for clients that do not read (among them bert)";
        assert_eq!(
            refusals.line(&mut told, start + EVERY),
            (Some(line.to_owned()), false)
        );
    }
}
