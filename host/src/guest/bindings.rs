//! The types and traits that wasmtime generates from `wit/service.wit`; `api` implements the traits.

#![allow(missing_docs, reason = "the documentation is in the WIT")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "service",
    imports: { "miqro:service/messaging.request": async },
    exports: { default: async },
});
