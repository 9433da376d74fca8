//! Actor's part: from a component file to something that can run. In: a path. Out: a compiled component with the hash of
//! its bytes, signed where that is demanded, or a sentence that says why not. Owns nothing; compiling happens on the pool, off the message path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::config;
use crate::guest::{self, Component, ComponentError};
use crate::signature::{self, Key, SignatureError};
use crate::store::Archive;
use crate::version::Version;

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
    /// The file is not signed as it has to be.
    #[error("{path}: {source}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong with its signature.
        source: SignatureError,
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
    host: &Arc<guest::Engine>,
    pool: &tokio::runtime::Handle,
    path: &Path,
    archive: Option<Archive>,
) -> Result<Component, LoadError> {
    let (host, file) = (host.clone(), path.to_owned());
    let loading = pool.spawn_blocking(move || {
        let bytes = std::fs::read(&file).map_err(|source| LoadError::Read {
            path: file.clone(),
            source,
        })?;
        // the very bytes that are compiled are verified, so nobody can exchange the file in between
        let signed = check_signature(host.trust(), &file, &bytes)?;
        let component = host
            .compile(&bytes)
            .map_err(|source| LoadError::Component { path: file, source })?;
        Ok((component, bytes, signed))
    });
    let (component, bytes, signed) = match loading.await {
        Ok(result) => result?,
        Err(error) => {
            return Err(LoadError::Bug {
                path: path.to_owned(),
                reason: error.to_string(),
            });
        }
    };
    if let Some(archive) = archive {
        let version = component.version();
        pool.spawn_blocking(move || {
            if let Err(error) = archive.keep(version, &bytes, signed.as_deref()) {
                warn!(
                    "version {} cannot be kept, there is no way back to it: {error}",
                    version.short()
                );
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
    host: &Arc<guest::Engine>,
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

/// Whether the file is signed by one of `trust`, if there are any: the signature, which goes with the file wherever that is kept.
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

/// The files to watch for new versions of the component `file`: itself, and its signature where one is needed.
pub fn watched(host: &guest::Engine, file: &Path) -> Vec<PathBuf> {
    let signature = (!host.trust().is_empty()).then(|| signature::file_of(file));
    std::iter::once(file.to_owned()).chain(signature).collect()
}

/// The files to watch for the service: those of its component, and directories granted to it that are not there yet.
pub fn watched_for(host: &guest::Engine, service: &config::Service) -> Vec<PathBuf> {
    let component = service
        .component
        .iter()
        .flat_map(|file| watched(host, file));
    let directories = service
        .grants
        .directories
        .iter()
        .map(|directory| &directory.path);
    component
        .chain(directories.filter(|path| !path.exists()).cloned())
        .collect()
}

/// The component that may have a new version when the watched file `changed`.
pub fn component_of(host: &guest::Engine, changed: PathBuf) -> PathBuf {
    if host.trust().is_empty() {
        changed
    } else {
        signature::signed_by(&changed).unwrap_or(changed)
    }
}
