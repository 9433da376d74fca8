//! Components that clients upload: bounded in size and number, and written to disk while they arrive.

use std::io;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rollout::archive::{Archive, ArchiveError, UploadedFile};

/// Most bytes of a component.
pub const UPLOAD_BYTES: u64 = 128 * 1024 * 1024;

/// Uploads at a time.
const UPLOADS: usize = 4;

/// An upload is refused, or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is larger than any component may be.
    #[error("expected a component of at most {UPLOAD_BYTES} bytes, found {0}")]
    TooLarge(u64),
    /// There are too many others.
    #[error("{UPLOADS} components are being uploaded already, which is the most; try again later")]
    Busy,
    /// It ended early, or is longer than its sender has said.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// The bytes that were announced.
        expected: u64,
        /// The bytes that came.
        found: u64,
    },
    /// There is no room for it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It cannot be written.
    #[error("cannot write the upload: {0}")]
    Write(#[from] io::Error),
}

/// Takes components that clients upload. A clone has the same bounds.
#[derive(Debug, Clone)]
pub struct Uploads {
    archive: Archive,
    places: Arc<Semaphore>,
}

/// An uploaded component, which nobody has looked at.
#[derive(Debug)]
pub struct Upload {
    /// Its bytes.
    pub file: UploadedFile,
    /// Its place among the uploads, until the component is checked.
    pub place: OwnedSemaphorePermit,
}

/// An upload that is not complete.
#[derive(Debug)]
pub struct UploadWriter {
    upload: Upload,
    file: File,
    expected: u64,
    found: u64,
}

impl Uploads {
    /// Uploads go to `archive`.
    pub fn new(archive: Archive) -> Self {
        Self {
            archive,
            places: Arc::new(Semaphore::new(UPLOADS)),
        }
    }

    /// Begins an upload of so many bytes.
    ///
    /// # Errors
    /// When it is too large, there are too many others, or the system refuses.
    pub fn begin(&self, expected: u64) -> Result<UploadWriter, UploadError> {
        if expected > UPLOAD_BYTES {
            return Err(UploadError::TooLarge(expected));
        }

        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| UploadError::Busy)?;
        let file = self.archive.begin_upload()?;
        let writer = File::from_std(file.writer()?);
        Ok(UploadWriter {
            upload: Upload { file, place },
            file: writer,
            expected,
            found: 0,
        })
    }
}

impl UploadWriter {
    /// The bytes that have not come yet.
    pub fn rest(&self) -> u64 {
        self.expected - self.found
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When there are more than were announced, or the system refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let found = self.found + bytes.len() as u64;
        if found > self.expected {
            return Err(UploadError::Length {
                expected: self.expected,
                found,
            });
        }
        self.file.write_all(bytes).await?;
        self.found = found;
        Ok(())
    }

    /// Ends the upload.
    ///
    /// # Errors
    /// When bytes are missing, or the system refuses.
    pub async fn finish(mut self) -> Result<Upload, UploadError> {
        if self.found != self.expected {
            return Err(UploadError::Length {
                expected: self.expected,
                found: self.found,
            });
        }
        self.file.flush().await?;
        Ok(self.upload)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn uploads(folder: &tempfile::TempDir) -> Uploads {
        Uploads::new(Archive::beside(&folder.path().join("state.redb")))
    }

    #[tokio::test]
    async fn uploads_have_the_announced_length() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = uploads(&folder);
        let mut writer = uploads.begin(6).unwrap();
        writer.write(b"abc").await.unwrap();
        assert_eq!(writer.rest(), 3);
        writer.write(b"def").await.unwrap();
        let upload = writer.finish().await.unwrap();
        assert_eq!(upload.file.read().unwrap(), b"abcdef");

        let mut writer = uploads.begin(6).unwrap();
        let longer = writer.write(b"1234567").await.unwrap_err();
        assert_eq!(longer.to_string(), "expected 6 bytes, found 7");
        writer.write(b"12345").await.unwrap();
        let shorter = writer.finish().await.unwrap_err();
        assert_eq!(shorter.to_string(), "expected 6 bytes, found 5");
    }

    #[tokio::test]
    async fn uploads_are_bounded_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = uploads(&folder);
        let large = uploads.begin(UPLOAD_BYTES + 1);
        assert!(matches!(large, Err(UploadError::TooLarge(_))));
        let mut writers: Vec<_> = (0..UPLOADS).map(|_| uploads.begin(1).unwrap()).collect();
        assert!(matches!(uploads.begin(1), Err(UploadError::Busy)));
        writers.pop();
        writers.push(uploads.begin(1).unwrap());
        drop(writers);
        let archive = folder.path().join("state.redb.versions");
        assert_eq!(std::fs::read_dir(archive).unwrap().count(), 0);
    }
}
