//! Archive of component files: a directory next to the state file with each version that a service keeps, named after its hash.
//! Every call blocks.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::{Builder, NamedTempFile};

use crate::version::Version;
use crate::{secure_dir, signature};

/// Age at which an unused file is removed; a younger one may be about to run.
const YOUNG: Duration = Duration::from_secs(600);

/// Error of reading or writing the archive.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct ArchiveError {
    path: PathBuf,
    source: io::Error,
}

/// Name of a file that is being uploaded.
const UPLOAD: &str = "upload.new-";

/// No version of the archive can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum FindVersionError {
    /// No version begins with the text.
    #[error("no version that begins with {0:?} is in the archive: upload it again")]
    Unknown(String),
    /// More than one version begins with the text.
    #[error("{0:?} is the beginning of several versions")]
    Ambiguous(String),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A file that is being uploaded, or was. It is removed when this is dropped.
#[derive(Debug)]
pub struct UploadedFile(NamedTempFile);

impl UploadedFile {
    /// A handle for writing the content.
    ///
    /// # Errors
    /// When the system has no further handle.
    pub fn writer(&self) -> io::Result<File> {
        self.0.as_file().try_clone()
    }

    /// Reads the content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, ArchiveError> {
        fs::read(self.0.path()).map_err(|source| ArchiveError {
            path: self.0.path().to_owned(),
            source,
        })
    }
}

/// The archive. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: Arc<Path>,
}

impl Archive {
    /// Archive next to the state file `path`. The directory is created with the first file.
    pub fn beside(path: &Path) -> Self {
        let mut directory = path.as_os_str().to_owned();
        directory.push(".versions");
        Self {
            directory: PathBuf::from(directory).into(),
        }
    }

    /// Keeps the bytes of `version`, with their signature where there is one.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(
        &self,
        version: Version,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<(), ArchiveError> {
        let file = self.file(version);
        if let Some(signature) = signature {
            self.put(signature::file_of(&file), signature.as_bytes())?;
        }
        self.put(file, bytes)
    }

    fn put(&self, file: PathBuf, bytes: &[u8]) -> Result<(), ArchiveError> {
        let error = |source| ArchiveError {
            path: file.clone(),
            source,
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if fs::metadata(&file).is_ok_and(|present| present.len() == size) {
            let touched = File::options().append(true).open(&file);
            return touched
                .and_then(|file| file.set_modified(SystemTime::now()))
                .map_err(error);
        }

        secure_dir::create(&self.directory).map_err(error)?;
        // services with the same component are kept at the same time: each writes a file of its own, and the last one stays
        let prefix = format!(
            "{}.new-",
            file.file_stem().unwrap_or_default().to_string_lossy()
        );
        let write = || {
            // only the user can open it
            let mut written = Builder::new()
                .prefix(&prefix)
                .tempfile_in(&self.directory)?;
            written.write_all(bytes)?;
            written.as_file().sync_all()?;
            Ok(written.persist(&file)?)
        };

        write().map(drop).map_err(error)
    }

    /// Returns the bytes of `version` as they were written. The caller checks their hash.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, version: Version) -> Result<Vec<u8>, ArchiveError> {
        let path = self.file(version);
        fs::read(&path).map_err(|source| ArchiveError { path, source })
    }

    /// Begins an upload: an empty file that only the user can open.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn begin_upload(&self) -> Result<UploadedFile, ArchiveError> {
        secure_dir::create(&self.directory)
            .and_then(|()| Builder::new().prefix(UPLOAD).tempfile_in(&self.directory))
            .map(UploadedFile)
            .map_err(|source| self.failed(source))
    }

    /// Finds the version that begins with `prefix`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, prefix: &str) -> Result<Version, FindVersionError> {
        let lowercase = prefix.to_ascii_lowercase();
        let unknown = || FindVersionError::Unknown(prefix.to_owned());
        let entries = match fs::read_dir(&self.directory) {
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            entries => entries.map_err(|source| self.failed(source))?,
        };

        let mut found = None;
        for entry in entries {
            let name = entry.map_err(|source| self.failed(source))?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".wasm"));
            let version = name.filter(|name| name.starts_with(&lowercase));
            let Some(version) = version.and_then(|version| version.parse().ok()) else {
                continue;
            };
            if found.replace(version).is_some() {
                return Err(FindVersionError::Ambiguous(prefix.to_owned()));
            }
        }

        found.ok_or_else(unknown)
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError {
            path: self.directory.to_path_buf(),
            source,
        }
    }

    /// Path of `version`.
    pub fn file(&self, version: Version) -> PathBuf {
        self.directory.join(format!("{version}.wasm"))
    }

    /// Removes files older than `YOUNG` whose version is not in `kept`.
    ///
    /// # Errors
    /// When the directory cannot be read, or a file cannot be removed.
    pub fn tidy(&self, kept: &HashSet<Version>) -> Result<(), ArchiveError> {
        let error = |source| self.failed(source);
        let entries = match fs::read_dir(&self.directory) {
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(error)?,
        };
        for entry in entries {
            let entry = entry.map_err(error)?;
            let name = entry.file_name();
            let (version, rest) = name.to_str().and_then(|name| name.split_once('.')).unzip();
            let version = version.and_then(|version| version.parse().ok());
            let modified = match entry.metadata().and_then(|metadata| metadata.modified()) {
                // it was renamed meanwhile
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                modified => modified.map_err(error)?,
            };
            let old = modified.elapsed().is_ok_and(|age| age > YOUNG);
            let unfinished =
                rest.is_some_and(|rest| rest.split('.').any(|part| part.starts_with("new-")));
            let is_upload = name.to_str().is_some_and(|name| name.starts_with(UPLOAD));
            // a file with another name was not put here by a host
            let is_unused = version.is_some_and(|version| unfinished || !kept.contains(&version));
            if old && (is_upload || is_unused) {
                fs::remove_file(entry.path()).map_err(error)?;
            }
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Two services with the same component, at the first start.
    #[test]
    fn one_version_is_kept_by_many_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::beside(&directory.path().join("state.redb"));
        let bytes = vec![7; 100_000];
        for number in 0..20 {
            let version = Version::new([number; 32]);
            let keep = || archive.keep(version, &bytes, Some("signature"));
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(keep)).collect();
                archive.tidy(&HashSet::new()).unwrap();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });

            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            assert_eq!(archive.read(version).unwrap(), bytes);
        }

        assert_eq!(
            fs::read_dir(&archive.directory).unwrap().count(),
            40,
            "something unfinished is left"
        );
    }

    #[test]
    fn versions_are_found_by_their_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::beside(&directory.path().join("state.redb"));
        let found = |prefix: &str| archive.find(prefix).map_err(|error| error.to_string());
        assert!(found("").unwrap_err().contains("no version"));
        for number in [0x11, 0x12, 0xab] {
            let signature = Some("signature");
            archive
                .keep(Version::new([number; 32]), b"bytes", signature)
                .unwrap();
        }

        let upload = archive.begin_upload().unwrap();
        upload.writer().unwrap().write_all(b"new").unwrap();
        assert_eq!(upload.read().unwrap(), b"new");
        assert_eq!(found("AB"), Ok(Version::new([0xab; 32])));
        assert!(found("1").unwrap_err().contains("several"));
        assert!(found("cc").unwrap_err().contains("no version"));
        assert!(found("upload").unwrap_err().contains("no version"));
    }

    #[test]
    fn kept_versions_stay_and_old_unused_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::beside(&directory.path().join("state.redb"));
        let versions: Vec<_> = (0..3).map(|number| Version::new([number; 32])).collect();
        archive.tidy(&HashSet::new()).unwrap();
        for version in &versions {
            archive.keep(*version, b"bytes", None).unwrap();
        }
        let long_ago = SystemTime::now() - 2 * YOUNG;
        for version in &versions[..2] {
            File::options()
                .append(true)
                .open(archive.file(*version))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }

        let abandoned = archive.directory.join("upload.new-x");
        fs::write(&abandoned, "half").unwrap();
        let foreign = archive.directory.join("notes.txt");
        fs::write(&foreign, "mine").unwrap();
        for file in [&abandoned, &foreign] {
            let file = File::options().append(true).open(file).unwrap();
            file.set_modified(long_ago).unwrap();
        }

        archive.tidy(&HashSet::from([versions[0]])).unwrap();
        assert!(!abandoned.exists() && foreign.exists());
        assert_eq!(archive.read(versions[0]).unwrap(), b"bytes");
        assert!(
            archive
                .read(versions[1])
                .unwrap_err()
                .to_string()
                .contains(&versions[1].to_string())
        );

        assert_eq!(archive.read(versions[2]).unwrap(), b"bytes", "it is young");
        let mode = fs::metadata(archive.file(versions[0]))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
