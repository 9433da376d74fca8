//! A look into the compile cache: whether it has the code of a component, without compiling that.
//!
//! The name of an entry is the SHA-256 of everything that the code depends on, hashed in wasmtime's order. If a later version of
//! wasmtime names its entries in another way, none is found here, and each component is compiled by a process that finds it there.

use std::fs;
use std::hash::{Hash, Hasher};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use wasmtime::{Cache, Engine};

/// The directory of entries below that of the cache; it has a directory for each version of wasmtime.
const MODULES: &str = "modules";

/// Whether the cache has the code of a component for an engine with these settings.
pub(super) fn contains(cache: &Cache, engine: &Engine, bytes: &[u8]) -> bool {
    let name = entry_name(engine, bytes);
    let Ok(versions) = fs::read_dir(cache.directory().join(MODULES)) else {
        return false;
    };
    versions
        .flatten()
        .any(|version| version.path().join(&name).is_file())
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
