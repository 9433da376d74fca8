//! Actor: how one version of a service takes another's place. In: started instances, faults of a version on probation. Out: the state
//! handed over between two messages, the former version put back when the new one fails, the history written. Owns nothing.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tracing::{Instrument, error, info, warn};

use super::Task;
use crate::config;
use crate::effects::Effects;
use crate::guest::{Component, Fault, OptionalExport};
use crate::rollout::history::{HistoryEvent, VersionHistory};
use crate::service::compatibility::differences;
use crate::service::invocation::Invocation;
use crate::service::probation::{Probation, Verdict};
use crate::service::status::Status;
use crate::service::swap::{Answer, Fall, Trial, profile};
use crate::service::{self, Prepared, Shadow, Standing, Swap};
use crate::service_ctx::ServiceCtx;
use crate::store::{Left, VersionRecord};
use crate::version::Version;

impl Task {
    /// Restarts the instance by command.
    pub(super) async fn on_restart(&mut self, answer: Answer) {
        let outcome = self.start_anew().await.map(Into::into);
        // the caller may have gone
        self.tell_confirmed(move || drop(answer.send(outcome)));
    }

    /// Has a started instance take over, or says why it does not.
    pub(super) async fn swap(&mut self, swap: Swap) {
        let Swap {
            number,
            ctx,
            prepared,
            back,
        } = swap;
        self.versions.mirror = None;
        let version = prepared.component.version();
        match back {
            None => {
                if let Err(reason) = self.succeed(ctx, prepared).await {
                    let (service, short) = (self.ctx.config.name.as_str(), version.short());
                    error!(
                        service,
                        version = short,
                        "does not take over, the running version stays: {reason}"
                    );
                    self.write_history(|history, at| {
                        history.record(Some(version), HistoryEvent::Refused, reason, at)
                    })
                    .await;
                }
            }
            Some((left, answer)) => {
                self.stop_guest().await;
                self.adopt(ctx);
                self.go_back(prepared, left, "by command").await;
                let said = format!("version {} runs again", version.short());
                // who no longer waits does not want to know
                self.tell_confirmed(move || drop(answer.send(Ok(said.into()))));
            }
        }
        self.versions.concluded = number;
        self.show();
    }

    /// The new version, or the one with a new section, takes over the state and then the place of the one that runs.
    ///
    /// # Errors
    /// Why it does not; then nothing has changed.
    async fn succeed(&mut self, ctx: Arc<ServiceCtx>, prepared: Prepared) -> Result<(), String> {
        let version = prepared.component.version();
        if self.versions.history.rejected().contains(&version) {
            return Err("it was rolled back".to_owned());
        }
        let config = ctx.config.clone();
        let lines = self.compare(&config, &prepared);
        let (prepared, saved) = self.hand_over(prepared, config.swap.saved).await?;
        let (service, short) = (config.name.clone(), version.short());
        for line in &lines {
            warn!(service, version = short, "{line}");
        }
        self.stop_guest().await;
        let left = Left {
            saved,
            state: self.ctx.state.state(),
        };
        let former = self
            .runner
            .component
            .clone()
            .filter(|former| former.version() != version);
        let is_new = self.runner.component.is_none() || former.is_some();
        let file = config
            .component
            .as_ref()
            .map_or_else(String::new, |file| file.display().to_string());
        self.usage.reset(Instant::now());
        self.adopt(ctx);
        let (what, keep) = (
            if is_new {
                HistoryEvent::Swapped
            } else {
                HistoryEvent::Configured
            },
            self.ctx.config.swap.versions,
        );
        let probation = Probation::new(&self.ctx.config.swap, Instant::now()).zip(former);
        let history = Arc::make_mut(&mut self.versions.history);
        let kept = history.set_running(version, what, lines.join("; "), keep, unix_millis());
        history.set_on_probation(probation.is_some() || history.is_on_probation());
        let record = self.record(kept.map(|kept| (kept, left.clone())));
        self.install(prepared, record).await;
        if is_new {
            self.tell_confirmed(move || {
                info!(service, "new version of {file} takes over version={short}")
            });
            let trial = |(probation, former)| {
                Box::new(Trial {
                    probation,
                    former,
                    left,
                })
            };
            self.versions.trial = probation.map(trial);
        } else {
            self.tell_confirmed(move || info!(service, "runs with its new configuration"));
        }
        Ok(())
    }

    /// Says something when the broker has the subscriptions of what runs now, so that who reads it may rely on them.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the session at the latest"
    )]
    fn tell_confirmed(&self, tell: impl FnOnce() + Send + 'static) {
        let session = self.outputs.session.clone();
        let confirmed = async move {
            session.wait_for_subscriptions().await;
            tell();
        };
        tokio::spawn(confirmed.in_current_span());
    }

    /// What there is to say about how the new version fits the one that runs.
    fn compare(&self, config: &config::Service, new: &Prepared) -> Vec<String> {
        let (Some(component), Some(instance)) = (&self.runner.component, &self.runner.instance)
        else {
            return Vec::new();
        };
        let new = profile(&new.component, &new.instance);
        differences(
            &config.name,
            &profile(component, instance),
            &new,
            &config.grants,
        )
    }

    /// Has the running instance save what it knows, and the new one load it.
    async fn hand_over(
        &mut self,
        prepared: Prepared,
        most: usize,
    ) -> Result<(Prepared, Option<Bytes>), String> {
        let saved = self.saved(most).await?;
        let Some(bytes) = saved
            .clone()
            .filter(|_| prepared.component.exports().has(OptionalExport::Load))
        else {
            return Ok((prepared, saved));
        };
        let loaded = self.runner.executor.load(prepared, bytes).await;
        let prepared = loaded
            .map_err(|fault| format!("it does not load what the running version saved: {fault}"))?;
        Ok((prepared, saved))
    }

    /// What the running instance saves; `None` when it has no `save`, or nothing runs.
    async fn saved(&mut self, most: usize) -> Result<Option<Bytes>, String> {
        let Some(instance) = self.runner.instance.take() else {
            return Ok(None);
        };
        let (instance, saved) = self.runner.executor.save(instance).await;
        self.runner.instance = instance;
        if self.runner.instance.is_none() {
            self.set_status(Status::Waiting).await;
        }
        let saved =
            saved.map_err(|fault| format!("the running version cannot save its state: {fault}"))?;
        match saved {
            Some(saved) if saved.len() > most => Err(format!(
                "the running version saves {} bytes, more than the {most} of swap.saved",
                saved.len()
            )),
            saved => Ok(saved.map(Bytes::from)),
        }
    }

    /// Begins to give copies to a new version, which has the state as it is now.
    pub(super) async fn begin_shadow(&mut self, shadow: Shadow) {
        self.versions.mirror = None;
        let (service, version) = (
            self.ctx.config.name.clone(),
            shadow.prepared.component.version().short(),
        );
        match self.saved(self.ctx.config.swap.saved).await {
            Ok(saved) => {
                let span = shadow.span;
                let (mirror, run) = service::shadow::shadow(shadow, &self.ctx.state, saved);
                self.runner.executor.spawn(run);
                self.versions.mirror = Some(mirror);
                info!(
                    service,
                    version, "the new version runs as a shadow for {span:?}"
                );
            }
            // who no longer waits does not want to know
            Err(reason) => drop(shadow.done.send(Err(reason))),
        }
    }

    /// Counts a fault for the probation. Returns whether the version has more of them than allowed.
    pub(super) async fn exceeds_probation(&mut self, fault: &Fault) -> bool {
        let Some(trial) = &mut self.versions.trial else {
            return false;
        };
        if matches!(
            fault,
            Fault::State(_) | Fault::Bug(_) | Fault::Instantiation(_)
        ) {
            // not the guest's
            return false;
        }

        match trial.probation.failed(Instant::now()) {
            Verdict::GoesOn => false,
            Verdict::Passed => {
                self.pass_probation().await;
                false
            }
            Verdict::Failed => true,
        }
    }

    /// Puts the former version back. Returns `false` where it does not start: then nothing has changed.
    pub(super) async fn roll_back(&mut self, fault: &Fault) -> bool {
        let Some(trial) = &self.versions.trial else {
            return false;
        };
        let former = trial.former.clone();
        let left = trial.left.clone();

        match self
            .runner
            .executor
            .prepare_with(former, &self.ctx, &left)
            .await
        {
            Ok(prepared) => {
                self.runner.instance = None;
                self.go_back(prepared, left, &fault.to_string()).await;
                true
            }
            Err(problem) => {
                let service = self.ctx.config.name.as_str();
                error!(
                    service,
                    "has failed its probation, but the former version does not start: {problem}"
                );
                false
            }
        }
    }

    /// Makes a former version, started with what it left, the running one: the state is set back in the same commit.
    async fn go_back(&mut self, mut prepared: Prepared, left: Left, reason: &str) {
        let faults = self
            .versions
            .trial
            .take()
            .map_or(0, |trial| trial.probation.faults());
        let (from, to, at) = (
            self.runner.component.as_ref().map(Component::version),
            prepared.component.version(),
            unix_millis(),
        );
        let back = self.ctx.state.changes_to(&left.state);
        let own = std::mem::replace(
            &mut prepared.effects,
            Effects {
                state: back,
                ..Effects::default()
            },
        );
        prepared.effects.append(own);
        prepared.instance.set_ctx(self.ctx.clone());
        Arc::make_mut(&mut self.versions.history).roll_back(to, reason, at);
        self.runner.retry.reset();
        self.usage.reset(Instant::now());
        let record = self.record(None);
        self.install(prepared, record).await;
        let service = self.ctx.config.name.clone();
        let short = from.map_or_else(String::new, Version::short);
        error!(
            service,
            faults,
            "version {short} is rolled back, version {} runs again: {reason}",
            to.short()
        );
        let fall = Fall {
            service: &service,
            from,
            to,
            reason,
            faults,
            at,
        };
        match fall.message(&self.ctx.config.base) {
            Ok(message) => {
                let origin = self.queue.origin();
                self.outputs.publish(vec![message.into()], origin).await;
            }
            Err(error) => warn!(service, "the roll-back is not published: {error}"),
        }
    }

    /// The work ended well: a message counts for the probation.
    pub(super) async fn on_handled(&mut self) {
        let Some(trial) = &mut self.versions.trial else {
            return;
        };
        if matches!(self.queue.current, Some(Invocation::Message(_))) && trial.probation.handled() {
            self.pass_probation().await;
        }
    }

    /// The version on probation has stood it.
    pub(super) async fn pass_probation(&mut self) {
        let (Some(_), Some(component)) = (self.versions.trial.take(), &self.runner.component)
        else {
            return;
        };
        let version = component.version();
        info!(
            service = self.ctx.config.name.as_str(),
            version = version.short(),
            "has passed its probation"
        );
        let passed = |history: &mut VersionHistory, at| {
            history.set_on_probation(false);
            history.record(Some(version), HistoryEvent::Passed, String::new(), at);
        };
        self.write_history(passed).await;
    }

    /// Starts the instance anew; when that fails, it is tried again with back-off.
    ///
    /// # Errors
    /// Why it does not run now.
    async fn start_anew(&mut self) -> Result<String, String> {
        let Some(component) = self.runner.component.clone() else {
            return Err("has no component that could run".to_owned());
        };
        let version = component.version();
        self.stop_guest().await;
        self.runner.retry.reset();
        self.usage.reset(Instant::now());
        match self
            .runner
            .executor
            .prepare(component, self.ctx.clone())
            .await
        {
            Ok(prepared) => {
                info!(
                    service = self.ctx.config.name.as_str(),
                    version = version.short(),
                    "started anew by command"
                );
                self.install(prepared, None).await;
                self.write_history(|history, at| {
                    history.record(Some(version), HistoryEvent::Restarted, String::new(), at)
                })
                .await;
                Ok(format!("version {} was started anew", version.short()))
            }
            Err(fault) => {
                self.set_status(Status::Waiting).await;
                Err(format!("does not start, and is tried again: {fault}"))
            }
        }
    }

    /// Writes into the history with which version the service begins. One that was on probation when the host ended is so again.
    pub(super) async fn begin_history(&mut self, component: Component) {
        let (version, keep) = (component.version(), self.ctx.config.swap.versions);
        self.runner.component = Some(component);
        let history = Arc::make_mut(&mut self.versions.history);
        let former = history.set_running(
            version,
            HistoryEvent::Started,
            String::new(),
            keep,
            unix_millis(),
        );
        let probation = Probation::new(&self.ctx.config.swap, Instant::now());
        let trial =
            probation
                .zip(self.versions.resumed.take())
                .map(|(probation, (former, left))| {
                    Box::new(Trial {
                        probation,
                        former,
                        left,
                    })
                });
        history.set_on_probation(trial.is_some());
        if trial.is_some() {
            let span = self.ctx.config.swap.probation;
            info!(
                service = self.ctx.config.name.as_str(),
                version = version.short(),
                "is on probation for another {span:?}"
            );
        }
        self.versions.trial = trial;
        let state = self.ctx.state.state();
        self.persist_history(former.map(|former| (former, Left { saved: None, state })))
            .await;
    }

    /// Changes the history, and keeps and shows it.
    pub(super) async fn write_history(&mut self, change: impl FnOnce(&mut VersionHistory, u64)) {
        change(Arc::make_mut(&mut self.versions.history), unix_millis());
        self.persist_history(None).await;
    }

    async fn persist_history(&mut self, left: Option<(Version, Left)>) {
        if let Some(record) = self.record(left) {
            self.outputs.record(&self.ctx.config.name, record).await;
        }
        self.show();
    }

    /// What is to be on disk; nothing where no versions are kept.
    fn record(&self, left: Option<(Version, Left)>) -> Option<VersionRecord> {
        let history = &self.versions.history;
        (self.ctx.config.swap.versions > 0).then(|| VersionRecord {
            history: VersionHistory::clone(history),
            left,
        })
    }

    /// Shows the rest of the host which versions there are.
    pub(super) fn show(&self) {
        self.versions.standing.send_replace(Standing {
            component: self.runner.component.clone(),
            history: self.versions.history.clone(),
            concluded: self.versions.concluded,
            holds_up_others: self.queue.holds_up_others(),
        });
    }
}

/// Milliseconds since 1970.
pub(in crate::service) fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
