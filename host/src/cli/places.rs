//! Surface: where files lie that the command line does not name. In: the user and the environment. Out: paths. Owns nothing.

use std::path::PathBuf;

use anyhow::Context;

use crate::daemon;

/// The pid file of a host in the background: the one that was named, or the usual one.
///
/// # Errors
/// When there is no usual place.
pub fn pid_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let usual = || match daemon::is_root() {
        true => Some(PathBuf::from("/run")),
        false => directory("XDG_RUNTIME_DIR"),
    };
    match named {
        Some(named) => Ok(named),
        None => Ok(usual()
            .context("XDG_RUNTIME_DIR is not set; write --pid-file FILE")?
            .join("miqro-host.pid")),
    }
}

/// The log file of a host in the background: the one that was named, or the usual one, in a folder that is there.
///
/// # Errors
/// When there is no usual place, or it cannot be made.
pub fn log_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let state =
        || directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")));
    if let Some(named) = named {
        return Ok(named);
    }
    let folder = if daemon::is_root() {
        Some(PathBuf::from("/var/log"))
    } else {
        state()
    };
    let folder = folder.context("HOME is not set; write --log-file FILE")?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join("miqro-host.log"))
}

/// The absolute path in an environment variable.
fn directory(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
