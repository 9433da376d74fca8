//! The exports that take messages and timers: those of the contract, or the one of a peer.

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::guest::bindings::Service;
use crate::guest::exports::EntryIndices;
use crate::guest::fault::Fault;
use crate::guest::peers::PeerExport;
use crate::guest::peers::calling::PeerFunction;
use crate::guest::store::StoreData;
use crate::service_ctx::ServiceCtx;

/// The exports of an instance that take messages and timers.
pub(super) enum Entry {
    /// `handle` and `tick`.
    Service(Service),
    /// The export of a peer.
    Peer(PeerFunction),
}

impl Entry {
    /// Finds them in an instance; `None`: one is missing.
    pub(super) fn load(
        indices: &EntryIndices,
        store: &mut Store<StoreData>,
        instance: &Instance,
    ) -> Option<Self> {
        Some(match indices {
            EntryIndices::Service(indices) => Self::Service(indices.load(store, instance).ok()?),
            EntryIndices::Peer(PeerExport { peer, index }) => Self::Peer(PeerFunction {
                peer: *peer,
                function: instance.get_func(store, index)?,
            }),
        })
    }
}

/// Checks that the guest has an export for the timers of the configuration.
///
/// # Errors
/// When it has none, and there are timers.
pub(super) fn check_timers(ctx: &ServiceCtx, indices: &EntryIndices) -> Result<(), Fault> {
    match indices {
        EntryIndices::Peer(export) if !ctx.config.triggers.timers.is_empty() => {
            Err(Fault::Grant(format!(
                "services.{}.timers: expected none, because a guest of {} has no export for them",
                ctx.config.name, export.peer
            )))
        }
        _ => Ok(()),
    }
}
