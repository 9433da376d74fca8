//! The command line of the bench.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures the host: echo against three other ways, cold start, swaps, hostile neighbours, watchers, typed calls, idle memory, timers.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// A contender to run instead of the bench: contenders are sub-commands, so that each is a process of its own.
    #[command(subcommand)]
    pub contender: Option<Role>,
    /// More and longer rounds.
    #[arg(long)]
    pub full: bool,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Measurement>,
    /// Number of rounds, in place of 5 (or 7 with --full).
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Writes the figures as JSON, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The host's binary.
    #[arg(long)]
    pub host: Option<PathBuf>,
    /// The directory with the guests.
    #[arg(long, default_value = "guests")]
    pub guests: PathBuf,
    /// A Python that has paho-mqtt; looked for when not given.
    #[arg(long, env = "MIQRO_PYTHON")]
    pub python: Option<PathBuf>,
    /// Directory for configurations and logs, kept; a temporary one when not given.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

impl Options {
    /// Whether `measurement` is wanted.
    pub(crate) fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }
}

/// The measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Echo with the generator as broker.
    Direct,
    /// Echo through mosquitto.
    Mosquitto,
    /// Echo on the embedded broker.
    Embedded,
    /// The cost of at-least-once.
    AtLeastOnce,
    /// First answer after a restart of the broker.
    Recovery,
    /// Process start to first answer.
    Cold,
    /// Replacing the guest under load.
    Swap,
    /// A service beside a hostile one.
    Hostile,
    /// A service beside a slow one.
    Slow,
    /// A service that pages and Prometheus watch.
    Watched,
    /// Calls between typed services.
    Typed,
    /// Memory of idle services.
    Idle,
    /// CPU of services that tick.
    Ticking,
}

impl Measurement {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 13] = [
        Self::Direct,
        Self::Mosquitto,
        Self::Embedded,
        Self::AtLeastOnce,
        Self::Recovery,
        Self::Cold,
        Self::Swap,
        Self::Hostile,
        Self::Slow,
        Self::Watched,
        Self::Typed,
        Self::Idle,
        Self::Ticking,
    ];
}

/// A process that is measured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Role {
    /// Contender (a).
    #[command(hide = true)]
    Native(Place),
    /// Contender (c).
    #[command(hide = true)]
    Handler(Place),
    /// Contender (d).
    #[command(hide = true)]
    Prompt(Place),
    /// The ceiling.
    #[command(hide = true)]
    Raw(Place),
    /// The guest without a host.
    #[command(hide = true)]
    Call {
        /// The component.
        component: PathBuf,
    },
}

/// Arguments of a contender.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Place {
    /// The broker's port.
    pub port: u16,
    /// The QoS of the messages.
    pub qos: u8,
}
