//! Directories that belong to the host's user alone.
//!
//! [`create`] makes one with mode 0700. [`create_exclusive`] also refuses an existing one that another user could
//! write to or replace: anyone who can put compiled code into the compile cache can run it as the host.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;
/// Only the owner of an entry in a directory with this bit can rename or remove it.
const STICKY: u32 = 0o1000;

/// The reason why a directory must not be used.
#[derive(Debug, thiserror::Error)]
pub enum SecureDirError {
    /// The directory cannot be created, read or restricted.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A directory above it cannot be read.
    #[error("{path}: {source}")]
    Ancestor {
        /// The directory above.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The path leads to something else.
    #[error("expected a directory, found something else")]
    NotADirectory,
    /// The directory belongs to another user.
    #[error(
        "it belongs to user {owner}, and this host runs as user {user}: choose a directory of its own"
    )]
    Owner {
        /// The owner's user ID.
        owner: u32,
        /// The host's user ID.
        user: u32,
    },
    /// Other users may have written to it.
    #[error(
        "others can write to it (mode {mode:o}), and may have: remove it, the host creates it again"
    )]
    Writable {
        /// The directory's mode.
        mode: u32,
    },
    /// Other users can rename it and put another directory in its place.
    #[error("others can replace it, because {} has mode {mode:o} and belongs to user {owner}", .ancestor.display())]
    Replaceable {
        /// The directory above that lets them.
        ancestor: PathBuf,
        /// That directory's mode.
        mode: u32,
        /// That directory's owner.
        owner: u32,
    },
}

/// Creates the directory and its missing parents with mode 0700. An existing directory stays as it is.
///
/// # Errors
/// When the system refuses.
pub fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates the directory with mode 0700. An existing one must belong to this user, and neither it nor a directory above
/// it may be writable by others; it gets mode 0700.
///
/// # Errors
/// When the directory is not this user's alone, or the system refuses.
pub fn create_exclusive(path: &Path) -> Result<(), SecureDirError> {
    create(path)?;

    // follow symbolic links first: the directories that count are those they lead to
    let path = fs::canonicalize(path)?;
    let user = rustix::process::geteuid().as_raw();
    check_directory(&fs::metadata(&path)?, user)?;
    check_ancestors(&path, user)?;

    // other users could not write to it; from here on they cannot read it either
    fs::set_permissions(&path, Permissions::from_mode(0o700))?;
    Ok(())
}

fn check_directory(metadata: &Metadata, user: u32) -> Result<(), SecureDirError> {
    if !metadata.is_dir() {
        return Err(SecureDirError::NotADirectory);
    }

    let owner = metadata.uid();
    if owner != user {
        return Err(SecureDirError::Owner { owner, user });
    }

    if metadata.mode() & OTHERS_WRITE != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(SecureDirError::Writable { mode });
    }
    Ok(())
}

fn check_ancestors(path: &Path, user: u32) -> Result<(), SecureDirError> {
    for ancestor in path.ancestors().skip(1) {
        let metadata = fs::metadata(ancestor).map_err(|source| SecureDirError::Ancestor {
            path: ancestor.to_owned(),
            source,
        })?;

        if lets_others_rename(&metadata, user) {
            return Err(SecureDirError::Replaceable {
                ancestor: ancestor.to_owned(),
                mode: metadata.mode() & 0o7777,
                owner: metadata.uid(),
            });
        }
    }

    Ok(())
}

/// Whether anyone besides this user and root can rename an entry of the directory.
fn lets_others_rename(directory: &Metadata, user: u32) -> bool {
    if ![0, user].contains(&directory.uid()) {
        return true;
    }

    // most systems give each user a group with the user's own number and no other member
    let own_group = [0, user].contains(&directory.gid());
    let others_write = if own_group {
        OTHERS_WRITE & 0o007
    } else {
        OTHERS_WRITE
    };
    directory.mode() & others_write != 0 && directory.mode() & STICKY == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_directory_has_mode_0700() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        create_exclusive(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        mode(&path, 0o755);
        create_exclusive(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            0o700,
            "others could only look"
        );
    }

    #[test]
    fn a_directory_writable_by_others_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        for writable in [0o770, 0o702, 0o1777] {
            mode(folder.path(), writable);
            let error = create_exclusive(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains("others can write to it")
                    && error.contains(&format!("{writable:o}")),
                "{error}"
            );
            assert_eq!(
                fs::metadata(folder.path()).unwrap().mode() & 0o7777,
                writable
            );
        }
    }

    #[test]
    fn a_directory_replaceable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        create_exclusive(&path).unwrap();
        mode(folder.path(), 0o777);
        let error = create_exclusive(&path).unwrap_err().to_string();
        assert!(
            error.contains("others can replace it")
                && error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        // in a directory like /tmp nobody can
        mode(folder.path(), 0o1777);
        create_exclusive(&path).unwrap();
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        // only root can give a directory away
        if rustix::process::geteuid().is_root() {
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
            let error = create_exclusive(folder.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to user 12345"), "{error}");
            let below = folder.path().join("below");
            fs::create_dir(&below).unwrap();
            let error = create_exclusive(&below).unwrap_err().to_string();
            assert!(
                error.contains("others can replace it") && error.contains("12345"),
                "{error}"
            );
        }
    }
}
