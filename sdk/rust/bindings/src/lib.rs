//! The contract as Rust: types and imports of `wit/service.wit`, and one macro for each group of exports.
//!
//! A world is written for each optional export, because a component exports all of its world: a service that has no use for
//! `delivered` must not be called for every message. wit-bindgen's sections in the component are merged when it is linked.
//! The world of `delivered` is not here but in the output of `#[service]`: it names types of `messaging`, which every component
//! with it would import by themselves.
//!
//! This crate stands alone because generated code is `unsafe`, which the SDK forbids.

#![allow(missing_docs)]

/// The part that every service has: `handle`, `tick`, `start`, and all imports.
pub mod service {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package miqro:sdk;
            world base { include miqro:service/service@0.1.0; export start: func() -> result<_, string>; }",
        world: "miqro:sdk/base",
        pub_export_macro: true,
        export_macro_name: "export_service",
        default_bindings_module: "miqro_sdk_bindings::service",
        additional_derives: [PartialEq],
        generate_all,
    });
}

#[doc(hidden)]
pub use wit_bindgen;

pub use service::miqro::service::{config, log, messaging, state, timers};

/// The world of one optional export.
macro_rules! optional {
    ($(#[$doc:meta])* $module:ident, $world:literal, $text:literal, $export:literal) => {
        $(#[$doc])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $text,
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

optional!(
    /// Optional: `stop`.
    stop, "miqro:sdk/stops",
    "package miqro:sdk; world stops { export stop: func() -> result<_, string>; }",
    "export_stop"
);
optional!(
    /// Optional: `connected`.
    connected, "miqro:sdk/connects",
    "package miqro:sdk; world connects { export connected: func(session-present: bool) -> result<_, string>; }",
    "export_connected"
);
optional!(
    /// Optional: `disconnected`.
    disconnected, "miqro:sdk/disconnects",
    "package miqro:sdk; world disconnects { export disconnected: func() -> result<_, string>; }",
    "export_disconnected"
);
optional!(
    /// Optional: `config-changed`.
    config_changed, "miqro:sdk/configures",
    "package miqro:sdk; world configures { export config-changed: func() -> result<_, string>; }",
    "export_config_changed"
);
optional!(
    /// Optional: `save`.
    save, "miqro:sdk/saves",
    "package miqro:sdk; world saves { export save: func() -> list<u8>; }",
    "export_save"
);
optional!(
    /// Optional: `load`.
    load, "miqro:sdk/loads",
    "package miqro:sdk; world loads { export load: func(state: list<u8>) -> result<_, string>; }",
    "export_load"
);
