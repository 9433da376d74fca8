//! A wasmtime engine together with what belongs to it: a component of one engine never meets the linker of another.

use wasmtime::Config;
use wasmtime::component::Linker;

use crate::guest::linker::linker;
use crate::guest::pool::PoolSlot;
use crate::guest::store::StoreData;

/// A wasmtime engine with its linker and the way it allocates instances.
pub(super) struct LinkedEngine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Linker<StoreData>,
    /// The room for one instance in the pool; `None`: memory is mapped on demand.
    pub(super) slot: Option<PoolSlot>,
}

impl LinkedEngine {
    /// Creates the engine and its linker. `slot`: see the field.
    ///
    /// # Errors
    /// When wasmtime refuses the settings, or the machine cannot satisfy them.
    pub(super) fn new(config: &Config, slot: Option<PoolSlot>) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        Ok(Self {
            linker: linker(&engine)?,
            engine,
            slot,
        })
    }
}
