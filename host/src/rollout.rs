//! Rollouts: how one version of a service replaces another.
//!
//! The supervisor has the [`loader`] compile a file and [`handover`] start an instance of it. The service's task then saves the
//! state of the running instance, loads it into the new one and attaches that. [`Rollout`] is the task's record of it: the
//! [`history`] of versions, the [`probation`] of a new one, and the feed of a [`shadow`]. It decides, and does nothing itself.

pub mod archive;
pub mod comparison;
pub mod compatibility;
pub mod compile_report;
pub mod component_file;
pub mod deployment;
pub mod first_version;
pub mod handover;
pub mod history;
pub mod loader;
pub mod probation;
pub mod rollback_event;
pub mod shadow;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::Swap;
use crate::guest::{Call, Component};
use crate::store::{Snapshot, VersionRecord};
use crate::version::Version;

use history::{HistoryEvent, VersionHistory};
use probation::{Decision, Probation};
use shadow::{Sample, ShadowFeed};

/// A former version that is restored when the running one fails its probation.
#[derive(Clone)]
pub struct Fallback {
    /// The component of the former version.
    pub component: Component,
    /// The state of the service when the former version was replaced.
    pub snapshot: Snapshot,
}

/// The probation of the running version.
struct Trial<F> {
    probation: Probation,
    fallback: F,
}

/// A time on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp {
    /// For durations.
    pub monotonic: Instant,
    /// Milliseconds since 1970 (UTC), for the history.
    pub unix_millis: u64,
}

impl Timestamp {
    /// The present time.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            monotonic: Instant::now(),
            unix_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The versions of one service: which one runs, whether it is on probation, and whether another one runs as its shadow.
///
/// `F` is what a rollback restores; it is of no concern to the decisions.
pub struct Rollout<F = Fallback> {
    history: Arc<VersionHistory>,
    trial: Option<Box<Trial<F>>>,
    /// The fallback of a version that was on probation when the host ended.
    interrupted: Option<F>,
    /// Boxed, since few services have one.
    shadow: Option<Box<ShadowFeed>>,
    /// The number of the last swap that was carried out or refused.
    concluded_swap: u64,
}

impl<F> Rollout<F> {
    /// Continues a history. `interrupted`: the fallback of a version that was on probation when the host ended.
    pub fn new(history: VersionHistory, interrupted: Option<F>) -> Self {
        Self {
            history: Arc::new(history),
            trial: None,
            interrupted,
            shadow: None,
            concluded_swap: 0,
        }
    }

    /// The history of versions.
    pub const fn history(&self) -> &Arc<VersionHistory> {
        &self.history
    }

    /// Returns the record of the versions for the disk, or `None` if the configuration keeps no versions. `snapshot` is the
    /// state of a version that was replaced.
    pub fn to_record(
        &self,
        rules: &Swap,
        snapshot: Option<(Version, Snapshot)>,
    ) -> Option<VersionRecord> {
        (rules.versions > 0).then(|| VersionRecord {
            history: VersionHistory::clone(&self.history),
            snapshot,
        })
    }

    /// Changes the history without a change of version.
    pub fn update_history(&mut self, change: impl FnOnce(&mut VersionHistory)) {
        change(Arc::make_mut(&mut self.history));
    }

    /// Whether the running version is on probation.
    pub const fn is_on_probation(&self) -> bool {
        self.trial.is_some()
    }

    /// Time at which the running version passes its probation.
    pub fn probation_end(&self) -> Option<Instant> {
        self.trial.as_ref().map(|trial| trial.probation.until())
    }

    /// Fallback that a rollback restores, while the running version is on probation.
    pub fn fallback(&self) -> Option<&F> {
        self.trial.as_ref().map(|trial| &trial.fallback)
    }

    /// Sets the fallback of a version that was on probation when the host ended, for a service that begins with it.
    pub fn set_interrupted(&mut self, interrupted: Option<F>) {
        self.interrupted = interrupted;
    }

    /// The first version of this run of the service starts. Its probation, if one was interrupted, begins again. Returns the
    /// version that ran before and is kept.
    pub fn on_started(
        &mut self,
        version: Version,
        rules: &Swap,
        now: Timestamp,
    ) -> Option<Version> {
        let history = Arc::make_mut(&mut self.history);
        let replaced = history.set_running(version, rules.versions);
        let note = String::new();
        history.record(Some(version), HistoryEvent::Started, note, now.unix_millis);

        let fallback = self.interrupted.take();
        self.trial = begin_trial(fallback, rules, now.monotonic);
        history.set_on_probation(self.trial.is_some());
        replaced
    }

    /// A new version replaces the running one; if there is a fallback, its probation begins. Returns the version that it
    /// replaced, if that is kept.
    pub fn on_swapped(
        &mut self,
        (version, note): (Version, String),
        fallback: Option<F>,
        rules: &Swap,
        now: Timestamp,
    ) -> Option<Version> {
        let history = Arc::make_mut(&mut self.history);
        let replaced = history.set_running(version, rules.versions);
        history.record(Some(version), HistoryEvent::Swapped, note, now.unix_millis);

        self.trial = begin_trial(fallback, rules, now.monotonic);
        // an interrupted probation of the same version, whose file was missing until now, begins again at the next start
        let is_on_probation = self.trial.is_some() || history.is_on_probation();
        history.set_on_probation(is_on_probation);
        replaced
    }

    /// The running version gets another section of the configuration; its probation, if there is one, continues.
    pub fn on_configured(&mut self, version: Version, note: String, rules: &Swap, at: u64) {
        let history = Arc::make_mut(&mut self.history);
        history.set_running(version, rules.versions);
        history.record(Some(version), HistoryEvent::Configured, note, at);
    }

    /// A fault that is the guest's own.
    pub fn on_fault(&mut self, now: Instant) -> Decision {
        self.trial
            .as_mut()
            .map_or(Decision::Continue, |trial| trial.probation.on_fault(now))
    }

    /// A message was handled.
    pub fn on_handled(&mut self) -> Decision {
        self.trial
            .as_mut()
            .map_or(Decision::Continue, |trial| trial.probation.on_handled())
    }

    /// The time of [`Self::probation_end`] has come.
    pub fn on_deadline(&self, now: Instant) -> Decision {
        self.trial
            .as_ref()
            .map_or(Decision::Continue, |trial| trial.probation.on_deadline(now))
    }

    /// Ends the probation of the running version. Returns whether there was one.
    pub fn pass(&mut self, version: Version, at: u64) -> bool {
        if self.trial.take().is_none() {
            return false;
        }
        let history = Arc::make_mut(&mut self.history);
        history.set_on_probation(false);
        history.record(Some(version), HistoryEvent::Passed, String::new(), at);
        true
    }

    /// The former version `to` runs again. Returns the faults that the rolled back version had in its probation.
    pub fn on_rolled_back(&mut self, to: Version, reason: &str, at: u64) -> u32 {
        let trial = self.trial.take();
        Arc::make_mut(&mut self.history).roll_back(to, reason, at);
        trial.map_or(0, |trial| trial.probation.faults())
    }

    /// The number of the last swap that was carried out or refused.
    pub const fn concluded_swap(&self) -> u64 {
        self.concluded_swap
    }

    /// Notes that a swap was carried out or refused.
    pub const fn set_concluded_swap(&mut self, number: u64) {
        self.concluded_swap = number;
    }

    /// Begins to mirror calls to a shadow, or with `None` ends it.
    pub fn set_shadow(&mut self, shadow: Option<ShadowFeed>) {
        self.shadow = shadow.map(Box::new);
    }

    /// A copy of the call for the shadow, if there is one.
    pub fn sample(&self, call: &Call) -> Option<Box<Sample>> {
        self.shadow.as_ref()?;
        Sample::of(call).map(Box::new)
    }

    /// Sends a copy to the shadow, and forgets a shadow that has ended.
    pub fn mirror(&mut self, sample: Sample) {
        if let Some(shadow) = &self.shadow
            && !shadow.send(sample)
        {
            self.shadow = None;
        }
    }
}

fn begin_trial<F>(fallback: Option<F>, rules: &Swap, now: Instant) -> Option<Box<Trial<F>>> {
    let fallback = fallback?;
    let probation = Probation::new(rules, now)?;
    Some(Box::new(Trial {
        probation,
        fallback,
    }))
}

#[cfg(test)]
mod tests;
