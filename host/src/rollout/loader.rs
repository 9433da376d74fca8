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
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tracing::warn;

use crate::config;
use crate::guest::{Component, ComponentError, Engine, Fault};
use crate::service_ctx::ServiceCtx;
use crate::signature::{self, Key, SignatureError};
use crate::version::Version;

use super::archive::{Archive, ArchiveError};
use super::compile_report::{StatusLine, report_compiling};
use super::handover::{self, StartedInstance};

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
    /// Its code is not in the compile cache, and the loader does not compile.
    #[error("{0}: is not compiled yet")]
    NotCompiled(PathBuf),
    /// It cannot be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
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
    pub(super) engine: Arc<Engine>,
    pool: Handle,
    pub(super) archive: Archive,
    status_line: StatusLine,
    compiles: bool,
}

impl Loader {
    /// Creates a loader that compiles on `pool`, keeps components in `archive`, and reports the progress of compiling on
    /// `status_line`.
    pub fn new(
        engine: Arc<Engine>,
        pool: Handle,
        archive: Archive,
        status_line: StatusLine,
    ) -> Self {
        Self {
            engine,
            pool,
            archive,
            status_line,
            compiles: true,
        }
    }

    /// The same loader for components whose code is in the compile cache; others are [`LoadError::NotCompiled`].
    pub fn without_compiling(&self) -> Self {
        Self {
            compiles: false,
            ..self.clone()
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
        let file = path.to_owned();
        let trust = self.engine.clone();
        let read = move || {
            let bytes = read(&file)?;
            let signature = read_signature(trust.trust(), &file)?;
            Ok((bytes, signature))
        };
        let LoadedFile {
            component,
            bytes,
            signature,
        } = self.load_with(path, read).await?;

        if keep {
            self.keep(component.version(), bytes, signature);
        }
        Ok(component)
    }

    /// Compiles the bytes that `read` returns with their signature. Errors name `path`.
    pub(super) async fn load_with(
        &self,
        path: &Path,
        read: impl FnOnce() -> Result<(Vec<u8>, Option<String>), LoadError> + Send + 'static,
    ) -> Result<LoadedFile, LoadError> {
        let (begin, begun) = oneshot::channel();
        let (engine, compiles) = (self.engine.clone(), self.compiles);
        let file = path.to_owned();
        let loading = self.pool.spawn_blocking(move || {
            let (bytes, signature) = read()?;
            compile(&engine, &file, compiles, (bytes, signature), begin)
        });

        let loaded = tokio::select! {
            loaded = loading => loaded,
            never = report_compiling(path, begun, &self.status_line) => match never {},
        };
        loaded.map_err(|panic| bug(path, &panic))?
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

/// A component with the bytes that it was made from.
pub(super) struct LoadedFile {
    pub(super) component: Component,
    pub(super) bytes: Vec<u8>,
    /// Its signature, if one is needed.
    pub(super) signature: Option<String>,
}

/// Checks the signature of bytes and compiles them. Blocks. `begin` gets their size when compiling begins.
fn compile(
    engine: &Engine,
    file: &Path,
    compiles: bool,
    (bytes, signature): (Vec<u8>, Option<String>),
    begin: oneshot::Sender<usize>,
) -> Result<LoadedFile, LoadError> {
    // the very bytes that are compiled are verified, so nobody can exchange the file in between
    check_signature(engine.trust(), file, &bytes, signature.as_deref())?;

    let invalid = |source| LoadError::Component {
        path: file.to_owned(),
        source,
    };
    let on_compile = || {
        // the caller may have gone
        let _ = begin.send(bytes.len());
    };
    let component = if compiles {
        engine.compile_with(&bytes, on_compile).map_err(invalid)?
    } else {
        let cached = engine.find_compiled(&bytes).map_err(invalid)?;
        cached.ok_or_else(|| LoadError::NotCompiled(file.to_owned()))?
    };

    Ok(LoadedFile {
        component,
        bytes,
        signature,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(file).map_err(|source| LoadError::Read {
        path: file.to_owned(),
        source,
    })
}

/// The signature of a file, if one is needed and there is one.
pub(super) fn read_signature(trust: &[Key], file: &Path) -> Result<Option<String>, LoadError> {
    if trust.is_empty() {
        return Ok(None);
    }
    let beside = signature::file_of(file);
    match std::fs::read(&beside) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read {
            path: beside,
            source,
        }),
    }
}

/// Checks that the bytes of a file are signed by one of `trust`, if there are any.
fn check_signature(
    trust: &[Key],
    file: &Path,
    bytes: &[u8],
    signature: Option<&str>,
) -> Result<(), LoadError> {
    if trust.is_empty() {
        return Ok(());
    }
    let beside = signature::file_of(file);
    signature::verify(trust, bytes, &beside, signature).map_err(|source| LoadError::Signature {
        path: file.to_owned(),
        source,
    })
}

pub(super) fn bug(path: &Path, panic: &JoinError) -> LoadError {
    LoadError::Bug {
        path: path.to_owned(),
        reason: panic.to_string(),
    }
}
