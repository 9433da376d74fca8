//! Construction of the WebAssembly engine and its cache of compiled code.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tracing::warn;

use crate::config::Config;
use crate::guest::{Engine, EngineError, EngineOptions};

/// This program; it is found there even when its file was replaced.
const PROGRAM: &str = "/proc/self/exe";

/// Makes the engine. If the default cache directory cannot be used, there is no cache, and services take longer to load.
///
/// # Errors
/// When `cache_dir` cannot be used, or the engine cannot be made.
pub(super) fn engine(config: &Config) -> anyhow::Result<Arc<Engine>> {
    let services = config.services.len();
    let memory = config
        .services
        .iter()
        .map(|service| service.limits.memory.bytes);
    let memory = memory.max().unwrap_or_default();
    let cache_dir = config.cache_dir.clone().or_else(default_cache_dir);
    let options = |cache_dir| EngineOptions {
        cache_dir,
        services,
        memory,
        compiler: Some(PROGRAM.into()),
        compile_timeout: config.host.compile_timeout,
        trust: config.trust.clone(),
    };

    let engine = match Engine::new(options(cache_dir)) {
        Err(error @ EngineError::CodeCache(_)) if config.cache_dir.is_none() => {
            warn!("{error}; compiled components are not kept");
            Engine::new(options(None))
        }
        made => made,
    };

    engine.context("cannot set up WebAssembly")
}

/// The directory that systemd made for the service, or the user's cache directory.
pub fn default_cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let base = absolute("CACHE_DIRECTORY").or_else(|| Some(user()?.join("miqro-host")))?;
    Some(base.join("compiled"))
}
