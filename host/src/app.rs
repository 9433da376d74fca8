//! One run of the host. It creates the four runtimes (the message path, the two pools and the embedded broker) and determines
//! the order in which everything starts and stops.
//!
//! Start: broker, guests loaded and routed, sessions, services, supervisor. Guests that have to be compiled first come later. Stop: no more messages taken, services drained,
//! sessions flushed, broker.
#![expect(
    clippy::disallowed_methods,
    reason = "wiring starts the tasks and ends them"
)]

mod answer;
mod audit;
mod awaited;
#[cfg(not(feature = "embedded-broker"))]
#[path = "app/no_broker.rs"]
mod broker;
mod control;
mod deploy;
mod details;
mod embedded_broker;
mod engine;
mod feedback;
mod identity;
mod late_starts;
mod letters;
mod loaded_service;
mod loading;
mod mqtt_control;
mod recording;
mod reload;
mod runtime;
mod service_deps;
mod sessions;
mod shadows;
mod signals;
mod snapshots;
mod source;
mod start;
mod state;
mod streams;
mod systemd;
mod traces;
mod waiting;
mod web;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{info, warn};

#[cfg(feature = "embedded-broker")]
use crate::broker;
use crate::config::{self, Broker, Config};
use crate::logging::{Levels, Logs};
use crate::mqtt_control::Setup;
use crate::panic_hook;
use crate::rollout::archive::Archive;
use crate::rollout::loader::Loader;
use crate::service::{Pools, Shared};
use crate::session::ConnectionStatus;
use crate::span;
use crate::store::Store;
use crate::watch::Watch;
use crate::{priority, request_reply, timers};

use awaited::FileEvent;
use control::Control;
pub use engine::default_cache_dir;
pub use feedback::{Feedback, StartReport, Suggest};
use identity::Identity;
pub use loaded_service::LoadedService;
use reload::{Next, Reload};
use runtime::Runtime;
use service_deps::{Intervals, ServiceDeps};
use sessions::Wills;
use signals::{SignalRequest, Signals};
pub use source::Source;
pub use state::directories as state_directories;
use systemd::Notifier;
use traces::TraceExport;
use web::WebServer;

/// Threads of the embedded broker. It has its own, since guests that compute without end may keep those of the pool busy.
const BROKER_THREADS: usize = 2;

/// Threads of the pool: slow guest calls, preparation of new versions. They have a lower priority than the message path.
const POOL_THREADS: usize = 2;

/// Threads for services that exceeded a limit; they run only while the machine is idle.
const SPARE_THREADS: usize = 1;

/// Minimum time that the embedded broker has to write its data.
const BROKER_STOP: Duration = Duration::from_secs(2);

/// Exit code after a second signal, as a shell reports an interrupted program.
const INTERRUPTED: u8 = 130;

/// Arguments of one run of the host.
pub struct Run<'a> {
    /// The configuration, as [`Source::begin`] gives it.
    pub loaded: config::LoadedConfig,
    /// Its source.
    pub source: Source,
    /// Destination of log lines.
    pub logs: &'a Logs,
    /// Output for its caller.
    pub feedback: Feedback<'a>,
}

/// Runs the host until a signal stops it.
///
/// # Errors
/// When it cannot start, or when the broker says that another client has taken over its client id.
pub fn run(run: Run<'_>) -> anyhow::Result<ExitCode> {
    panic_hook::install();
    let pool = threads("pool", POOL_THREADS, priority::lower)?;
    let spare = threads("spare", SPARE_THREADS, priority::set_idle)?;
    let broker = threads("broker", BROKER_THREADS, || {})?;
    let path = Builder::new_current_thread().enable_all().build()?;
    let pools = Pools::new(pool.handle().clone(), spare.handle().clone());
    let outcome = path.block_on(live(run, &pools, &broker));
    // not waited for after the deadline: a call of the system's resolver cannot be cancelled
    for threads in [path, pool, spare, broker] {
        threads.shutdown_background();
    }
    outcome
}

/// A runtime with `count` threads, on each of which `prepare` runs first.
fn threads(name: &str, count: usize, prepare: fn()) -> std::io::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        .on_thread_start(prepare)
        .enable_all()
        .build()
}

async fn live(
    run: Run<'_>,
    pools: &Pools,
    broker_threads: &tokio::runtime::Runtime,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let notifier = Notifier::from_environment();
    let Run {
        loaded,
        source,
        logs,
        feedback,
    } = run;

    let waiting = waiting::whole(loaded, &source, &mut signals, &notifier, feedback.ready);
    let loaded = match waiting.await {
        waiting::Start::Whole(loaded) => *loaded,
        waiting::Start::Stop(name) => {
            info!("stopped on {name}");
            return Ok(ExitCode::SUCCESS);
        }
    };

    logs.set(
        Levels::from_config(&loaded.config),
        loaded.config.log.format,
    );

    let mut host = start_up(loaded, source, logs, feedback, (pools, broker_threads)).await?;
    let supervisor = &host.runtime.supervisor;
    let (services, starting) = (supervisor.services(), supervisor.starting());
    if starting == 0 {
        info!(services, "running");
    } else {
        info!(services, starting, "running");
    }

    let name = tokio::select! {
        name = serve(&mut host.runtime, &mut signals, &mut host.control, &notifier, feedback) => name?,
        error = embedded_broker::wait_for_end(&mut host.broker) => return Err(error.into()),
        bug = next_bug(&mut host.tasks) => return Err(bug),
    };
    info!("stopping on {name}");
    notifier.tell("STOPPING=1");
    shut_down(host, &mut signals, &notifier).await
}

/// Everything that was started.
struct Host<'a> {
    runtime: Runtime<'a>,
    store: Store,
    control: Control,
    _web: Option<WebServer>,
    traces: Option<TraceExport>,
    /// The host's own tasks; none of them ends by itself.
    tasks: JoinSet<()>,
    broker: Option<broker::BrokerHandle>,
}

/// Starts everything in order: the state, guests, broker, sessions, services.
async fn start_up<'a>(
    loaded: config::LoadedConfig,
    source: Source,
    logs: &'a Logs,
    feedback: Feedback<'_>,
    (pools, broker_threads): (&Pools, &tokio::runtime::Runtime),
) -> anyhow::Result<Host<'a>> {
    let named = !source.files.is_empty();
    let identity = Identity::of(&loaded.config, named)?;
    let reload = Reload::new(source, &loaded, identity.client_id().to_owned());
    let mut config = loaded.config;
    identity.complete(&mut config);
    let engine = engine::engine(&config)?;
    let (store, contents) = Store::open(identity.state_file())?;
    let archive = Archive::beside(identity.state_file());
    let control = Control::open(identity.state_file(), &archive, &pools.usual);
    let web = WebServer::start(config.web.as_ref(), &control, &pools.usual).await?;
    let traces = TraceExport::start(&config, &pools.usual)?;

    let mut tasks = JoinSet::new();
    let (requests, reception) = request_reply::channel();
    let (opened, opening) = oneshot::channel();
    tasks.spawn(reception.run(opening));
    let (timers_task, timers) = timers::timers();
    tasks.spawn(timers_task.run());

    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    let shared = Shared::new(
        store.clone(),
        contents.state,
        requests,
        connection.session.protocol,
        config.ha_discovery_prefix.clone(),
    )
    .with_tracer(traces.as_ref().map(TraceExport::tracer));

    let deps = ServiceDeps {
        loader: Loader::new(engine, pools.usual.clone(), archive, logs.status_line()),
        pools: pools.clone(),
        timers,
        shared: shared.clone(),
        intervals: Intervals::from_config(&config.host),
    };

    let wills = Wills::from_config(&config);
    let mqtt = Setup::from_config(&config)?;
    let largest_payload = embedded_broker::largest_payload(&config.services);
    // files are watched before they are read, so that no change is missed
    let watch = watch_components(&config, &deps.loader)?;
    let persists = !connection.session.clean_start;
    let (connection, broker) =
        embedded_broker::connect(config.broker, largest_payload, broker_threads).await?;
    let (services, starting) =
        loading::load_all(&deps, config.services, contents.spools, persists).await?;
    let mut starting = starting.with_named(named);
    starting.judge()?;
    feedback.on_started(&connection, broker.is_some(), &services);

    let sessions = sessions::open(&connection, &services, &wills, &shared, contents.waiting)?;

    // an error means that the task for requests has ended
    drop(opened.send((connection.clone(), sessions.main())));
    mqtt_control::start(mqtt, &sessions, &control, (&mut tasks, &pools.usual));
    let supervisor = start::services(services, watch, &deps, &sessions).await?;
    Ok(Host {
        runtime: Runtime::new(deps, sessions, supervisor, logs, (reload, starting)),
        store,
        control,
        _web: web,
        traces,
        tasks,
        broker,
    })
}

/// Watches the component files of all services.
fn watch_components(config: &Config, loader: &Loader) -> anyhow::Result<Watch> {
    let services = config.services.iter();
    let files = services.flat_map(|service| loader.watched_for(service));
    Ok(Watch::new(files, config.host.watch_interval)?)
}

/// Ends everything in order, within the deadline or at once on a second signal.
async fn shut_down(
    mut host: Host<'_>,
    signals: &mut Signals,
    notifier: &Notifier,
) -> anyhow::Result<ExitCode> {
    let deadline = Instant::now() + host.runtime.reload.config().host.stop_deadline;
    let stopped = tokio::select! {
        name = stop_signal(signals) => Err(name),
        () = stop(&mut host, deadline) => Ok(()),
        () = notifier.watch_for_ever() => Ok(()),
    };
    if let Err(name) = stopped {
        warn!("stopping at once on a second signal ({name})");
        return Ok(ExitCode::from(INTERRUPTED));
    }

    if let Some(broker) = host.broker {
        embedded_broker::stop(broker, deadline.max(Instant::now() + BROKER_STOP)).await;
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Runs until a signal to stop, and returns its name.
async fn serve(
    runtime: &mut Runtime<'_>,
    signals: &mut Signals,
    control: &mut Control,
    notifier: &Notifier,
    feedback: Feedback<'_>,
) -> anyhow::Result<&'static str> {
    let mut status = runtime.sessions.main().status();
    let mut has_connected = false;
    let mut is_ready = false;
    let mut pulse = tokio::time::Instant::now();
    loop {
        runtime.begin_reload(notifier);
        tokio::select! {
            signal = signals.next() => match signal {
                SignalRequest::Stop(name) => return Ok(name),
                SignalRequest::Hangup => runtime.hangup(),
                SignalRequest::Report => runtime.supervisor.report().await,
            },
            asked = control.next() => control.handle(asked, runtime),
            error = runtime.sessions.failed() => return Err(error),
            left = runtime.supervisor.run() => runtime.close(left).await,
            next = runtime.reload.next() => match next {
                Next::Files(FileEvent::Changed(cause)) => runtime.ask(cause),
                Next::Files(FileEvent::Rejected(refusal)) => reload::say_refused(&refusal),
                Next::Plan(plan) => runtime.conclude_reload(*plan, notifier).await,
            },
            begun = runtime.starting.next() => runtime.on_begun(begun, feedback.suggest)?,
            () = notifier.watch(&mut pulse) => {}
            _ = status.wait_for(|status| *status != ConnectionStatus::Connecting), if !has_connected => {
                has_connected = true;
            }
        }

        if has_connected && !is_ready && !runtime.starting.is_undecided() {
            is_ready = true;
            runtime.notify_ready(notifier);
            (feedback.ready)();
        }
    }
}

/// Waits for the next signal to stop and ignores others.
async fn stop_signal(signals: &mut Signals) -> &'static str {
    loop {
        if let SignalRequest::Stop(name) = signals.next().await {
            return name;
        }
    }
}

/// Stops everything in order.
async fn stop(host: &mut Host<'_>, deadline: Instant) {
    let runtime = &mut host.runtime;
    runtime.sessions.quiesce().await;
    // messages that are not handled in time stay unacknowledged, so the broker delivers them again
    let _ = tokio::time::timeout_at(deadline.into(), runtime.supervisor.stop(deadline)).await;
    for (id, service) in runtime.supervisor.unfinished() {
        span::service(&service.name).in_scope(|| {
            warn!("has not stopped in time; its unacknowledged messages will be delivered again");
        });
        runtime.sessions.announce_offline(id, &service).await;
    }

    runtime
        .sessions
        .stop(deadline.max(Instant::now() + Duration::from_secs(1)))
        .await;
    host.store.close().await;
    if let Some(traces) = host.traces.take() {
        traces.stop(deadline).await;
    }
}

/// Waits until one of the host's own tasks fails. The host cannot work without it, so it ends and is started again.
async fn next_bug(own: &mut JoinSet<()>) -> anyhow::Error {
    while let Some(ended) = own.join_next().await {
        if let Err(bug) = ended {
            return anyhow!("a task of the host failed, which is a bug: {bug}");
        }
    }
    std::future::pending().await
}
