//! Any bytes as a component: neither the contract check nor the description of the bytes may panic.

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
