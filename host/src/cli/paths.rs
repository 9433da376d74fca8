//! Default paths of the pid file and the log file of a background host.

use std::path::PathBuf;

use anyhow::Context;

use crate::daemon;

/// Path of the pid file: `named`, or the default one.
///
/// # Errors
/// When there is no default, because `XDG_RUNTIME_DIR` is not set.
pub(super) fn pid_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named);
    }

    let folder = if daemon::is_root() {
        Some(PathBuf::from("/run"))
    } else {
        absolute_path("XDG_RUNTIME_DIR")
    };
    let folder = folder.context("XDG_RUNTIME_DIR is not set; write --pid-file FILE")?;

    Ok(folder.join("miqro-host.pid"))
}

/// Path of the log file: `named`, or the default one, whose folder is created.
///
/// # Errors
/// When there is no default, because `HOME` is not set, or its folder cannot be created.
pub(super) fn log_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named);
    }

    let folder = if daemon::is_root() {
        Some(PathBuf::from("/var/log"))
    } else {
        user_state_folder()
    };
    let folder = folder.context("HOME is not set; write --log-file FILE")?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;

    Ok(folder.join("miqro-host.log"))
}

fn user_state_folder() -> Option<PathBuf> {
    absolute_path("XDG_STATE_HOME").or_else(|| Some(absolute_path("HOME")?.join(".local/state")))
}

/// Path in an environment variable, if it is absolute.
fn absolute_path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
