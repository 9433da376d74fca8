//! Replacement of a component file by a deployment. The new file is written beside the old one first, so that a deployment that cannot
//! write there ends before anything has changed; then a rename puts it in place. Every call blocks.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::signature;

/// Mode of a component file that replaces none.
const MODE: u32 = 0o644;

/// A component file cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The file is a link to another one, which may belong to others.
    #[error(
        "{0} is a symbolic link, which a deployment neither follows nor replaces: replace the file that it leads to"
    )]
    Link(PathBuf),
    /// Something else has the name of the file.
    #[error("expected a file, found something else at {0}")]
    NotAFile(PathBuf),
    /// The system refuses.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The component file, or its signature.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Checks that a deployment can replace `target`, as far as that is seen without writing.
///
/// # Errors
/// When it is not a file, or cannot be looked at. A missing file is fine.
pub fn check(target: &Path) -> Result<(), ReplaceError> {
    metadata(target).map(drop)
}

/// A component that was written beside the file that it is to replace. It is removed when this is dropped.
#[derive(Debug)]
pub struct StagedComponent {
    component: StagedFile,
    signature: Option<StagedFile>,
}

impl StagedComponent {
    /// Writes a component, and its signature where there is one, beside `target`.
    ///
    /// # Errors
    /// When `target` is not a file, or the system refuses.
    pub fn write(
        target: &Path,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<Self, ReplaceError> {
        let component = StagedFile::write(target, bytes)?;
        let signature = match signature {
            Some(text) => Some(StagedFile::write(
                &signature::file_of(target),
                text.as_bytes(),
            )?),
            None => None,
        };
        Ok(Self {
            component,
            signature,
        })
    }

    /// Replaces the target.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn put_in_place(self) -> Result<(), ReplaceError> {
        if let Some(signature) = self.signature {
            signature.put_in_place()?;
        }
        self.component.put_in_place()
    }
}

#[derive(Debug)]
struct StagedFile {
    new: NamedTempFile,
    target: PathBuf,
}

impl StagedFile {
    fn write(target: &Path, bytes: &[u8]) -> Result<Self, ReplaceError> {
        let old = metadata(target)?;
        let written = write_beside(target, bytes, old.as_ref());
        Ok(Self {
            new: written.map_err(|source| refused(target, source))?,
            target: target.to_owned(),
        })
    }

    fn put_in_place(self) -> Result<(), ReplaceError> {
        let Self { new, target } = self;
        let placed = new.persist(&target).map_err(io::Error::from);
        placed
            // the rename is on disk when its directory is
            .and_then(|_| File::open(directory_of(&target))?.sync_all())
            .map_err(|source| refused(&target, source))
    }
}

/// Writes `bytes` to a file with the mode and owner of the old one. One that a killed host has left is replaced.
fn write_beside(target: &Path, bytes: &[u8], old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".deploy");
    let directory = directory_of(target);
    match fs::remove_file(directory.join(&name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }

    let mut new = Builder::new()
        .prefix(&name)
        .rand_bytes(0)
        .tempfile_in(directory)?;
    new.write_all(bytes)?;
    if let Some(old) = old {
        // only root may give files away
        let _ = fchown(new.as_file(), Some(old.uid()), Some(old.gid()));
    }
    let mode = old.map_or(MODE, |old| old.mode() & 0o777);
    new.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    Ok(new)
}

/// The metadata of a file that a deployment may replace; `None`: there is nothing yet.
fn metadata(target: &Path) -> Result<Option<Metadata>, ReplaceError> {
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(refused(target, source)),
        Ok(found) if found.is_symlink() => Err(ReplaceError::Link(target.to_owned())),
        Ok(found) if !found.is_file() => Err(ReplaceError::NotAFile(target.to_owned())),
        Ok(found) => Ok(Some(found)),
    }
}

fn directory_of(target: &Path) -> &Path {
    let parent = target.parent();
    parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn refused(target: &Path, source: io::Error) -> ReplaceError {
    ReplaceError::Write {
        path: target.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn staged_components_replace_the_file_or_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        // a host was killed here
        fs::write(folder.path().join(".a.wasm.deploy"), "half").unwrap();

        drop(StagedComponent::write(&file, b"new", Some("signed")).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.wasm"]);

        let staged = StagedComponent::write(&file, b"new", Some("signed")).unwrap();
        staged.put_in_place().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["a.wasm", "a.wasm.minisig"]);
    }

    #[test]
    fn missing_files_are_created_and_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        let staged = StagedComponent::write(&file, b"new", None).unwrap();
        staged.put_in_place().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, MODE);

        let link = folder.path().join("link.wasm");
        symlink(&file, &link).unwrap();
        let refused = StagedComponent::write(&link, b"other", None).unwrap_err();
        assert!(refused.to_string().contains("symbolic link"), "{refused}");
        let refused = StagedComponent::write(folder.path(), b"other", None).unwrap_err();
        assert!(refused.to_string().contains("expected a file"), "{refused}");
        let nowhere = folder.path().join("missing/a.wasm");
        let refused = StagedComponent::write(&nowhere, b"other", None).unwrap_err();
        assert!(refused.to_string().contains("cannot write"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.wasm", "link.wasm"]);
    }
}
