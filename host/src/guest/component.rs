//! Machine: a compiled component. In: the bytes of a file. Out: a component that fulfils the contract and is linked in advance,
//! or an error that says what the bytes are or what they miss. Owns compiled code, shared by all instances.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::guest::bindings::ServiceIndices;
use crate::guest::compile_process::CompileProcessError;
use crate::guest::contract::{self, ContractFaults};
use crate::guest::describe::Kind;
use crate::guest::engine::{Engine, LinkedEngine, MAX_COMPONENT_BYTES, PoolSlot, PoolTicket};
use crate::guest::fault::Fault;
use crate::guest::instance::Instance;
use crate::guest::store::Data;
use crate::guest::ticker::Ticker;
use crate::service_ctx::ServiceCtx;
use crate::version::Version;

/// Why bytes are not a component that can run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// The bytes are no component; says what they are and what to do.
    #[error("this is {0}, not a component{advice}", advice = .0.advice())]
    NotAComponent(Kind),
    /// More bytes than [`MAX_COMPONENT_BYTES`].
    #[error(
        "a component of {0} bytes is larger than the {MAX_COMPONENT_BYTES} bytes that the host accepts"
    )]
    TooLarge(usize),
    /// The component is damaged, or uses a feature of WebAssembly that is off.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Another process could not compile it within its bounds.
    #[error("the component cannot be compiled: {0}")]
    Compile(#[from] CompileProcessError),
    /// The component does not fulfil the contract.
    #[error("the component does not fulfil the contract miqro:service:{0}")]
    Contract(ContractFaults),
}

/// An export that a component may have or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionalExport {
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `connected`.
    Connected,
    /// `disconnected`.
    Disconnected,
    /// `delivered`.
    Delivered,
    /// `config-changed`.
    ConfigChanged,
    /// `save`.
    Save,
    /// `load`.
    Load,
}

impl OptionalExport {
    /// All of them, in the order of [`Exports`].
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Stop,
        Self::Connected,
        Self::Disconnected,
        Self::Delivered,
        Self::ConfigChanged,
        Self::Save,
        Self::Load,
    ];

    /// Its name in the WIT.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Delivered => "delivered",
            Self::ConfigChanged => "config-changed",
            Self::Save => "save",
            Self::Load => "load",
        }
    }
}

/// Which of the optional exports a component has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exports([bool; OptionalExport::ALL.len()]);

impl Exports {
    /// Whether this one is there.
    pub const fn has(self, export: OptionalExport) -> bool {
        self.0[export as usize]
    }

    /// The names of those that are there.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        OptionalExport::ALL
            .into_iter()
            .filter(move |export| self.has(*export))
            .map(OptionalExport::name)
    }
}

/// A component that fulfils the contract. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Compiled>);

struct Compiled {
    pre: InstancePre<Data>,
    indices: Indices,
    slot: Option<PoolSlot>,
    /// Held as long as instances may be made.
    _ticket: Option<PoolTicket>,
    imports: Vec<String>,
    hash: [u8; 32],
    ticker: Arc<Ticker>,
}

/// Where the exports of the contract are.
pub(super) struct Indices {
    pub(super) required: ServiceIndices,
    /// In the order of [`OptionalExport::ALL`].
    pub(super) optional: [Option<ComponentExportIndex>; OptionalExport::ALL.len()],
}

impl Component {
    pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self, ComponentError> {
        match Kind::of(bytes) {
            Kind::Component => {}
            other => return Err(ComponentError::NotAComponent(other)),
        }
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(ComponentError::TooLarge(bytes.len()));
        }
        engine.compile_elsewhere(bytes)?;
        let (linked, component, ticket) = compile(engine, bytes)
            .map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        let checked = contract::check(linked, &component).map_err(ComponentError::Contract)?;
        // otherwise made at the first instantiation, which may be on the message path
        component
            .initialize_copy_on_write_image()
            .map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        Ok(Self(Arc::new(Compiled {
            pre: checked.pre,
            indices: checked.indices,
            slot: linked.slot,
            _ticket: ticket,
            imports: checked.imports,
            hash: Sha256::digest(bytes).into(),
            ticker: engine.ticker(),
        })))
    }

    /// Makes an instance with a store of its own. The component's own initialisation runs here, under the limits of `ctx`.
    ///
    /// # Errors
    /// When the guest fails in its initialisation or wants more than it may have, or the host has no room for it.
    pub async fn instantiate(&self, ctx: Arc<ServiceCtx>) -> Result<Box<Instance>, Fault> {
        Instance::new(
            &self.0.pre,
            &self.0.indices,
            &self.0.ticker,
            self.0.slot,
            ctx,
        )
        .await
    }

    /// Which optional exports it has.
    pub fn exports(&self) -> Exports {
        Exports(self.0.indices.optional.each_ref().map(Option::is_some))
    }

    /// The interfaces that it imports, with versions, sorted.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// The SHA-256 of the file's bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.0.hash
    }

    /// The version that it is.
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

/// Compiles for the pool when the component fits a slot of it, else for the on-demand engine. The settings of both engines
/// that matter to the compiler are the same, so with a cache nothing is compiled twice.
fn compile<'a>(
    engine: &'a Engine,
    bytes: &[u8],
) -> wasmtime::Result<(
    &'a LinkedEngine,
    wasmtime::component::Component,
    Option<PoolTicket>,
)> {
    if let Some((pooled, ticket)) = engine.pooled(bytes.len()) {
        // an error here may only mean that it does not fit, so the other engine has the last word
        if let Ok(component) = wasmtime::component::Component::from_binary(&pooled.engine, bytes) {
            return Ok((pooled, component, Some(ticket)));
        }
    }

    let linked = engine.on_demand()?;
    let component = wasmtime::component::Component::from_binary(&linked.engine, bytes)?;
    Ok((linked, component, None))
}
