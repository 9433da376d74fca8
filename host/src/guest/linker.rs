//! The interfaces that a component may import: those of `miqro:service`, of WASI 0.2, and of peers.

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::guest::bindings::Service;
use crate::guest::store::StoreData;
use crate::guest::{peers, sockets};

/// The version of `miqro:service` that this host offers.
pub(super) const VERSION: &str = "0.1.0";

/// The packages of WASI 0.2 that this host offers: `wasi:cli/imports` with its dependencies, and outgoing HTTP.
pub(super) const WASI_PACKAGES: [&str; 7] = [
    "cli",
    "clocks",
    "filesystem",
    "http",
    "io",
    "random",
    "sockets",
];

/// Creates a linker with everything that a guest may import.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    sockets::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Service::add_to_linker::<_, HasSelf<StoreData>>(&mut linker, |data| data)?;
    peers::define(&mut linker)?;
    Ok(linker)
}
