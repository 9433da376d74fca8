//! Machine: a directory that nobody else can write to. In: its path. Out: the directory, made where it was missing, or why it must not
//! be used: whoever can put compiled code there can run it as the host. Owns nothing.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::directory;

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;
/// Only the owner of what is in such a directory can rename or remove it.
const STICKY: u32 = 0o1000;

/// Makes the directory with mode 0700. One that is there already must be ours, and neither it nor a directory above it may be
/// writable by others.
///
/// # Errors
/// What is wrong, and what would be accepted.
pub(super) fn make(path: &Path) -> Result<(), String> {
    directory::make(path).map_err(|error| error.to_string())?;
    // links on the way were followed, so what counts is where they led
    let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
    let metadata = fs::metadata(&path).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("this is not a directory".to_owned());
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(format!(
            "it belongs to user {}, and this host runs as user {user}: name one of its own",
            metadata.uid()
        ));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(format!(
            "others can write to it (mode {mode:o}), and may have: remove it, the host makes it anew"
        ));
    }
    for above in path.ancestors().skip(1) {
        let metadata =
            fs::metadata(above).map_err(|error| format!("{}: {error}", above.display()))?;
        if lets_others_replace(&metadata, user) {
            let (above, mode, owner) = (above.display(), metadata.mode() & 0o7777, metadata.uid());
            return Err(format!(
                "others can replace it, for {above} has mode {mode:o} and belongs to user {owner}"
            ));
        }
    }
    // nobody could write; now nobody can look either
    fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(|error| error.to_string())
}

/// Whether somebody beside us and root can rename what is in the directory.
fn lets_others_replace(directory: &Metadata, user: u32) -> bool {
    if ![0, user].contains(&directory.uid()) {
        return true;
    }
    // a group with the number of the user is the user's own, as most systems make them
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
    fn a_new_one_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        mode(&path, 0o755);
        make(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            0o700,
            "others could only look"
        );
    }

    #[test]
    fn one_that_others_can_write_to_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for writable in [0o770, 0o702, 0o1777] {
            mode(folder.path(), writable);
            let error = make(folder.path()).unwrap_err();
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
    fn one_that_others_can_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make(&path).unwrap();
        mode(folder.path(), 0o777);
        let error = make(&path).unwrap_err();
        assert!(
            error.contains("others can replace it")
                && error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        // in a directory like /tmp nobody can
        mode(folder.path(), 0o1777);
        make(&path).unwrap();
    }

    #[test]
    fn one_of_another_user_is_refused() {
        // only root can give a directory away
        if rustix::process::geteuid().is_root() {
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
            let error = make(folder.path()).unwrap_err();
            assert!(error.contains("belongs to user 12345"), "{error}");
            let below = folder.path().join("below");
            fs::create_dir(&below).unwrap();
            let error = make(&below).unwrap_err();
            assert!(
                error.contains("others can replace it") && error.contains("12345"),
                "{error}"
            );
        }
    }
}
