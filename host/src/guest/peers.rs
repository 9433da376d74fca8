//! Guests of peers: components for wasmCloud, WASI messaging or the MQTT trigger of Spin, with their imports.
//!
//! A [`Peer`] has an export of its own for messages, and none of the contract. [`calling`] calls it with the message; the other files
//! implement the imports, with the functions of the contract: the same grants, limits and effects hold.

mod bindings;
pub(super) mod calling;
mod config_store;
mod keyvalue;
mod kind;
mod logging;
mod outgoing;
mod resources;
mod spin;
mod wasi_messaging;
mod wasmcloud;

pub use kind::Peer;
pub(super) use kind::{PeerExport, find, is_offered, is_package, offered};

use wasmtime::component::{HasSelf, Linker};

use crate::guest::store::StoreData;

/// Defines everything that guests of peers may import.
///
/// # Errors
/// When the linker has one of them already.
pub(super) fn define(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    bindings::PeerImports::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)
}
