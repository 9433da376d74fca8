//! Deployments: an uploaded component is checked and described, and a version of the archive takes over and becomes the component file
//! of its service. The file changes last, when the version runs, so that a version that is refused changes nothing.

use std::time::Duration;

use futures_util::future::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::answer::{AnswerFuture, RequestError};
use super::control::refuse;
use super::runtime::Runtime;
use crate::control::{Answer, Upload};
use crate::guest::{Component, ComponentDescription, Fault};
use crate::rollout::compatibility::differences;
use crate::rollout::handover::{StartedInstance, profile_with};
use crate::rollout::loader::Loader;
use crate::rollout::shadow::shadow_ctx;
use crate::service::CommandError;
use crate::supervisor::{DeployOrder, DeployTarget};
use crate::version::Version;

/// How long a service may take to name its subscriptions; those of one in a longer call are not compared.
const PATIENCE: Duration = Duration::from_millis(500);

impl Runtime<'_> {
    /// Checks a component for a service, keeps it in the archive, and describes it.
    pub(super) fn check_upload(
        &self,
        service: &str,
        signature: Option<String>,
        upload: Option<Upload>,
    ) -> AnswerFuture {
        let Some(upload) = upload else {
            return refuse(RequestError::NoUpload);
        };
        let target = match self.supervisor.deploy_target(service) {
            Ok(target) => target,
            Err(error) => return refuse(error),
        };

        // it reads, compiles and starts, so it stays off the message path
        let loader = self.deps.loader.clone();
        let checking = check_upload(loader, target, signature, upload);
        let checking = self.deps.pools.usual.spawn(checking);
        async move { checking.await? }.boxed()
    }

    /// Has a version of the archive take over, and makes it the component file.
    pub(super) fn deploy(&mut self, service: &str, version: String) -> AnswerFuture {
        let target = match self.supervisor.deploy_target(service) {
            Ok(target) => target,
            Err(error) => return refuse(error),
        };

        let (begin, begun) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        let (replace, replaced) = oneshot::channel();
        let (end, ended) = watch::channel(());
        let order = DeployOrder {
            begun,
            answer,
            replaced,
            ended,
        };
        if let Err(error) = self.supervisor.deploy(service, order) {
            return refuse(error);
        }

        let deployment = Deployment {
            target,
            begin,
            outcome,
            replaced: replace,
            _end: end,
        };
        deployment.run(self.deps.loader.clone(), version).boxed()
    }
}

/// A deployment that is under way.
struct Deployment {
    target: DeployTarget,
    /// Tells the supervisor which version it is.
    begin: oneshot::Sender<Version>,
    /// The outcome of the swap.
    outcome: oneshot::Receiver<Result<Version, CommandError>>,
    /// Tells the supervisor that the file was replaced; dropped when it was not.
    replaced: oneshot::Sender<()>,
    /// Dropped at the end: then the supervisor looks at the file again.
    _end: watch::Sender<()>,
}

impl Deployment {
    async fn run(self, loader: Loader, version: String) -> Result<Answer, RequestError> {
        let Self {
            target,
            begin,
            outcome,
            replaced,
            _end,
        } = self;
        let version = loader.find(version).await?;
        if let Some(refusal) = target.refusal(version) {
            return Err(refusal.into());
        }

        // a file that cannot be written is found out before anything changes
        let staged = loader.stage(version, target.file.clone()).await?;
        // an error means that the host is stopping, and so does the outcome
        let _ = begin.send(version);
        outcome.await.map_err(|_| RequestError::Ended)??;

        let placed = loader.put_in_place(staged).await;
        placed.map_err(|source| RequestError::NotInPlace { version, source })?;
        // an error means that the host is stopping
        let _ = replaced.send(());
        let file = target.file.display();
        let sentence = format!("version {} runs, and is in {file}", version.short());
        Ok(Answer::Value(sentence.into()))
    }
}

/// Checks a component, keeps it, and compares it with the running version.
async fn check_upload(
    loader: Loader,
    target: DeployTarget,
    signature: Option<String>,
    upload: Upload,
) -> Result<Answer, RequestError> {
    let Upload { file, place } = upload;
    let (component, bytes) = loader.load_upload(file, signature, &target.file).await?;
    drop(place);

    let obstacle = match target.refusal(component.version()) {
        Some(refusal) => Some(refusal.to_string()),
        None => {
            let checked = loader.check_target(target.file.clone()).await;
            checked.err().map(|error| error.to_string())
        }
    };
    let trial = loader
        .prepare(component.clone(), shadow_ctx(&target.ctx))
        .await;

    let comparison = compare(&target, &component, trial).await;
    Ok(Answer::Value(report(
        &target, &component, bytes, obstacle, comparison,
    )))
}

/// A component compared with the running version.
struct DeployComparison {
    /// Reason why the trial start failed.
    failure: Option<Fault>,
    subscriptions: Vec<String>,
    differences: Vec<String>,
}

/// Compares a component with the running version. `trial`: its instance, which has no effects and no network.
async fn compare(
    target: &DeployTarget,
    component: &Component,
    trial: Result<StartedInstance, Fault>,
) -> DeployComparison {
    let config = &target.ctx.config;
    let fixed = config.triggers.subscriptions.iter();
    let fixed = fixed.map(|subscription| subscription.filter.to_string());
    let (mut subscriptions, failure) = match trial {
        Ok(started) => {
            let own = started.instance.subscriptions();
            let own = own.iter().map(ToString::to_string);
            (fixed.chain(own).collect::<Vec<_>>(), None)
        }
        Err(fault) => (Vec::new(), Some(fault)),
    };
    subscriptions.sort_unstable();
    subscriptions.dedup();

    let running = tokio::time::timeout(PATIENCE, target.service_ref.snapshot()).await;
    let running = running.ok().flatten().and_then(|service| service.activity);
    let (old, new) = match running {
        Some(activity) if failure.is_none() => {
            let filters = activity.subscriptions.iter();
            let filters = filters.map(|one| one.filter.to_string()).collect();
            (filters, subscriptions.clone())
        }
        _ => (Vec::new(), Vec::new()),
    };

    let differences = target.running.as_ref().map(|running| {
        let old = profile_with(running, old);
        let new = profile_with(component, new);
        differences(&config.name, &old, &new, &config.grants)
    });
    DeployComparison {
        failure,
        subscriptions,
        differences: differences.unwrap_or_default(),
    }
}

/// The description of an uploaded component.
fn report(
    target: &DeployTarget,
    component: &Component,
    bytes: usize,
    obstacle: Option<String>,
    comparison: DeployComparison,
) -> Value {
    let described = ComponentDescription::new(component);
    let grants = &target.ctx.config.grants;
    // messaging needs a grant for other services' topics only
    let needs = described
        .needs()
        .filter(|(import, ..)| !import.starts_with("miqro:"));
    let needs = needs.map(|(import, key, example)| {
        json!({"import": import, "key": key, "example": example, "granted": grants.has(key)})
    });
    let typed = component.interfaces();
    let running = target.running.as_ref();

    json!({
        "service": target.ctx.config.name,
        "version": component.version().to_string(),
        "running": running.map(|running| running.version().to_string()),
        "bytes": bytes,
        "made_for": described.peer.map(|peer| peer.to_string()),
        "exports": described.exports.names().collect::<Vec<_>>(),
        "imports": component.imports(),
        "serves": typed.exports.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(),
        "calls": typed.imports.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(),
        "grants": needs.collect::<Vec<_>>(),
        "subscriptions": comparison.subscriptions,
        "differences": comparison.differences,
        "failure": comparison.failure.map(|fault| fault.to_string()),
        "obstacle": obstacle,
    })
}
