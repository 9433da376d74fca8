//! Actor's part: from a component file to something that can run. In: a path. Out: a compiled component with the hash of
//! its bytes, or a sentence that says why not. Owns nothing; compiling happens on the pool, off the message path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::guest::{self, Component, ComponentError};

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
    /// A fault in the host itself.
    #[error("{path}: loading it failed in the host, which is a bug: {reason}")]
    Bug {
        /// The file.
        path: PathBuf,
        /// What is known.
        reason: String,
    },
}

/// Reads and compiles `path` on the pool.
///
/// # Errors
/// Says what is wrong with the file.
pub async fn load(host: &Arc<guest::Host>, pool: &tokio::runtime::Handle, path: &Path) -> Result<Component, LoadError> {
    let (host, file) = (host.clone(), path.to_owned());
    let loading = pool.spawn_blocking(move || {
        let bytes = std::fs::read(&file).map_err(|source| LoadError::Read { path: file.clone(), source })?;
        host.compile(&bytes).map_err(|source| LoadError::Component { path: file, source })
    });
    match loading.await {
        Ok(result) => result,
        Err(error) => Err(LoadError::Bug { path: path.to_owned(), reason: error.to_string() }),
    }
}
