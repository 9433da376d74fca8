//! Started instances that are about to run: made beside the running one, given the state that it saved, and compared with it.

use std::sync::Arc;

use bytes::Bytes;
use tracing::Instrument;

use crate::config::ServiceTimer;
use crate::effects::Effects;
use crate::guest::{Call, Component, Exports, Fault, Instance};
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::store::Snapshot;

use super::compatibility::Profile;

/// An instance whose `start` succeeded, with the effects of it.
pub struct StartedInstance {
    /// The component that the instance was made of; restarts after a fault use it.
    pub component: Component,
    /// The started instance.
    pub instance: Box<Instance>,
    /// The effects of `start`, and of `load` where that was called.
    pub effects: Effects,
}

/// Makes an instance and runs its `start`.
///
/// # Errors
/// The fault of the guest; its effects are dropped.
pub async fn prepare(component: Component, ctx: Arc<ServiceCtx>) -> Result<StartedInstance, Fault> {
    let span = span::service(&ctx.config.name);

    start(component, ctx).instrument(span).await
}

async fn start(component: Component, ctx: Arc<ServiceCtx>) -> Result<StartedInstance, Fault> {
    // those of the configuration come first, so that the guest's own win
    let timers = &ctx.config.triggers.timers;
    let mut effects = Effects {
        timers: timers.iter().map(ServiceTimer::to_change).collect(),
        ..Effects::default()
    };

    let instance = component.instantiate(ctx).await?;
    let (instance, result) = instance.call(Call::Start).await;
    effects.append(result?);
    let instance =
        instance.ok_or_else(|| Fault::Bug("start succeeded and left no instance".to_owned()))?;
    Ok(StartedInstance {
        component,
        instance,
        effects,
    })
}

/// Makes an instance of a former version, runs its `start`, and has it load the state that it saved when it was replaced. `ctx` is
/// an [`isolated_ctx`].
///
/// # Errors
/// The fault of the guest; its effects are dropped.
pub async fn prepare_former(
    component: Component,
    ctx: Arc<ServiceCtx>,
    snapshot: &Snapshot,
) -> Result<StartedInstance, Fault> {
    let span = span::service(&ctx.config.name);
    let starting = async { load(start(component, ctx).await?, snapshot.saved.clone()).await };

    starting.instrument(span).await
}

/// Has a started instance load the state that another one saved, if there is any.
///
/// # Errors
/// The fault of the guest; the instance is lost.
pub async fn load(
    prepared: StartedInstance,
    saved: Option<Bytes>,
) -> Result<StartedInstance, Fault> {
    let Some(saved) = saved else {
        return Ok(prepared);
    };
    let StartedInstance {
        component,
        instance,
        effects,
    } = prepared;
    from_load(component, effects, instance.call(Call::Load(saved)).await)
}

/// Puts an instance together again after its `load`.
///
/// # Errors
/// The fault of the guest; the instance is lost.
pub fn from_load(
    component: Component,
    mut effects: Effects,
    (instance, result): (Option<Box<Instance>>, Result<Effects, Fault>),
) -> Result<StartedInstance, Fault> {
    effects.append(result?);
    let instance =
        instance.ok_or_else(|| Fault::Bug("load succeeded and left no instance".to_owned()))?;
    Ok(StartedInstance {
        component,
        instance,
        effects,
    })
}

/// The context of an instance that works on the state of `snapshot` instead of the service's until it is attached.
pub fn isolated_ctx(ctx: &ServiceCtx, snapshot: &Snapshot) -> Arc<ServiceCtx> {
    let state = Arc::new(ctx.state.copy_with(&snapshot.state));
    Arc::new(ServiceCtx {
        state,
        ..ctx.clone()
    })
}

/// The features of a version that are compared with those of another one.
pub fn profile(component: &Component, instance: &Instance) -> Profile {
    let filters = instance.subscriptions();
    profile_with(component, filters.iter().map(ToString::to_string).collect())
}

/// As [`profile`], of a version that has subscribed to `filters`.
pub fn profile_with(component: &Component, filters: Vec<String>) -> Profile {
    let exports: Exports = component.exports();
    Profile {
        exports: exports.names().collect(),
        imports: component.imports().to_vec(),
        interfaces: component.interfaces().clone(),
        filters,
    }
}
