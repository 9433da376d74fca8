//! Any bytes as component. In: bytes. Out: a panic of the contract check or of what says what the bytes are. Owns the engine, which
//! keeps no compiled code.

use std::sync::{Arc, LazyLock};

use miqro_host::guest::{Engine, EngineOptions};

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    Engine::new(EngineOptions {
        services: 1,
        ..EngineOptions::default()
    })
    .expect("an engine")
});

/// Compiles `bytes` and checks them against the contract.
pub fn run(bytes: &[u8]) {
    let description = ENGINE.describe(bytes);
    assert!(!description.to_string().is_empty());
}
