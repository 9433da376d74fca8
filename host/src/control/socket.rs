//! The path of the control socket, derived from that of the state file, in a form that is short
//! enough for the system.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Bytes of a path in a socket's address (unix(7): `sun_path` has 108, the last of them zero).
const LONGEST: usize = 107;

/// Bytes of a file name that leave room for the way to it through an open directory.
const LONGEST_NAME: usize = 80;

/// Suffix of a socket's name.
pub(super) const SUFFIX: &str = ".sock";

/// Path of the control socket of the host with this state file, in the same directory. A very long file name is replaced by
/// its hash.
pub fn socket_of(state_file: &Path) -> PathBuf {
    let name = state_file
        .file_name()
        .map_or_else(OsString::new, ToOwned::to_owned);
    let mut socket = if name.len() + SUFFIX.len() <= LONGEST_NAME {
        name
    } else {
        let hash = Sha256::digest(name.as_encoded_bytes());
        hex::encode(&hash[..16]).into()
    };

    socket.push(SUFFIX);
    state_file.with_file_name(socket)
}

/// A path that is short enough for the address of a socket.
pub(super) struct ShortPath {
    pub(super) path: PathBuf,
    /// Directory through which the path leads; it must stay open.
    _directory: Option<File>,
}

/// Returns a short path to the same file.
///
/// # Errors
/// When the directory cannot be opened.
pub(super) fn short_path(path: &Path) -> io::Result<ShortPath> {
    if path.as_os_str().len() <= LONGEST {
        return Ok(ShortPath {
            path: path.to_owned(),
            _directory: None,
        });
    }

    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let directory = File::open(parent)?;
    let path = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok(ShortPath {
        path,
        _directory: Some(directory),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_socket_is_next_to_the_state_file() {
        assert_eq!(
            socket_of(Path::new("/var/x.redb")),
            Path::new("/var/x.redb.sock")
        );
        assert_eq!(socket_of(Path::new("x.redb")), Path::new("x.redb.sock"));
        let long = socket_of(&Path::new("/var").join("x".repeat(200)));
        assert_eq!(
            (long.parent(), long.file_name().unwrap().len()),
            (Some(Path::new("/var")), 37)
        );
    }

    #[test]
    fn socket_path_may_have_any_length() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(200)).join("e".repeat(200));
        std::fs::create_dir_all(&deep).unwrap();
        let path = socket_of(&deep.join("n".repeat(250)));
        let listener = UnixListener::bind(short_path(&path).unwrap().path).unwrap();
        assert!(path.exists());
        UnixStream::connect(short_path(&path).unwrap().path).unwrap();
        listener.accept().unwrap();
    }
}
