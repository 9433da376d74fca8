//! Decides which events are written: ours by the host's level, a guest's by its service's level.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, Level};
use crate::span;

use super::GUEST;
use super::scope::with_name;

/// Levels of the host and of its services. Other crates are heard from `warn` on: their lines below that are for their
/// developers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    host: LevelFilter,
    /// Services that have a level of their own.
    services: HashMap<String, LevelFilter>,
}

impl Levels {
    /// Levels of a configuration.
    pub fn from_config(config: &Config) -> Self {
        let services = config
            .services
            .iter()
            .filter_map(|service| Some((service.name.clone(), level_filter(service.log_level?))))
            .collect();

        Self {
            host: level_filter(config.log.level),
            services,
        }
    }

    /// Sets the level of the host, and of services without a level of their own.
    pub fn set_host(&mut self, level: Level) {
        self.host = level_filter(level);
    }

    /// The same level for all, as long as there is no configuration.
    pub fn all(level: Level) -> Self {
        Self {
            host: level_filter(level),
            services: HashMap::new(),
        }
    }

    /// Sets the level of one service; with `None` it has the host's.
    pub fn set_service(&mut self, name: &str, level: Option<Level>) {
        match level {
            Some(level) => self.services.insert(name.to_owned(), level_filter(level)),
            None => self.services.remove(name),
        };
    }

    /// The most verbose level at which an event of this call site may be written, for any service.
    fn for_callsite(&self, metadata: &Metadata<'_>) -> LevelFilter {
        match metadata.target() {
            target if target.starts_with(GUEST) => self.most_verbose(),
            target if target.starts_with("miqro") => self.host,
            _ if self.host == LevelFilter::TRACE => LevelFilter::DEBUG,
            // the broker sums up its bad clients in one line of ours
            target if target.starts_with("mqtt5") => self.host.min(LevelFilter::ERROR),
            _ => self.host.min(LevelFilter::WARN),
        }
    }

    fn for_service(&self, name: &str) -> LevelFilter {
        self.services.get(name).copied().unwrap_or(self.host)
    }

    fn most_verbose(&self) -> LevelFilter {
        self.services
            .values()
            .copied()
            .fold(self.host, LevelFilter::max)
    }
}

pub(super) fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

/// Levels that can change at run time. A clone shares them.
///
/// They are read only for events whose call site does not decide: lines of guests at a level that some service wants.
/// (`tracing_subscriber::reload` asks about call sites only, not about events.)
#[derive(Debug, Clone)]
pub(super) struct LiveLevels(Arc<RwLock<Levels>>);

impl LiveLevels {
    pub(super) fn new(levels: Levels) -> Self {
        Self(Arc::new(RwLock::new(levels)))
    }

    pub(super) fn set(&self, levels: Levels) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = levels;
        tracing::callsite::rebuild_interest_cache();
    }

    /// Changes the levels.
    pub(super) fn change(&self, change: impl FnOnce(&mut Levels)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
        tracing::callsite::rebuild_interest_cache();
    }

    fn read(&self) -> RwLockReadGuard<'_, Levels> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Filter<S> for LiveLevels
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= self.read().for_callsite(metadata)
    }

    /// The answer is cached at the call site, so a line that is not written costs next to nothing.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() > self.read().for_callsite(metadata) {
            Interest::never()
        } else if metadata.target().starts_with(GUEST) {
            Interest::sometimes()
        } else {
            Interest::always()
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        let levels = self.read();
        if levels.services.is_empty() || !event.metadata().target().starts_with(GUEST) {
            return true;
        }

        let level = with_name(context.event_scope(event), span::SERVICE, |service| {
            levels.for_service(service)
        });

        *event.metadata().level() <= level.unwrap_or(levels.host)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.read().most_verbose())
    }
}
