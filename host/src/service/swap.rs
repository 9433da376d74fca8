//! Actor's part: what a swap is made of. In: a started instance and what it was started with. Out: words for the supervisor and the
//! task. Owns the former version while a new one is on probation.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::guest::{Call, Component, Exports, Instance};
use crate::message::{Message, Qos};
use crate::service_ctx::ServiceCtx;
use crate::store::Left;
use crate::topic::{BaseTopic, TopicError};

use super::Prepared;
use super::compatibility::Profile;
use super::probation::Probation;
use super::shadow::{Mirror, Sample};
use crate::rollout::history::{VersionHistory, format_utc};
use crate::version::Version;

/// Where the answer to a command goes: what was done, or why it was not.
pub type Answer = oneshot::Sender<Result<Value, String>>;

/// A started instance that is to take over between two messages.
pub struct Swap {
    /// Counts the swaps of one service.
    pub number: u64,
    /// The context that it was started with.
    pub ctx: Arc<ServiceCtx>,
    /// The instance.
    pub prepared: Prepared,
    /// It is a former version that is to have what it left, by command; where the answer goes.
    pub back: Option<(Left, Answer)>,
}

/// Which versions a service has, as the rest of the host sees it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The component that runs, or is started again; `None` while none could be loaded.
    pub component: Option<Component>,
    /// The history.
    pub history: Arc<VersionHistory>,
    /// The number of the last swap that was carried out or refused.
    pub concluded: u64,
    /// Whether it keeps the broker from sending to the other services: its spool is full, and `limits.when_full` is `hold`.
    pub holds_up_others: bool,
}

/// A version on probation, and what is put back when it fails.
pub(super) struct Trial {
    pub(super) probation: Probation,
    pub(super) former: Component,
    pub(super) left: Left,
}

/// The versions of a service, as its task has them.
pub(super) struct Versions {
    pub(super) history: Arc<VersionHistory>,
    /// The number of the last swap.
    pub(super) concluded: u64,
    pub(super) standing: watch::Sender<Standing>,
    /// While a new version is on probation.
    pub(super) trial: Option<Box<Trial>>,
    /// What is put back if the version fails that was on probation when the host ended.
    pub(super) resumed: Option<(Component, Left)>,
    /// While a new version runs as a shadow.
    pub(super) mirror: Option<Mirror>,
}

impl Versions {
    /// As an earlier run of the host left them.
    pub(super) fn new(
        history: VersionHistory,
        resumed: Option<(Component, Left)>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        Self {
            history: Arc::new(history),
            concluded: 0,
            standing,
            trial: None,
            resumed,
            mirror: None,
        }
    }

    /// Whether the running version is on probation.
    pub(super) const fn is_on_probation(&self) -> bool {
        self.trial.is_some()
    }

    /// Time at which the running version passes its probation.
    pub(super) fn probation_end(&self) -> Option<Instant> {
        self.trial.as_ref().map(|trial| trial.probation.until())
    }

    /// A copy of the call for the shadow, if there is one.
    pub(super) fn sample(&self, call: &Call) -> Option<Box<Sample>> {
        self.mirror.as_ref()?;
        Sample::of(call).map(Box::new)
    }

    /// Gives a copy to the shadow, and forgets a shadow that has ended.
    pub(super) fn mirror(&mut self, sample: Box<Sample>) {
        if let Some(mirror) = &self.mirror
            && !mirror.give(*sample)
        {
            self.mirror = None;
        }
    }
}

/// What a guest gets to know that is to work on a state of its own instead of the service's.
pub fn private(ctx: &ServiceCtx, left: &Left) -> Arc<ServiceCtx> {
    let state = Arc::new(ctx.state.copy_with(&left.state));
    Arc::new(ServiceCtx {
        state,
        ..ctx.clone()
    })
}

/// What there is to know of a version, to compare it with another.
pub(super) fn profile(component: &Component, instance: &Instance) -> Profile {
    let exports: Exports = component.exports();
    Profile {
        exports: exports.names().collect(),
        imports: component.imports().to_vec(),
        filters: instance
            .subscriptions()
            .iter()
            .map(|filter| filter.as_str().to_owned())
            .collect(),
    }
}

/// What is published about a version that was rolled back.
pub(super) struct Fall<'a> {
    pub(super) service: &'a str,
    pub(super) from: Option<Version>,
    pub(super) to: Version,
    pub(super) reason: &'a str,
    pub(super) faults: u32,
    pub(super) at: u64,
}

impl Fall<'_> {
    /// The message on `<base>rollback`; of a service without base topic, where it would have been.
    ///
    /// # Errors
    /// When the base topic leaves no room for it.
    pub(super) fn message(&self, base: &BaseTopic) -> Result<Message, TopicError> {
        let topic = match base.is_global() {
            true => BaseTopic::of_service(self.service)?.topic("rollback")?,
            false => base.topic("rollback")?,
        };
        let text = json!({
            "service": self.service,
            "from": self.from.map(|version| version.to_string()),
            "to": self.to.to_string(),
            "reason": self.reason,
            "faults": self.faults,
            "at": format_utc(self.at),
        });
        Ok(Message::new(
            topic,
            text.to_string(),
            Qos::AtLeastOnce,
            false,
        ))
    }
}
