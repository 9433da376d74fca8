//! Deployments: a component that was uploaded is checked and kept in the archive, and a version of the archive replaces the component
//! file of a service. All of it runs on the pool.

use std::path::{Path, PathBuf};

use super::archive::{ArchiveError, FindVersionError, UploadedFile};
use super::component_file::{self, ReplaceError, StagedComponent};
use super::loader::{LoadError, LoadedFile, Loader, bug, read_signature};
use crate::guest::Component;
use crate::version::Version;

/// The component file of a service cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The version cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its signature cannot be read.
    #[error(transparent)]
    Signature(#[from] LoadError),
    /// It cannot be written.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// A bug of the host.
    #[error("writing the component failed in the host, which is a bug: {0}")]
    Bug(String),
}

impl Loader {
    /// Compiles an uploaded component, which is to become the file `path`, and puts it into the archive.
    ///
    /// # Errors
    /// As [`Loader::load`], and when it cannot be kept.
    pub async fn load_upload(
        &self,
        upload: UploadedFile,
        signature: Option<String>,
        path: &Path,
    ) -> Result<(Component, usize), LoadError> {
        let signature = signature.filter(|_| !self.engine.trust().is_empty());
        let read = move || Ok((upload.read()?, signature));
        let LoadedFile {
            component,
            bytes,
            signature,
        } = self.load_with(path, read).await?;

        let (archive, version, size) = (self.archive.clone(), component.version(), bytes.len());
        let keep = move || archive.keep(version, &bytes, signature.as_deref());
        let keeping = self.pool().spawn_blocking(keep);
        keeping.await.map_err(|panic| bug(path, &panic))??;

        Ok((component, size))
    }

    /// Checks that a deployment can replace the component file `target`, as far as that is seen without writing.
    ///
    /// # Errors
    /// When it is not a file, or cannot be looked at.
    pub async fn check_target(&self, target: PathBuf) -> Result<(), DeployError> {
        let checking = self
            .pool()
            .spawn_blocking(move || component_file::check(&target));
        match checking.await {
            Ok(checked) => Ok(checked?),
            Err(panic) => Err(DeployError::Bug(panic.to_string())),
        }
    }

    /// The bytes of a version of the archive, with its signature where signatures are needed, written beside the component file `target`,
    /// which they are to replace.
    ///
    /// # Errors
    /// When the version cannot be read, or cannot be written there.
    pub async fn stage(
        &self,
        version: Version,
        target: PathBuf,
    ) -> Result<StagedComponent, DeployError> {
        let (archive, engine) = (self.archive.clone(), self.engine.clone());
        let staging = self.pool().spawn_blocking(move || {
            let file = archive.file(version);
            let bytes = archive.read(version)?;
            let signature = read_signature(engine.trust(), &file)?;
            Ok(StagedComponent::write(
                &target,
                &bytes,
                signature.as_deref(),
            )?)
        });
        staging
            .await
            .unwrap_or_else(|panic| Err(DeployError::Bug(panic.to_string())))
    }

    /// Puts a staged component into the place of the file that it replaces.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn put_in_place(&self, staged: StagedComponent) -> Result<(), DeployError> {
        let placing = self.pool().spawn_blocking(|| staged.put_in_place());
        match placing.await {
            Ok(placed) => Ok(placed?),
            Err(panic) => Err(DeployError::Bug(panic.to_string())),
        }
    }

    /// The version of the archive that begins with `prefix`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn find(&self, prefix: String) -> Result<Version, FindVersionError> {
        let archive = self.archive.clone();
        let unknown = prefix.clone();
        let finding = self.pool().spawn_blocking(move || archive.find(&prefix));
        // a panic of the search is in the log
        finding
            .await
            .unwrap_or(Err(FindVersionError::Unknown(unknown)))
    }
}
