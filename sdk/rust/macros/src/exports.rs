//! The exports of a component, which own the service while the component runs. Only exports that the service uses are written,
//! because the host calls every export that exists.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::annotation::Moment;

/// The contract as guests read it.
const CONTRACT: &str = include_str!("../wit/service.wit");

/// The exports of the service `name`.
pub(crate) fn of(name: &Type, used: &[Moment]) -> TokenStream {
    let optional = [
        Moment::Stop,
        Moment::Connected,
        Moment::Disconnected,
        Moment::Delivered,
        Moment::ConfigChanged,
        Moment::Save,
        Moment::Load,
    ];

    let optional = optional
        .into_iter()
        .filter(|moment| used.contains(moment))
        .map(export);
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::miqro_sdk::bindings;
            type Outcome = ::core::result::Result<(), ::std::string::String>;
            type Runtime = ::miqro_sdk::Runtime<#name>;

            fn with(call: impl FnOnce(&mut Runtime) -> Outcome) -> Outcome {
                ::miqro_sdk::component::with(call)
                    .unwrap_or_else(|| Err(::std::string::String::from("the service has not started")))
            }

            struct Exports;

            impl bindings::service::Guest for Exports {
                fn start() -> Outcome {
                    ::miqro_sdk::component::start::<#name>()
                }
                fn handle(topic: ::std::string::String, payload: ::std::vec::Vec<u8>) -> Outcome {
                    with(|runtime| runtime.handle(&topic, &payload))
                }
                fn tick() -> Outcome {
                    with(Runtime::tick)
                }
            }

            bindings::service::export_service!(Exports with_types_in bindings::service);
            #(#optional)*
        };
    }
}

fn export(moment: Moment) -> TokenStream {
    match moment {
        Moment::Stop => quote! {
            impl bindings::stop::Guest for Exports {
                fn stop() -> Outcome { with(Runtime::stop) }
            }
            bindings::stop::export_stop!(Exports with_types_in bindings::stop);
        },
        Moment::Connected => quote! {
            impl bindings::connected::Guest for Exports {
                fn connected(session_present: bool) -> Outcome { with(|runtime| runtime.connected(session_present)) }
            }
            bindings::connected::export_connected!(Exports with_types_in bindings::connected);
        },
        Moment::Disconnected => quote! {
            impl bindings::disconnected::Guest for Exports {
                fn disconnected() -> Outcome { with(Runtime::disconnected) }
            }
            bindings::disconnected::export_disconnected!(Exports with_types_in bindings::disconnected);
        },
        Moment::Delivered => delivered(),
        Moment::ConfigChanged => quote! {
            impl bindings::config_changed::Guest for Exports {
                fn config_changed() -> Outcome { with(Runtime::config_changed) }
            }
            bindings::config_changed::export_config_changed!(Exports with_types_in bindings::config_changed);
        },
        Moment::Save => quote! {
            impl bindings::save::Guest for Exports {
                fn save() -> ::std::vec::Vec<u8> {
                    // without a result there is no other way to say that it cannot be done
                    match ::miqro_sdk::component::with(Runtime::save) {
                        Some(Ok(saved)) => saved,
                        Some(Err(error)) => panic!("save: {error}"),
                        None => panic!("save: the service has not started"),
                    }
                }
            }
            bindings::save::export_save!(Exports with_types_in bindings::save);
        },
        Moment::Load => quote! {
            impl bindings::load::Guest for Exports {
                fn load(state: ::std::vec::Vec<u8>) -> Outcome { with(|runtime| runtime.load(&state)) }
            }
            bindings::load::export_load!(Exports with_types_in bindings::load);
        },
        Moment::New | Moment::Start | Moment::Fallback => TokenStream::new(),
    }
}

/// `delivered`, with the bindings of its own world: see the bindings' crate.
fn delivered() -> TokenStream {
    let contract = CONTRACT
        .split_once("package miqro:service@0.1.0;")
        .map_or(CONTRACT, |(_, rest)| rest);
    let text = format!(
        "package miqro:sdk; package miqro:service@0.1.0 {{ {contract} }} world delivers {{ \
         use miqro:service/messaging@0.1.0.{{delivery-token, delivery-outcome}}; \
         export delivered: func(token: delivery-token, outcome: delivery-outcome) -> result<_, string>; }}"
    );
    quote! {
        mod delivered {
            ::miqro_sdk::bindings::wit_bindgen::generate!({
                inline: #text,
                world: "miqro:sdk/delivers",
                runtime_path: "::miqro_sdk::bindings::wit_bindgen::rt",
                with: { "miqro:service/messaging@0.1.0": ::miqro_sdk::bindings::messaging },
            });
        }
        impl delivered::Guest for Exports {
            fn delivered(token: ::miqro_sdk::Token, outcome: ::miqro_sdk::DeliveryOutcome) -> Outcome {
                with(|runtime| runtime.delivered(token, outcome))
            }
        }
        delivered::export!(Exports with_types_in delivered);
    }
}
