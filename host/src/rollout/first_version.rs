//! The version that a service begins with when the host starts: that of its file, or the one before it where that was rolled back.

use tracing::{error, warn};

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
    /// The version that a service begins with, whose file has `component`.
    ///
    /// # Errors
    /// When a version is needed that is not compiled, and the loader does not compile. Other errors are logged, and cost the version
    /// that they are about.
    pub async fn first_version(
        &self,
        component: Component,
        service: &str,
        history: &VersionHistory,
        store: &Store,
    ) -> Result<FirstVersion, LoadError> {
        let component = self.load_in_place_of(component, service, history).await?;
        let version = component.version();
        let interrupted = self
            .load_interrupted(version, service, history, store)
            .await?;
        Ok(FirstVersion {
            component,
            interrupted,
        })
    }

    /// The version that runs in place of the one in the file, if that was rolled back in an earlier run of the host.
    async fn load_in_place_of(
        &self,
        component: Component,
        service: &str,
        history: &VersionHistory,
    ) -> Result<Component, LoadError> {
        let version = component.version();
        let good = match history.running() {
            Some(good) if history.rejected().contains(&version) => good,
            _ => return Ok(component),
        };
        let bad = version.short();
        match self.load_kept(good).await {
            Ok(kept) => {
                let good = good.short();
                span::service(service).in_scope(|| {
                    warn!(
                        "version {bad} of its file was rolled back: {good} runs until the file has other bytes"
                    );
                });
                Ok(kept)
            }
            Err(error @ LoadError::NotCompiled(_)) => Err(error),
            Err(error) => {
                span::service(service).in_scope(|| {
                    error!(
                        "running {bad} although it was rolled back: cannot load {}: {error}",
                        good.short()
                    );
                });
                Ok(component)
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
