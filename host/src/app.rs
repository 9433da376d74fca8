//! One run of the host. It creates the four runtimes (the message path, the two pools and the embedded broker) and determines
//! the order in which everything starts and stops.
//!
//! Start: broker, guests loaded and routed, sessions, services, supervisor. Stop: no more messages taken, services drained,
//! sessions flushed, broker.
#![expect(
    clippy::disallowed_methods,
    reason = "wiring starts the tasks and ends them"
)]

mod awaited;
#[cfg(not(feature = "embedded-broker"))]
#[path = "app/no_broker.rs"]
mod broker;
mod control;
mod engine;
mod identity;
mod reload;
mod sessions;
mod signals;
mod source;
mod start;
mod state;
mod systemd;
mod waiting;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{info, warn};

#[cfg(feature = "embedded-broker")]
use crate::broker;
use crate::config::{self, Broker, Connection};
use crate::logging::{Levels, Logs};
use crate::panic_hook;
use crate::rollout::archive::Archive;
use crate::rollout::loader::Loader;
use crate::service::{Pools, Shared};
use crate::session::ConnectionStatus;
use crate::store::{Contents, Store};
use crate::watch::Watch;
use crate::{priority, request_reply, timers};

use awaited::Happened;
use control::Control;
pub use engine::default_cache_dir;
use identity::Identity;
use reload::{House, Means, Next, Reload};
use signals::{Received, Signals};
pub use source::Source;
pub use start::Loaded;
use start::{Intervals, Surroundings};
pub use state::directories as state_directories;
use systemd::Notifier;

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

/// Facts for the greeting, once everything is loaded and the broker is known.
pub struct Started<'a> {
    /// How the broker is reached.
    pub connection: &'a Connection,
    /// Whether it is the embedded one.
    pub embedded: bool,
    /// The services.
    pub services: &'a [Loaded],
}

/// Arguments of one run of the host.
pub struct Run<'a> {
    /// The configuration, as [`Source::begin`] gives it.
    pub loaded: config::Loaded,
    /// Its source.
    pub source: Source,
    /// Destination of log lines.
    pub logs: &'a Logs,
    /// Prints the greeting: the address of the broker and the services.
    pub greet: &'a dyn Fn(&Started<'_>),
    /// Called once: everything is loaded, and the first attempt to connect was made.
    pub ready: &'a dyn Fn(),
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
fn threads(name: &str, count: usize, prepare: fn()) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        .on_thread_start(prepare)
        .enable_all()
        .build()
}

async fn live(run: Run<'_>, pools: &Pools, broker_threads: &Runtime) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let notifier = Notifier::from_environment();
    let loaded =
        match waiting::whole(run.loaded, &run.source, &mut signals, &notifier, run.ready).await {
            waiting::Start::Whole(loaded) => *loaded,
            waiting::Start::Stop(name) => {
                info!("stopped on {name}");
                return Ok(ExitCode::SUCCESS);
            }
        };
    run.logs.set(
        Levels::from_config(&loaded.config),
        loaded.config.log.format,
    );
    let named = !run.source.files.is_empty();
    let identity = Identity::of(&loaded.config, named)?;
    let reload = Reload::new(run.source, &loaded, identity.client_id().to_owned());
    let mut config = loaded.config;
    identity.complete(&mut config);
    let engine = engine::engine(&config)?;
    let (
        store,
        Contents {
            state,
            waiting,
            spools,
            ..
        },
    ) = Store::open(identity.state_file())?;
    let mut control = Control::open(identity.state_file(), &pools.usual);
    let (requests, reception) = request_reply::channel();
    let (opened, opening) = oneshot::channel();
    let mut own = JoinSet::new();
    own.spawn(reception.run(opening));
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    let shared = Shared::new(
        store.clone(),
        state,
        requests,
        connection.session.protocol,
        config.ha_discovery_prefix,
    );
    let intervals = Intervals {
        online: config.host.online_interval,
        statistics: config.host.statistics_interval,
    };
    let archive = Archive::beside(identity.state_file());
    let loader = Loader::new(engine, pools.usual.clone(), archive);
    let files = config
        .services
        .iter()
        .flat_map(|service| loader.watched_for(service));
    let watch = Watch::new(files, config.host.watch_interval)?;
    let (loaded, failures) = start::load_all(&loader, config.services, &shared, spools).await?;
    start::judge(&loaded, failures, named)?;
    let (connection, mut broker) = connect(config.broker, broker_threads).await?;
    (run.greet)(&Started {
        connection: &connection,
        embedded: broker.is_some(),
        services: &loaded,
    });

    let (timers, clock) = timers::timers();
    own.spawn(timers.run());
    let sessions = sessions::open(
        &connection,
        &loaded,
        config.host.presence_connections,
        &store,
        waiting,
    )?;
    // an error means that the task for requests has ended
    drop(opened.send((connection.clone(), sessions.main())));
    let around = Surroundings {
        sessions: &sessions,
        clock: &clock,
        pools,
        shared: &shared,
        intervals,
    };
    let supervisor = start::services(loader.clone(), loaded, watch, &around).await?;
    let means = Means {
        loader,
        pools: pools.clone(),
        clock,
        shared,
        intervals,
    };
    let mut house = House::new(means, sessions, supervisor, run.logs, reload);
    info!(services = house.supervisor.services(), "running");

    let name = tokio::select! {
        name = serve(&mut house, &mut signals, &mut control, &notifier, run.ready) => name?,
        error = ended(&mut broker) => return Err(error.into()),
        bug = broken(&mut own) => return Err(bug),
    };
    info!("stopping on {name}");
    notifier.tell("STOPPING=1");
    let deadline = Instant::now() + house.reload.config().host.stop_deadline;
    let stopped = tokio::select! {
        name = stop_signal(&mut signals) => Err(name),
        () = stop(&mut house, &store, deadline) => Ok(()),
        () = notifier.watch_for_ever() => Ok(()),
    };
    if let Err(name) = stopped {
        warn!("stopping at once on a second signal ({name})");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(broker) = broker {
        stop_broker(broker, deadline.max(Instant::now() + BROKER_STOP)).await;
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Runs until a signal to stop, and returns its name.
async fn serve(
    house: &mut House<'_>,
    signals: &mut Signals,
    control: &mut Control,
    notifier: &Notifier,
    ready: &dyn Fn(),
) -> anyhow::Result<&'static str> {
    let mut status = house.sessions.main().status();
    let mut is_ready = false;
    let mut pulse = tokio::time::Instant::now();
    loop {
        house.begin_reload(notifier);
        tokio::select! {
            signal = signals.next() => match signal {
                Received::Stop(name) => return Ok(name),
                Received::Hangup => house.hangup(),
                Received::Report => house.supervisor.report().await,
            },
            asked = control.next() => house.obey(asked),
            error = house.sessions.failed() => return Err(error),
            left = house.supervisor.run() => house.close(left).await,
            next = house.reload.next() => match next {
                Next::Files(Happened::Changed(cause)) => house.ask(cause),
                Next::Files(Happened::Settled(refusal)) => reload::say_refused(&refusal),
                Next::Plan(plan) => house.conclude_reload(*plan, notifier).await,
            },
            () = notifier.watch(&mut pulse) => {}
            _ = status.wait_for(|status| *status != ConnectionStatus::Connecting), if !is_ready => {
                is_ready = true;
                notifier.ready(house.supervisor.services());
                ready();
            }
        }
    }
}

/// Waits for the next signal to stop and ignores others.
async fn stop_signal(signals: &mut Signals) -> &'static str {
    loop {
        if let Received::Stop(name) = signals.next().await {
            return name;
        }
    }
}

/// Stops everything in order.
async fn stop(house: &mut House<'_>, store: &Store, deadline: Instant) {
    house.sessions.quiesce().await;
    // messages that are not handled in time stay unacknowledged, so the broker delivers them again
    let _ = tokio::time::timeout_at(deadline.into(), house.supervisor.stop(deadline)).await;
    for (id, service) in house.supervisor.unfinished() {
        warn!(
            service = service.name.as_str(),
            "has not stopped in time; its unacknowledged messages will be delivered again"
        );
        house.sessions.offline(id, &service).await;
    }
    house
        .sessions
        .stop(deadline.max(Instant::now() + Duration::from_secs(1)))
        .await;
    store.close().await;
}

/// Lets the embedded broker write its data.
async fn stop_broker(broker: broker::Running, deadline: Instant) {
    match tokio::time::timeout_at(deadline.into(), broker.stop()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("{error}"),
        Err(_) => {
            warn!("the embedded broker has not ended in time; its unwritten data is lost")
        }
    }
}

/// Waits until the embedded broker ends by itself. The host cannot work without it.
async fn ended(broker: &mut Option<broker::Running>) -> broker::BrokerError {
    match broker {
        Some(broker) => broker.ended().await,
        None => std::future::pending().await,
    }
}

/// Waits until one of the host's own tasks fails. The host cannot work without it, so it ends and is started again.
async fn broken(own: &mut JoinSet<()>) -> anyhow::Error {
    while let Some(ended) = own.join_next().await {
        if let Err(bug) = ended {
            return anyhow!("a task of the host failed, which is a bug: {bug}");
        }
    }
    std::future::pending().await
}

/// Starts the embedded broker if it is configured, and returns the settings to reach the broker.
async fn connect(
    broker: Broker,
    threads: &Runtime,
) -> anyhow::Result<(Connection, Option<broker::Running>)> {
    match broker {
        Broker::Remote(connection) => Ok((connection, None)),
        Broker::Embedded(embedded, mut connection) => {
            let wanted = embedded.listen;
            let (client_id, credentials) =
                (connection.client_id.clone(), connection.credentials.clone());
            let running = threads
                .spawn(async move {
                    let owner = broker::Owner {
                        client_id: &client_id,
                        credentials: credentials.as_ref(),
                    };
                    broker::start(&embedded, Some(owner)).await
                })
                .await
                .context("starting the embedded broker")??;
            let address = running.address();
            if address.port() != wanted.port() && wanted.port() != 0 {
                warn!("{wanted} is in use; the embedded broker listens on {address} instead");
            }
            connection.host = reachable(address.ip()).to_string();
            connection.port = address.port();
            Ok((connection, Some(running)))
        }
    }
}

/// Address at which this machine reaches a server that listens on `address`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}
