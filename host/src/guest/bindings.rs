//! The types and traits that wasmtime makes of `wit/service.wit`. In: the WIT. Out: one trait for each interface, implemented
//! in `api/*`, and the types in their signatures. Owns nothing.

#![allow(missing_docs, reason = "the documentation is in the WIT")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "service",
    imports: { "miqro:service/messaging.request": async },
    exports: { default: async },
});
