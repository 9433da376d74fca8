//! The version that a service begins with when the host starts: that of its file, or the one before it where that was rolled back or
//! waits for a command.

use tracing::{error, info, warn};

use crate::config;
use crate::guest::Component;
use crate::span;
use crate::store::{Store, StoreError};
use crate::version::Version;

use super::Fallback;
use super::history::VersionHistory;
use super::loader::{LoadError, Loader};

/// The version that a service begins with.
pub struct FirstVersion {
    /// The component.
    pub component: Component,
    /// The component in the file.
    pub in_file: Component,
    /// Fallback in case the version that was on probation when the host ended fails.
    pub interrupted: Option<Fallback>,
}

/// A former version cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FallbackError {
    /// Its component cannot.
    #[error(transparent)]
    Component(#[from] LoadError),
    /// The state that it left cannot.
    #[error(transparent)]
    Snapshot(#[from] StoreError),
}

impl Loader {
    /// The version that a service begins with, whose file has `in_file`.
    ///
    /// # Errors
    /// When a version is needed that is not compiled, and the loader does not compile. Other errors are logged, and cost the version
    /// that they are about.
    pub async fn first_version(
        &self,
        in_file: Component,
        config: &config::Service,
        history: &VersionHistory,
        store: &Store,
    ) -> Result<FirstVersion, LoadError> {
        let component = self.load_in_place_of(&in_file, config, history).await?;
        let version = component.version();
        let interrupted = self
            .load_interrupted(version, &config.name, history, store)
            .await?;
        Ok(FirstVersion {
            component,
            in_file,
            interrupted,
        })
    }

    /// The version that ran before and runs in place of the one in the file, if that was rolled back in an earlier run of the host, or
    /// does not take over by itself.
    async fn load_in_place_of(
        &self,
        in_file: &Component,
        config: &config::Service,
        history: &VersionHistory,
    ) -> Result<Component, LoadError> {
        let version = in_file.version();
        let is_rejected = history.rejected().contains(&version);
        let before = match history.running() {
            Some(before) if before != version && (is_rejected || !config.swap.automatic) => before,
            _ => return Ok(in_file.clone()),
        };

        let (new, old) = (version.short(), before.short());
        let span = span::service(&config.name);
        match self.load_kept(before).await {
            Ok(kept) => {
                span.in_scope(|| match is_rejected {
                    true => warn!(
                        "version {new} of its file was rolled back: {old} runs until the file has other bytes"
                    ),
                    false => info!(
                        "version {new} of its file waits for the command `update`: {old} runs on"
                    ),
                });
                Ok(kept)
            }
            Err(error @ LoadError::NotCompiled(_)) => Err(error),
            Err(error) => {
                span.in_scope(|| {
                    error!("running {new} in place of {old}, which cannot be loaded: {error}");
                });
                Ok(in_file.clone())
            }
        }
    }

    /// The fallback of a version that was on probation when the host ended; `None` where `version` was not.
    async fn load_interrupted(
        &self,
        version: Version,
        service: &str,
        history: &VersionHistory,
        store: &Store,
    ) -> Result<Option<Fallback>, LoadError> {
        if !history.is_on_probation() || history.running() != Some(version) {
            return Ok(None);
        }
        let Some(former) = history.former_versions().first() else {
            return Ok(None);
        };
        match self.load_fallback(*former, service, store).await {
            Ok(fallback) => Ok(Some(fallback)),
            Err(FallbackError::Component(error @ LoadError::NotCompiled(_))) => Err(error),
            Err(error) => {
                span::service(service).in_scope(|| {
                    error!("is no longer on probation: cannot load the version before it: {error}");
                });
                Ok(None)
            }
        }
    }

    /// A former version with the state that it left.
    ///
    /// # Errors
    /// When its component or its state cannot be loaded.
    pub async fn load_fallback(
        &self,
        version: Version,
        service: &str,
        store: &Store,
    ) -> Result<Fallback, FallbackError> {
        let snapshot = store.snapshot(service, version).await?;
        let component = self.load_kept(version).await?;
        Ok(Fallback {
            component,
            snapshot,
        })
    }
}
