//! Start of services whose components are loaded: spawns their tasks.

use tracing::warn;

use crate::config;
use crate::effects::Effects;
use crate::mailbox::{self, Mailbox};
use crate::rollout::history::VersionHistory;
use crate::router::ServiceId;
use crate::service::{self, EarlierRun, First, Parts, Presence, PresenceSetup, Shared};
use crate::span;
use crate::store::Segment;
use crate::supervisor::reload::Ready;
use crate::supervisor::{Entry, FileVersion, Supervisor};
use crate::watch::Watch;

use super::loaded_service::LoadedService;
use super::service_deps::ServiceDeps;
use super::sessions::Sessions;

/// Builds a service of a new configuration, whose instance was started already.
pub(super) fn from_ready(
    id: ServiceId,
    ready: Ready,
    history: VersionHistory,
    spool: Option<Segment>,
    shared: &Shared,
) -> LoadedService {
    let Ready {
        ctx,
        file,
        prepared,
    } = ready;
    let config = &ctx.config;
    warn_idle(config, &prepared.effects);
    let subscriptions = service::subscriptions(config, &prepared.effects);
    let mailbox = mailbox_of(config, shared);
    let in_file = Some(prepared.component.clone());
    let first = First::Prepared(Box::new(prepared));
    LoadedService {
        id,
        ctx,
        file,
        in_file,
        history,
        interrupted: None,
        first,
        is_starting: false,
        subscriptions,
        mailbox,
        spool,
    }
}

/// The mailbox of a service.
pub(super) fn mailbox_of(config: &config::Service, shared: &Shared) -> (mailbox::Sender, Mailbox) {
    mailbox::with_spill_queue(
        mailbox::Limits::from(&config.limits),
        shared.store.spill_queue(&config.name),
    )
}

/// Warns of a service that nothing will ever call.
pub(super) fn warn_idle(config: &config::Service, effects: &Effects) {
    // one subscription is the host's own, for the service's switch
    if service::subscriptions(config, effects).len() <= 1 && effects.timers.is_empty() {
        let section = format!("services.{}", config.name);
        span::service(&config.name).in_scope(|| {
            warn!(
                "will never be called: it has no subscriptions and no timers; write {section}.subscriptions: [<filter>], or \
                 {section}.timers: {{<name>: <period>}}"
            );
        });
    }
}

/// Starts the tasks of the services and returns their supervisor. `watch` has watched their files since before they were read.
///
/// # Errors
/// When a base topic leaves no room for `online`.
pub(super) async fn services(
    loaded: Vec<LoadedService>,
    watch: Watch,
    deps: &ServiceDeps,
    sessions: &Sessions,
) -> anyhow::Result<Supervisor> {
    let mut entries = Vec::with_capacity(loaded.len());
    for one in loaded {
        entries.push(run(one, deps, sessions, true).await?);
    }
    Ok(Supervisor::new(
        deps.loader.clone(),
        entries,
        watch,
        deps.shared.store.clone(),
        deps.intervals.statistics,
    ))
}

/// Starts the task of one service. `attached`: its routes are in place already.
///
/// # Errors
/// When its base topic leaves no room for `online`.
pub(super) async fn run(
    one: LoadedService,
    deps: &ServiceDeps,
    sessions: &Sessions,
    attached: bool,
) -> anyhow::Result<Entry> {
    let LoadedService {
        id,
        ctx,
        file,
        in_file,
        history,
        interrupted,
        first,
        is_starting,
        mailbox,
        spool,
        ..
    } = one;

    let (session, expiry) = sessions.presence(id);
    let announced = PresenceSetup {
        session,
        expiry,
        interval: deps.intervals.online,
        main: sessions.main(),
        further: ctx.config.delivery.availability.clone(),
    };

    let earlier = EarlierRun {
        spool,
        history,
        interrupted,
    };

    let presence = Presence::new(&ctx.config, announced)?;
    deps.timers.register(id, mailbox.0.clone()).await;
    let parts = Parts {
        id,
        ctx: ctx.clone(),
        mailbox,
        earlier,
        attached,
        session: sessions.main(),
        timers: deps.timers.clone(),
        presence,
        store: deps.shared.store.clone(),
        protocol: deps.shared.protocol,
        pools: deps.pools.clone(),
    };

    let (handle, task) = service::service(parts, first);
    tokio::spawn(task);
    Ok(Entry {
        id,
        ctx,
        file,
        in_file: in_file.map(FileVersion::new),
        issued: None,
        shadow: None,
        is_starting,
        handle,
    })
}
