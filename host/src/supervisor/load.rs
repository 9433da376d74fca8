//! Actor's part: from a component file to something that can run. In: a path. Out: a compiled component with the hash of
//! its bytes, or a sentence that says why not. Owns nothing; compiling happens on the pool, off the message path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::guest::{self, Component, ComponentError};
use crate::service::versions::Version;
use crate::store::Archive;

/// Why a file could not be made to run; the message names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no component that fulfils the contract.
    #[error("{path}: {source}")]
    Component {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ComponentError,
    },
    /// The guest did not start.
    #[error("{path}: {fault}")]
    Start {
        /// The file.
        path: PathBuf,
        /// What the guest did.
        fault: guest::Fault,
    },
    /// A version that was kept was altered.
    #[error("{0}: these are not the bytes that were kept")]
    Altered(PathBuf),
    /// A fault in the host itself.
    #[error("{path}: loading it failed in the host, which is a bug: {reason}")]
    Bug {
        /// The file.
        path: PathBuf,
        /// What is known.
        reason: String,
    },
}

/// Reads and compiles `path` on the pool. What can run is kept in `archive`, where there is one, without waiting for it.
///
/// # Errors
/// Says what is wrong with the file.
pub async fn load(
    host: &Arc<guest::Host>,
    pool: &tokio::runtime::Handle,
    path: &Path,
    archive: Option<Archive>,
) -> Result<Component, LoadError> {
    let (host, file) = (host.clone(), path.to_owned());
    let loading = pool.spawn_blocking(move || {
        let bytes = std::fs::read(&file).map_err(|source| LoadError::Read { path: file.clone(), source })?;
        let component = host.compile(&bytes).map_err(|source| LoadError::Component { path: file, source })?;
        Ok((component, bytes))
    });
    let (component, bytes) = match loading.await {
        Ok(result) => result?,
        Err(error) => return Err(LoadError::Bug { path: path.to_owned(), reason: error.to_string() }),
    };
    if let Some(archive) = archive {
        let version = component.version();
        pool.spawn_blocking(move || {
            if let Err(error) = archive.keep(version, &bytes) {
                warn!("version {} cannot be kept, there is no way back to it: {error}", version.short());
            }
        });
    }
    Ok(component)
}

/// Compiles a version that was kept, on the pool.
///
/// # Errors
/// When it is not there, is not what was kept, or cannot run.
pub async fn load_kept(
    host: &Arc<guest::Host>,
    pool: &tokio::runtime::Handle,
    version: Version,
    archive: &Archive,
) -> Result<Component, LoadError> {
    let component = load(host, pool, &archive.file(version), None).await?;
    if component.version() == version {
        return Ok(component);
    }
    Err(LoadError::Altered(archive.file(version)))
}
