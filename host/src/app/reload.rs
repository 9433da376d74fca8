//! Reload of the configuration, on SIGHUP or when its file changes.
//!
//! Everything is prepared first, while the services keep running: the file is read, certificates are opened, components loaded and
//! guests started. Only when all of this has succeeded is the new configuration put in force, by steps that cannot fail. If any
//! part fails, the running configuration stays.

mod error;
mod plan;

use tokio::task::JoinSet;
use tracing::error;

use crate::config::{self, Blank, Config, Connection};
use crate::span;

use super::awaited::{FileEvent, Files};
use super::identity;
use super::source::Source;

pub(super) use error::{ReloadError, say_refused};
use plan::Before;
pub(super) use plan::{Plan, plan};

/// Result of preparing a new configuration.
pub(super) struct Outcome {
    /// The plan, or the reason why there is none.
    pub plan: Result<Plan, ReloadError>,
    /// The number of its file in the file system, when it was read.
    pub inode: Option<u64>,
}

/// The running configuration, and the state of a reload.
pub(super) struct Reload {
    source: Source,
    pub(super) config: Config,
    pub(super) blank: Option<Blank>,
    /// The client identifier where the configuration has none.
    client_id: String,
    pub(super) files: Files,
    /// Reason to read the configuration again, if one is pending.
    pub(super) asked: Option<&'static str>,
    pub(super) preparing: JoinSet<Outcome>,
}

impl Reload {
    /// `loaded` came from `source` and runs, with `client_id` where it has none. Services that were left out are added when their
    /// files come.
    pub(super) fn new(source: Source, loaded: &config::LoadedConfig, client_id: String) -> Self {
        let mut config = loaded.config.clone();
        identity::complete(&mut config, &client_id);
        let files = Files::new(config.file.clone(), config.host.watch_interval);
        for held in &loaded.held {
            let service = held.service.as_str();
            held.errors.iter().for_each(|problem| {
                span::service(service).in_scope(|| {
                    error!("does not run before this is mended: {problem}");
                })
            });
        }

        let missing = loaded
            .held
            .iter()
            .flat_map(|held| &held.errors)
            .filter_map(|problem| problem.awaited.clone());
        files.wait_for(missing.collect());
        Self {
            source,
            config,
            blank: loaded.blank,
            client_id,
            files,
            asked: None,
            preparing: JoinSet::new(),
        }
    }

    /// The configuration that runs.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Waits until one of the files changes or a plan is made. Cancel-safe.
    pub(super) async fn next(&mut self) -> Next {
        tokio::select! {
            happened = self.files.next() => Next::Files(happened),
            Some(outcome) = self.preparing.join_next() => {
                let failed = |bug: tokio::task::JoinError| Outcome { plan: Err(bug.into()), inode: None };
                Next::Plan(Box::new(outcome.unwrap_or_else(failed)))
            }
        }
    }

    /// Copies the running configuration, for the comparison with a new one.
    pub(super) fn before(&self, connection: &Connection) -> Before {
        Before {
            source: self.source.clone(),
            config: self.config.clone(),
            blank: self.blank,
            client_id: self.client_id.clone(),
            connection: connection.clone(),
        }
    }
}

/// Next step of a reload.
pub(super) enum Next {
    /// Ask for a plan, or log why there is none.
    Files(FileEvent),
    /// Put a plan in force, or log why there is none.
    Plan(Box<Outcome>),
}
