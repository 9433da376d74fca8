//! The loader of components: reads a file, checks its signature, compiles it, and keeps it in the archive. All of it runs on the
//! pool, not on the message path.
#![expect(
    clippy::disallowed_methods,
    reason = "the loader prepares versions on the pool"
)]

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::{error, warn};

use crate::config;
use crate::guest::{Component, ComponentError, Engine, Fault};
use crate::service_ctx::ServiceCtx;
use crate::signature::{self, Key, SignatureError};
use crate::store::{Store, StoreError};
use crate::version::Version;

use super::Fallback;
use super::archive::Archive;
use super::handover::{self, StartedInstance};
use super::history::VersionHistory;

/// A component cannot be loaded; the message names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a component that fulfils the contract.
    #[error("{path}: {source}")]
    Component {
        /// The file.
        path: PathBuf,
        /// The violation of the contract.
        source: ComponentError,
    },
    /// The file has no valid signature of a trusted key.
    #[error("{path}: {source}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// The fault of its signature.
        source: SignatureError,
    },
    /// The file of a kept version has other bytes.
    #[error("{0}: the bytes differ from those that were kept")]
    Altered(PathBuf),
    /// A bug of the host.
    #[error("{path}: loading it failed in the host, which is a bug: {reason}")]
    Bug {
        /// The file.
        path: PathBuf,
        /// The panic.
        reason: String,
    },
}

/// Loads components. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    engine: Arc<Engine>,
    pool: Handle,
    archive: Archive,
}

impl Loader {
    /// Creates a loader that compiles on `pool` and keeps components in `archive`.
    pub fn new(engine: Arc<Engine>, pool: Handle, archive: Archive) -> Self {
        Self {
            engine,
            pool,
            archive,
        }
    }

    /// The runtime that components are compiled on.
    pub const fn pool(&self) -> &Handle {
        &self.pool
    }

    /// Reads and compiles the component file `path`. `keep`: a component that can run is also put into the archive, which is not
    /// waited for.
    ///
    /// # Errors
    /// When the file cannot be read, is not signed as it must be, or is not a component that fulfils the contract.
    pub async fn load(&self, path: &Path, keep: bool) -> Result<Component, LoadError> {
        let engine = self.engine.clone();
        let file = path.to_owned();
        let loading = self.pool.spawn_blocking(move || {
            let bytes = std::fs::read(&file).map_err(|source| LoadError::Read {
                path: file.clone(),
                source,
            })?;
            // the very bytes that are compiled are verified, so nobody can exchange the file in between
            let signature = check_signature(engine.trust(), &file, &bytes)?;
            let component = engine
                .compile(&bytes)
                .map_err(|source| LoadError::Component { path: file, source })?;
            Ok((component, bytes, signature))
        });
        let loaded = loading.await.map_err(|panic| LoadError::Bug {
            path: path.to_owned(),
            reason: panic.to_string(),
        })?;
        let (component, bytes, signature) = loaded?;

        if keep {
            self.keep(component.version(), bytes, signature);
        }
        Ok(component)
    }

    fn keep(&self, version: Version, bytes: Vec<u8>, signature: Option<String>) {
        let archive = self.archive.clone();
        self.pool.spawn_blocking(move || {
            if let Err(error) = archive.keep(version, &bytes, signature.as_deref()) {
                warn!(
                    "cannot keep version {}, a rollback to it will not be possible: {error}",
                    version.short()
                );
            }
        });
    }

    /// Compiles a version of the archive.
    ///
    /// # Errors
    /// When it is not there, has other bytes than those that were kept, or cannot run.
    pub async fn load_kept(&self, version: Version) -> Result<Component, LoadError> {
        let file = self.archive.file(version);
        let component = self.load(&file, false).await?;
        if component.version() == version {
            Ok(component)
        } else {
            Err(LoadError::Altered(file))
        }
    }

    /// Starts an instance of a component.
    ///
    /// # Errors
    /// The fault of the guest; its effects are dropped.
    pub async fn prepare(
        &self,
        component: Component,
        ctx: Arc<ServiceCtx>,
    ) -> Result<StartedInstance, Fault> {
        let starting = self.pool.spawn(handover::prepare(component, ctx));
        starting
            .await
            .unwrap_or_else(|panic| Err(Fault::Bug(panic.to_string())))
    }

    /// Removes old versions other than `kept` from the archive; it is not waited for.
    pub fn tidy_archive(&self, kept: HashSet<Version>) {
        let archive = self.archive.clone();
        self.pool.spawn_blocking(move || {
            if let Err(error) = archive.tidy(&kept) {
                warn!("cannot remove versions that are no longer kept: {error}");
            }
        });
    }

    /// The version that runs in place of the one in the file, if that was rolled back in an earlier run of the host.
    pub async fn load_in_place_of(
        &self,
        component: Component,
        service: &str,
        history: &VersionHistory,
    ) -> Component {
        let version = component.version();
        let good = match history.running() {
            Some(good) if history.rejected().contains(&version) => good,
            _ => return component,
        };
        let bad = version.short();
        match self.load_kept(good).await {
            Ok(kept) => {
                let good = good.short();
                warn!(
                    service,
                    "version {bad} of its file was rolled back: {good} runs until the file has other bytes"
                );
                kept
            }
            Err(error) => {
                error!(
                    service,
                    "running {bad} although it was rolled back: cannot load {}: {error}",
                    good.short()
                );
                component
            }
        }
    }

    /// The fallback of a version that was on probation when the host ended; `None` where `version` was not.
    pub async fn load_interrupted(
        &self,
        version: Version,
        service: &str,
        history: &VersionHistory,
        store: &Store,
    ) -> Option<Fallback> {
        if !history.is_on_probation() || history.running() != Some(version) {
            return None;
        }
        let former = *history.former_versions().first()?;
        match self.load_fallback(former, service, store).await {
            Ok(fallback) => Some(fallback),
            Err(error) => {
                error!(
                    service,
                    "is no longer on probation: cannot load the version before it: {error}"
                );
                None
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

    /// The files to watch for new versions of the component `file`: the file, and its signature where one is needed.
    pub fn watched_files(&self, file: &Path) -> Vec<PathBuf> {
        let is_signed = !self.engine.trust().is_empty();
        let signature = is_signed.then(|| signature::file_of(file));
        std::iter::once(file.to_owned()).chain(signature).collect()
    }

    /// The files to watch for a service: those of its component, and the directories granted to it that do not exist yet.
    pub fn watched_for(&self, service: &config::Service) -> Vec<PathBuf> {
        let component = service
            .component
            .iter()
            .flat_map(|file| self.watched_files(file));
        let directories = service
            .grants
            .directories
            .iter()
            .map(|directory| &directory.path);
        component
            .chain(directories.filter(|path| !path.exists()).cloned())
            .collect()
    }

    /// The component that may have a new version because the watched file `changed`: itself, or the one that it signs.
    pub fn component_of(&self, changed: PathBuf) -> PathBuf {
        if self.engine.trust().is_empty() {
            changed
        } else {
            signature::signed_by(&changed).unwrap_or(changed)
        }
    }
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

/// Checks that the file is signed by one of `trust`, if there are any. Returns the signature, which is kept with the file.
fn check_signature(trust: &[Key], file: &Path, bytes: &[u8]) -> Result<Option<String>, LoadError> {
    if trust.is_empty() {
        return Ok(None);
    }
    let beside = signature::file_of(file);
    let text = match std::fs::read(&beside) {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => {
            return Err(LoadError::Read {
                path: beside,
                source,
            });
        }
    };
    signature::verify(trust, bytes, &beside, text.as_deref()).map_err(|source| {
        LoadError::Signature {
            path: file.to_owned(),
            source,
        }
    })?;
    Ok(text)
}
