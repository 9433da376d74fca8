//! Wiring: one run of the host. In: the checked configuration and what to do with signals. Out: an exit code. Owns the two
//! runtimes (the message path and the pool) and the order in which everything starts and stops.
//!
//! Start: broker, guests loaded and routed, sessions, services, supervisor. Stop: no more messages taken, services drained,
//! sessions flushed, broker.

#[cfg(not(feature = "embedded-broker"))]
#[path = "app/no_broker.rs"]
mod broker;
mod engine;
mod sessions;
mod start;
mod state;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

#[cfg(feature = "embedded-broker")]
use crate::broker;
use crate::config::{Broker, Config, Connection};
use crate::{requests, timers};

pub use start::Loaded;
use start::{Intervals, Shared};
use state::State;

/// Threads of the pool: slow guest calls, the embedded broker, preparation of new versions.
const POOL_THREADS: usize = 2;

/// Exit code after a second signal, as a shell reports an interrupted program.
const INTERRUPTED: u8 = 130;

/// What there is to say to a person once everything is loaded and the broker is known.
pub struct Started<'a> {
    /// How the broker is reached.
    pub connection: &'a Connection,
    /// Whether it is the embedded one.
    pub embedded: bool,
    /// The services.
    pub services: &'a [Loaded],
}

/// Says it.
pub type Greeting<'a> = &'a dyn Fn(&Started<'_>);

/// Runs the host until a signal stops it.
///
/// # Errors
/// When it cannot start, or when the broker says that another client has taken over its client id.
pub fn run(config: Config, greet: Greeting<'_>) -> anyhow::Result<ExitCode> {
    let pool = Builder::new_multi_thread().worker_threads(POOL_THREADS).thread_name("pool").enable_all().build()?;
    let path = Builder::new_current_thread().enable_all().build()?;
    let outcome = path.block_on(live(config, greet, &pool));
    // what still runs there after the deadline is not waited for
    pool.shutdown_background();
    outcome
}

async fn live(config: Config, greet: Greeting<'_>, pool: &Runtime) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let stop_deadline = config.stop_deadline;
    let host = engine::engine(&config)?;
    let mut state = State::open(&config)?;
    let (requests, reception) = requests::requests();
    let (opened, opening) = oneshot::channel();
    tokio::spawn(reception.run(opening));
    let intervals = Intervals { online: config.online_interval, statistics: config.statistics_interval };
    let shared = Shared { state: &mut state, requests, discovery_prefix: config.ha_discovery_prefix };
    let loaded = start::load_all(&host, pool.handle(), config.services, shared).await?;
    let (connection, broker) = connect(config.broker, pool).await?;
    greet(&Started { connection: &connection, embedded: broker.is_some(), services: &loaded });

    let (timers, clock) = timers::timers();
    tokio::spawn(timers.run());
    let mut sessions = sessions::open(&connection, &loaded, config.presence_connections, &mut state)?;
    // the reception lives as long as this task does
    drop(opened.send((connection.clone(), sessions.main())));
    let mut supervisor =
        start::services(host, pool.handle().clone(), loaded, &sessions, &clock, intervals, &state.store).await?;
    info!(services = supervisor.services(), "running");

    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Stop(name) => break info!("stopping on {name}"),
                Asked::Report => supervisor.report().await,
            },
            () = supervisor.run() => {}
            error = sessions.failed() => return Err(error),
        }
    }
    let deadline = Instant::now() + stop_deadline;
    tokio::select! {
        name = signals.stop() => {
            warn!("stopping at once on a second signal ({name})");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        () = async {
            sessions.quiesce().await;
            // what is late here is not acknowledged, so the broker delivers it again
            let _ = tokio::time::timeout_at(deadline.into(), supervisor.stop(deadline)).await;
            for (id, service) in supervisor.unfinished() {
                warn!(service = service.name.as_str(), "has not stopped in time; what it is handling comes again");
                sessions.offline(id, &service.base).await;
            }
            sessions.stop(deadline.max(Instant::now() + Duration::from_secs(1))).await;
            state.store.flush().await;
        } => {}
    }
    if let Some(broker) = broker
        && let Err(error) = broker.stop().await
    {
        warn!("{error}");
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Starts the embedded broker if that is the one to use, and says how to reach the broker.
async fn connect(broker: Broker, pool: &Runtime) -> anyhow::Result<(Connection, Option<broker::Running>)> {
    match broker {
        Broker::Remote(connection) => Ok((connection, None)),
        Broker::Embedded(embedded, mut connection) => {
            let (own, wanted) = (connection.credentials.clone(), embedded.listen);
            let running = pool
                .spawn(async move { broker::start(&embedded, own.as_ref()).await })
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

/// The address by which this machine reaches what listens on `address`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}

/// What a signal asks for.
enum Asked {
    /// To stop; with the signal's name.
    Stop(&'static str),
    /// Statistics in the log.
    Report,
}

/// SIGTERM and SIGINT to stop, SIGUSR1 for statistics.
struct Signals {
    report: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let report = signal(SignalKind::user_defined1())?;
        Ok(Self { report, terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.report.recv() => Asked::Report,
        }
    }

    /// The next one that asks to stop.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
