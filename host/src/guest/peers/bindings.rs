//! The types and traits that wasmtime generates from `wit/peers`.

#![allow(missing_docs, reason = "the documentation is in the WIT")]

wasmtime::component::bindgen!({
    path: "../wit/peers",
    world: "peer-imports",
    imports: {
        "wasmcloud:messaging/consumer.request": async | trappable,
        "wasi:messaging/request-reply.request": async | trappable,
        default: trappable,
    },
    with: {
        "wasi:messaging/types.client": super::resources::Client,
        "wasi:messaging/types.message": super::resources::PeerMessage,
        "wasi:messaging/request-reply.request-options": super::resources::RequestOptions,
        "fermyon:spin/mqtt.connection": super::resources::Connection,
        "wasi:keyvalue/store@0.2.0-draft.bucket": super::resources::Bucket,
        "wasi:keyvalue/store@0.2.0-draft2.bucket": super::resources::Bucket,
    },
});
