//! Surface: `miqro-host run`. In: component files and the configuration file. Out: the running host, and on standard output
//! where it listens and a line to try it with. Owns nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracing::warn;

use crate::app::{self, Started};
use crate::config::{Config, Selection};
use crate::logging::{self, Levels};
use crate::message::Subscription;

const EXAMPLES: &str = "Examples:
  miqro-host run guests/echo.wasm                 the echo service on the embedded broker
  miqro-host run a.wasm b.wasm --config home.yml  two services, with the broker that home.yml names
  miqro-host run                                  every service of miqro.yml that has a component

A service is named after its file's stem. Replace a .wasm file while it runs, and the new version takes over between two
messages. SIGTERM or Ctrl-C stops after what was taken is handled; a second one stops at once.";

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Component files; without any, every service of the configuration that has a component
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Run {
    /// Runs until a signal stops it.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let loaded = Config::load(config, Selection::Run(&self.files))?;
        let _logs = logging::start(Levels::of(&loaded.config), loaded.config.log.format)?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        app::run(loaded.config, &greet)
    }
}

fn greet(started: &Started<'_>) {
    let address = format!("{}:{}", started.connection.host, started.connection.port);
    match started.embedded {
        true => println!("embedded broker listening on {address}"),
        false => println!("connecting to the broker on {address}"),
    }
    for service in started.services {
        println!("service {} below {}", service.config.name, service.config.base);
    }
    if let Some(line) = started.services.iter().find_map(|service| try_line(started, &service.subscriptions)) {
        println!("to try it, copy into another terminal:\n  {line}");
    }
}

/// A command that makes a service answer: for its first subscription without wildcards.
fn try_line(started: &Started<'_>, subscriptions: &[Subscription]) -> Option<String> {
    let filter = subscriptions.iter().map(|s| s.filter.as_str()).find(|filter| !filter.contains(['+', '#', '$']))?;
    let below = filter.rsplit_once('/').map_or("#".to_owned(), |(base, _)| format!("{base}/#"));
    let program = std::env::args().next().unwrap_or_else(|| "miqro-host".to_owned());
    let port = started.connection.port;
    let host = &started.connection.host;
    Some(format!("{program} pub --host {host} --port {port} --answers '{below}' {filter} hello"))
}
