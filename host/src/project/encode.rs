//! Makes components of core modules, as `wasm-tools component embed` and `component new` do, so that C and Go need no further tool.

use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser_of_component::Resolve;

/// A module cannot become a component.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The WIT of the project cannot be read.
    #[error("wit: {0}")]
    Wit(String),
    /// The module does not fit the world.
    #[error("the module does not fit the world {world}: {reason}")]
    World {
        /// The world.
        world: String,
        /// The reason.
        reason: String,
    },
}

/// Turns `module` into a component of `world`, which the WIT in `wit` declares.
///
/// # Errors
/// When the WIT cannot be read, or the module does not fit the world.
pub(super) fn component(
    mut module: Vec<u8>,
    wit: &Path,
    world: &str,
) -> Result<Vec<u8>, EncodeError> {
    let mut resolve = Resolve::default();
    let wit_error = |error: &dyn std::fmt::Display| EncodeError::Wit(format!("{error:#}"));
    let (package, _) = resolve.push_dir(wit).map_err(|error| wit_error(&error))?;
    let selected = resolve
        .select_world(&[package], Some(world))
        .map_err(|error| wit_error(&error))?;

    let misfit = |error: &dyn std::fmt::Display| EncodeError::World {
        world: world.to_owned(),
        reason: format!("{error:#}"),
    };
    embed_component_metadata(&mut module, &resolve, selected, StringEncoding::UTF8, false)
        .map_err(|error| misfit(&error))?;
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(ComponentEncoder::encode);

    encoded.map_err(|error| misfit(&error))
}
