//! The cache of compiled code, in a directory of the host.
//!
//! Components are in wasmtime's own cache. The key of an entry is the SHA-256 of the component's bytes, of the compiler's and the
//! engine's settings and of the CPU features, below a directory named after wasmtime's version. An entry is written to a new file and
//! renamed, so a reader sees a whole entry or none; an entry that does not decompress or parse is compiled again. Functions of earlier
//! versions are beside it, for a process that only compiles (see [`FunctionCache`]).
//!
//! Entries are not signed. Anyone who can write to the directory can run code as the host, so the host rejects a directory that
//! others can write to (see [`secure_dir`]).

use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::guest::function_cache::FunctionCache;
use crate::secure_dir::{self, SecureDirError};

/// Directories below that of the cache.
const COMPONENTS: &str = "components";
const FUNCTIONS: &str = "functions";

/// The directory of entries below that of components; it has a directory for each version of wasmtime.
const MODULES: &str = "modules";

/// Compression level for `zstd`. The cache would compress code that is used often once more at level 20, which takes 160 MiB of the
/// host's memory for a few hundred KiB of code.
const COMPRESSION: i32 = 3;

/// Reasons why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CodeCacheError {
    /// The directory cannot be created, or other users have access to it.
    #[error("compile cache {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Reason why it must not be used.
        source: SecureDirError,
    },
    /// The directory of functions cannot be created or read.
    #[error("compile cache {path}: {source}")]
    Functions {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// wasmtime rejected the cache.
    #[error("compile cache {path}: {reason}")]
    Components {
        /// The directory.
        path: PathBuf,
        /// The error of wasmtime.
        reason: String,
    },
}

/// Compiled code on disk.
#[derive(Debug, Clone)]
pub(super) struct CodeCache {
    components: Cache,
    /// Functions of earlier components; only in a process that only compiles.
    functions: Option<Arc<FunctionCache>>,
}

impl CodeCache {
    /// Opens the cache in a directory, which is created when missing.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(super) fn open(path: &Path) -> Result<Self, CodeCacheError> {
        secure_dir::create_exclusive(path).map_err(|source| CodeCacheError::Directory {
            path: path.to_owned(),
            source,
        })?;

        let path = path.join(COMPONENTS);
        let mut config = CacheConfig::new();
        config
            .with_directory(&path)
            .with_baseline_compression_level(COMPRESSION)
            .with_optimized_compression_level(COMPRESSION);
        let components = Cache::new(config).map_err(|error| CodeCacheError::Components {
            path,
            reason: format!("{error:#}"),
        })?;
        Ok(Self {
            components,
            functions: None,
        })
    }

    /// Opens the cache with the functions of earlier components.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(super) fn open_with_functions(path: &Path) -> Result<Self, CodeCacheError> {
        let cache = Self::open(path)?;
        let path = path.join(FUNCTIONS);
        match FunctionCache::open(path.clone()) {
            Ok(functions) => Ok(Self {
                functions: Some(Arc::new(functions)),
                ..cache
            }),
            Err(source) => Err(CodeCacheError::Functions { path, source }),
        }
    }

    /// Has an engine use the cache.
    ///
    /// # Errors
    /// When wasmtime has no compiler.
    pub(super) fn configure(&self, config: &mut Config) -> wasmtime::Result<()> {
        config.cache(Some(self.components.clone()));
        if let Some(functions) = &self.functions {
            config.enable_incremental_compilation(functions.clone())?;
        }
        Ok(())
    }

    /// Whether the cache has the code of a component for an engine with these settings. It is not compiled.
    ///
    /// The name of an entry is the SHA-256 of everything that the code depends on, hashed in wasmtime's order. If a later version of
    /// wasmtime names its entries in another way, none is found here, and each component is compiled by a process that finds it there.
    pub(super) fn contains(&self, engine: &Engine, bytes: &[u8]) -> bool {
        let name = entry_name(engine, bytes);
        let Ok(versions) = fs::read_dir(self.components.directory().join(MODULES)) else {
            return false;
        };
        versions
            .flatten()
            .any(|version| version.path().join(&name).is_file())
    }

    /// How often the code of a component was found and how often it was not.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.components.cache_hits(), self.components.cache_misses())
    }

    /// Keeps the functions of this process for the next one.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn save_functions(&self) -> io::Result<()> {
        self.functions
            .as_ref()
            .map_or(Ok(()), |functions| functions.save())
    }
}

fn entry_name(engine: &Engine, bytes: &[u8]) -> String {
    // neither debug information in a package of its own nor unsafe intrinsics
    let (debug_package, intrinsics) = (None::<&[u8]>, None::<&str>);
    let settings = engine.precompile_compatibility_hash();

    let mut hasher = Sha256Hasher(Sha256::new());
    (settings, bytes, debug_package, intrinsics).hash(&mut hasher);
    BASE64_URL_SAFE_NO_PAD.encode(hasher.0.finalize())
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Required by the trait; nobody asks for 64 bits of the hash.
    fn finish(&self) -> u64 {
        let hash = self.0.clone().finalize();
        hash.iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
