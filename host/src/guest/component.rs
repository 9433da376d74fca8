//! Components that fulfil the contract, linked in advance and shared by all their instances.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config;
use crate::guest::compile_process::{CompileProcessError, INVALID};
use crate::guest::compiled_component::CompiledComponent;
use crate::guest::contract::{self, ContractFaults};
use crate::guest::engine::Engine;
use crate::guest::exports::{EntryIndices, Exports};
use crate::guest::fault::Fault;
use crate::guest::file_kind::FileKind;
use crate::guest::instance::Instance;
use crate::guest::linked_engine::LinkedEngine;
use crate::guest::peers::Peer;
use crate::guest::pool::PoolTicket;
use crate::panic_hook::{self, PanicMessage};
use crate::service_ctx::ServiceCtx;
use crate::typed::binding::{Binding, BindingError};
use crate::typed::interface::ComponentInterfaces;
use crate::version::Version;

/// Larger files are rejected: compiling takes time and memory in proportion.
pub const MAX_COMPONENT_BYTES: usize = 128 * 1024 * 1024;

/// Reasons why a file is not a component that can run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// The file is of another kind.
    #[error("this is {0}, not a component{advice}", advice = .0.advice())]
    NotAComponent(FileKind),
    /// The file has more bytes than [`MAX_COMPONENT_BYTES`].
    #[error(
        "a component of {0} bytes is larger than the {MAX_COMPONENT_BYTES} bytes that the host accepts"
    )]
    TooLarge(usize),
    /// The component is damaged, or uses a feature of WebAssembly that is disabled.
    #[error("{INVALID}{0}")]
    Invalid(String),
    /// The component is asynchronous.
    #[error(
        "the component is asynchronous (WASI 0.3), and this host runs synchronous ones; build it so: componentize-qjs with --sync, \
         guests of Spin's MQTT trigger with its SDK 0.7, others for WASI 0.2 and without `async func`"
    )]
    Asynchronous,
    /// wasmtime panicked.
    #[error("wasmtime failed to compile the component, which is a bug of it: {0}")]
    CompilerPanic(PanicMessage),
    /// The process that compiles large components could not compile it within its bounds.
    #[error("the component cannot be compiled: {0}")]
    Compile(CompileProcessError),
    /// The component does not fulfil the contract.
    #[error("the component does not fulfil the contract miqro:service:{0}")]
    Contract(ContractFaults),
}

impl From<CompileProcessError> for ComponentError {
    fn from(error: CompileProcessError) -> Self {
        match error {
            CompileProcessError::Invalid(reason) => Self::from_compiler(reason),
            error => Self::Compile(error),
        }
    }
}

impl ComponentError {
    /// The error for a component that the compiler rejects for this reason.
    fn from_compiler(reason: String) -> Self {
        if reason.contains("component model async feature") {
            Self::Asynchronous
        } else {
            Self::Invalid(reason)
        }
    }
}

/// A component that fulfils the contract. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<CompiledComponent>);

impl Engine {
    /// Compiles a component, or finds its compiled code, and checks it against the contract. Blocks: seconds for large components.
    ///
    /// # Errors
    /// When the file is not a component, or a component that cannot run here. Lists everything that the contract misses.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        self.compile_with(bytes, || {})
    }

    /// As [`Engine::compile`]. Calls `on_compile` when compiling begins; not when a running service has the same component, or the
    /// code is in the compile cache. Components are compiled one after the other, because each may take much memory.
    ///
    /// # Errors
    /// As [`Engine::compile`].
    pub fn compile_with(
        &self,
        bytes: &[u8],
        on_compile: impl FnOnce(),
    ) -> Result<Component, ComponentError> {
        check_file(bytes)?;
        let hash = Sha256::digest(bytes).into();
        self.compiled()
            .get_or_make(hash, || self.make(bytes, hash, on_compile))
            .map(Component)
    }

    /// As [`Engine::compile`] for a component whose code is in the compile cache; `None`: it has to be compiled.
    ///
    /// # Errors
    /// As [`Engine::compile`].
    pub fn find_compiled(&self, bytes: &[u8]) -> Result<Option<Component>, ComponentError> {
        check_file(bytes)?;
        self.is_cached(bytes)
            .then(|| self.compile(bytes))
            .transpose()
    }

    fn make(
        &self,
        bytes: &[u8],
        hash: [u8; 32],
        on_compile: impl FnOnce(),
    ) -> Result<CompiledComponent, ComponentError> {
        let (linked, component, ticket) = if self.is_cached(bytes) {
            without_panic(|| compile(self, bytes))
        } else {
            let _turn = self.compile_turn();
            on_compile();
            self.compile_elsewhere(bytes)?;
            without_panic(|| compile(self, bytes))
        }?;

        let checked = contract::check(self.contract(), linked, &component)
            .map_err(ComponentError::Contract)?;

        // otherwise it is made at the first instantiation, which may be on the message path
        component
            .initialize_copy_on_write_image()
            .map_err(|error| invalid(&error))?;

        Ok(CompiledComponent {
            pre: checked.pre,
            indices: checked.indices,
            slot: linked.slot,
            _ticket: ticket,
            imports: checked.imports,
            interfaces: checked.interfaces,
            hash,
            ticker: self.ticker(),
        })
    }
}

/// Refuses files that are not components, and too large ones.
fn check_file(bytes: &[u8]) -> Result<(), ComponentError> {
    let kind = FileKind::of(bytes);
    if kind != FileKind::Component {
        return Err(ComponentError::NotAComponent(kind));
    }
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(ComponentError::TooLarge(bytes.len()));
    }
    Ok(())
}

fn invalid(error: &wasmtime::Error) -> ComponentError {
    ComponentError::from_compiler(format!("{error:#}"))
}

/// Runs the compiler. Its panics become errors, because they concern one component and not the host.
fn without_panic<T>(compile: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, ComponentError> {
    match panic_hook::catch_expected(compile) {
        Ok(compiled) => compiled.map_err(|error| invalid(&error)),
        Err(message) => Err(ComponentError::CompilerPanic(message)),
    }
}

/// Compiles for the pool when the component fits a slot of it, else for the on-demand engine. The settings that matter to
/// the compiler are the same in both engines, so with a cache nothing is compiled twice.
fn compile<'a>(
    engine: &'a Engine,
    bytes: &[u8],
) -> wasmtime::Result<(
    &'a LinkedEngine,
    wasmtime::component::Component,
    Option<PoolTicket>,
)> {
    if let Some((pooled, ticket)) = engine.pooled(bytes.len()) {
        // an error may only mean that the component does not fit the pool, so the other engine decides
        if let Ok(component) = wasmtime::component::Component::from_binary(&pooled.engine, bytes) {
            return Ok((pooled, component, Some(ticket)));
        }
    }

    let linked = engine.on_demand()?;
    let component = wasmtime::component::Component::from_binary(&linked.engine, bytes)?;
    Ok((linked, component, None))
}

impl Component {
    /// Creates an instance with a store of its own. Runs the component's initialisation under the limits of `ctx`.
    ///
    /// # Errors
    /// When the initialisation fails or exceeds a limit, or the host has no room for the instance.
    pub async fn instantiate(&self, ctx: Arc<ServiceCtx>) -> Result<Box<Instance>, Fault> {
        let binding = self
            .bind(&ctx.config.typed)
            .map_err(|error| Fault::Grant(error.to_string()))?;
        Instance::new(
            &self.0.pre,
            &self.0.indices,
            &self.0.ticker,
            self.0.slot,
            (ctx, Arc::new(binding)),
        )
        .await
    }

    /// Binds its typed interfaces as the configuration of a service says.
    ///
    /// # Errors
    /// When that does not fit the interfaces.
    pub fn bind(&self, typed: &config::TypedInterfaces) -> Result<Binding, BindingError> {
        Binding::new(&self.0.interfaces, typed)
    }

    /// The optional exports that it has.
    pub fn exports(&self) -> Exports {
        Exports::of(&self.0.indices)
    }

    /// The peer that it was made for; `None`: it fulfils the contract of this host.
    pub fn peer(&self) -> Option<Peer> {
        match &self.0.indices.entry {
            EntryIndices::Service(_) => None,
            EntryIndices::Peer(export) => Some(export.peer),
        }
    }

    /// The imported interfaces with their versions, sorted.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// The interfaces that it exports and imports, besides those of `miqro` and `wasi`.
    pub fn interfaces(&self) -> &ComponentInterfaces {
        &self.0.interfaces
    }

    /// The SHA-256 of the file's bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.0.hash
    }

    /// The version of the component.
    pub fn version(&self) -> Version {
        Version::new(self.0.hash)
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("imports", &self.0.imports)
            .field("exports", &self.exports())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    #[test]
    fn a_panic_of_the_compiler_is_an_error() {
        let outcome = without_panic(|| -> wasmtime::Result<()> { panic!("on purpose") });
        let expected = ComponentError::CompilerPanic(PanicMessage("on purpose".to_owned()));
        assert_eq!(outcome, Err(expected));
    }
}
