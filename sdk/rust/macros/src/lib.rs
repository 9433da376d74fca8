//! The attribute `#[service]`, which turns an `impl` block with annotated methods into the tables that the runtime works with and into
//! a component's exports; and `interfaces!` and `#[serve]` for interfaces that are served or called over MQTT.

mod annotation;
mod expand;
mod exports;
mod interfaces;
mod method;
mod serve;
mod stub;

use proc_macro::TokenStream;
use syn::{ItemImpl, parse_macro_input};

/// Makes a service of a struct: stands on its one `impl` block, whose methods carry annotations.
///
/// | annotation | the method runs | its arguments after `self` |
/// |---|---|---|
/// | `#[handle("lamp/+/set")]` | for each message below the base topic that matches | the payload, then what stood where the wildcards are: a level for each `+`, the remainder for `#`; or nothing |
/// | `#[handle("home/#", global, qos = 2)]` | for each message with a matching full topic; QoS is 1 where it is not said | the same |
/// | `#[every("10s")]` | now and each ten seconds | none |
/// | `#[every("10s", delayed)]` | each ten seconds, not now; `delay = "1s"` waits another span, `jitter = "3s"` by chance up to that much longer, `stopped` until `Loop::named(..).start()`, `name = "x"` is another name than the method's | none |
/// | `#[timer]`, `#[timer("silence/+")]` | when a one-shot timer of the method's name, or of a matching one, is due | the matches of the wildcards, or nothing |
/// | `#[new]` | to make the service, in place of `Default`; returns `Self` or a result of it | no `self`, none |
/// | `#[start]`, `#[stop]` | when the service starts and stops | none |
/// | `#[connected]`, `#[disconnected]` | when the connection is there, and lost | `connected`: whether the broker knew the session, or nothing |
/// | `#[delivered]` | when it is known what became of a message with QoS 1 or 2 | a `Token` and a `DeliveryOutcome` |
/// | `#[config_changed]` | when the section has changed; an error refuses the change | none |
/// | `#[save]` | when another version replaces this one: the returned value is handed over; any type that is `Encode`, or a result of one | none |
/// | `#[load]` | when this version replaces another one, after `#[start]`; an error keeps the other | the saved value, of any type that is `Decode` |
/// | `#[fallback]` | for a message that no handler takes | the payload, or nothing |
///
/// Handlers and the fallback may also take `&Message<'_>`, in any place. Payload and captured levels are of any type that is
/// `Decode`: bytes, text, numbers, `bool`, `Json<T>`, or an `Option` of these. A value that cannot be read is logged and counted, and
/// the method does not run.
///
/// A method may carry several annotations, and several methods the same: all of them run, in order of declaration. Methods
/// return nothing or a result; a loop may return a `ControlFlow`, and `Break(())` stops it.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, block: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("#[service] takes no arguments");
    }
    let block = parse_macro_input!(block as ItemImpl);
    expand::service(block)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Brings the interfaces of WIT worlds into scope, each as a module: `interfaces!("wit", "io:world/hello-service@1.0.0")`.
///
/// The first argument is the folder of the WIT package, from the folder of `Cargo.toml`; the others are its worlds. An interface that the
/// world exports is served with [`macro@serve`]; the functions of one that it imports are called as functions. In a native test there
/// is no host: `hello::stub::say(|message, when| 1)` answers the calls of `hello::say` in its thread. A function without an answer
/// panics, unless it returns nothing.
///
/// One invocation a module.
#[proc_macro]
pub fn interfaces(arguments: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as interfaces::Interfaces);
    interfaces::expand(&arguments)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Serves an interface: stands on the implementation of its trait, whose functions are written as methods of the service with
/// `&mut self`.
///
/// Publishes and signals of a method take effect when it returns, and so does state. The service needs [`macro@service`] on another
/// `impl` block, which may be empty.
#[proc_macro_attribute]
pub fn serve(arguments: TokenStream, block: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("#[serve] takes no arguments");
    }
    let block = parse_macro_input!(block as ItemImpl);
    serve::expand(&block)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn error(text: &str) -> TokenStream {
    syn::Error::new(proc_macro2::Span::call_site(), text)
        .to_compile_error()
        .into()
}
