//! CompiledComponent code, linked in advance, with everything that instances of it need.

use std::sync::Arc;

use wasmtime::component::InstancePre;

use crate::guest::exports::ExportIndices;
use crate::guest::pool::{PoolSlot, PoolTicket};
use crate::guest::store::StoreData;
use crate::guest::ticker::Ticker;
use crate::typed::interface::ComponentInterfaces;

/// The compiled code of a component that fulfils the contract.
pub(super) struct CompiledComponent {
    pub(super) pre: InstancePre<StoreData>,
    pub(super) indices: ExportIndices,
    /// The room for one instance in the pool; `None`: memory is mapped on demand.
    pub(super) slot: Option<PoolSlot>,
    /// Reserves room in the pool as long as instances may be created.
    pub(super) _ticket: Option<PoolTicket>,
    /// The imported interfaces with their versions, sorted.
    pub(super) imports: Vec<String>,
    /// The interfaces that it exports and imports, besides those of `miqro` and `wasi`.
    pub(super) interfaces: ComponentInterfaces,
    /// The SHA-256 of the file's bytes.
    pub(super) hash: [u8; 32],
    pub(super) ticker: Arc<Ticker>,
}
