//! The engines: two of wasmtime, with their linkers, the compile cache and the ticker.
//!
//! # Two engines
//! How instances get their memory is a property of a wasmtime engine. Small guests come from a pool, which creates an
//! instance in microseconds and keeps ten thousand of them cheap. A component that does not fit a slot of the pool (linked
//! from many modules, with large tables or several memories) gets memory on demand from a second engine, which is created
//! when it is first needed.
//!
//! wasmtime advises one engine a process, because types, functions and stores of one engine must not meet those of another.
//! Here they cannot: an engine, its linker and the code compiled with it stay together in [`LinkedEngine`], and an instance
//! never leaves the component that it was created from. Both engines have the same settings except for allocation, so they
//! accept the same components and find each other's code in the compile cache. One ticker serves both.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy};

use crate::guest::address_space::{self, Reservation};
use crate::guest::code_cache::{CodeCache, CodeCacheError};
use crate::guest::compile_pool;
use crate::guest::compile_process::{self, CompileProcess, CompileProcessError};
use crate::guest::compiled_component::CompiledComponent;
use crate::guest::contract::{Contract, WitError};
use crate::guest::limits::WASM_STACK;
use crate::guest::linked_engine::LinkedEngine;
use crate::guest::pool::{self, PoolSlot, PoolTicket};
use crate::guest::shared_values::SharedValues;
use crate::guest::ticker::Ticker;
use crate::signature::Key;

/// Larger components go to the on-demand engine without asking whether they fit the pool.
const SMALL_COMPONENT_BYTES: usize = 8 * 1024 * 1024;

/// The whole stack of a call in bytes; the part above [`WASM_STACK`] is for host functions.
const CALL_STACK: usize = 1024 * 1024;

/// The default of [`EngineOptions::compile_timeout`].
const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);

/// Options of the engines.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Absolute path of the directory for compiled code, created when missing; `None`: compiled code is not kept.
    pub cache_dir: Option<PathBuf>,
    /// The expected number of services.
    pub services: usize,
    /// The largest `limits.memory` of a service, in bytes: every memory in the pool can grow to this size.
    pub memory: usize,
    /// The program `miqro-host`, which compiles large components in a process of its own; `None`: this process compiles all.
    pub compiler: Option<PathBuf>,
    /// The longest time for that process.
    pub compile_timeout: Duration,
    /// Keys that component files must be signed with; empty: they need not be signed.
    pub trust: Vec<Key>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            services: 0,
            memory: 0,
            compiler: None,
            compile_timeout: COMPILE_TIMEOUT,
            trust: Vec::new(),
        }
    }
}

/// Reasons why the engines cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compile cache cannot be used.
    #[error(transparent)]
    CodeCache(#[from] CodeCacheError),
    /// The process that only compiles cannot bound its memory.
    #[error("cannot bound the memory of the compiler: {0}")]
    Confine(#[source] io::Error),
    /// The contract that the host was built with is not valid.
    #[error(transparent)]
    Contract(#[from] WitError),
    /// The thread that interrupts guests cannot be started.
    #[error("cannot start the guest ticker: {0}")]
    Ticker(#[source] io::Error),
}

/// Everything that the guests of one host share.
pub struct Engine {
    /// `None`: the machine has no address space for a pool.
    pooled: Option<LinkedEngine>,
    on_demand: OnceLock<LinkedEngine>,
    reservation: Reservation,
    cache: Option<CodeCache>,
    compile_process: Option<CompileProcess>,
    /// Held while a component is compiled: the compiler uses all processors, and each process of it much memory.
    compiling: Mutex<()>,
    /// Code that is in use, by the hash of its component.
    compiled: SharedValues<CompiledComponent>,
    contract: Contract,
    ticker: Arc<Ticker>,
    capacity: usize,
    /// The number of components that were compiled for the pool and are still in use.
    in_pool: Arc<AtomicUsize>,
    trust: Vec<Key>,
}

impl Engine {
    /// Creates the pooling engine and opens the compile cache.
    ///
    /// # Errors
    /// When the cache directory cannot be used, or the engine or its thread cannot be created.
    pub fn new(options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        compile_pool::set_up();
        let cache_dir = options.cache_dir.as_deref();
        let cache = cache_dir.map(CodeCache::open).transpose()?;

        let capacity = pool::capacity(options.services);
        let reservation = reservation(capacity, options.memory);
        let (pooled, reservation) = pooled(capacity, reservation, cache.as_ref());

        let ticker = Arc::new(Ticker::start().map_err(EngineError::Ticker)?);
        if let Some(pooled) = &pooled {
            ticker.add(&pooled.engine);
        }

        // another process hands over compiled code through the cache, so there is none without a cache
        let compile_process = options.compiler.zip(options.cache_dir);
        let compile_process = compile_process.map(|(program, cache_dir)| CompileProcess {
            program,
            cache_dir,
            reservation,
            timeout: options.compile_timeout,
        });

        Ok(Arc::new(Self {
            pooled,
            on_demand: OnceLock::new(),
            reservation,
            cache,
            compile_process,
            compiling: Mutex::default(),
            compiled: SharedValues::default(),
            contract: Contract::parse()?,
            ticker,
            capacity,
            in_pool: Arc::default(),
            trust: options.trust,
        }))
    }

    /// Creates an engine that only compiles, into the cache in `cache_dir`, in a process with bounds on its memory. The engine of
    /// another process reserves `memory_reservation` bytes for a memory; `None`: as much as a host with one service would.
    ///
    /// # Errors
    /// When the process cannot be bounded, the cache directory cannot be used, or the engine's thread cannot be created.
    pub fn only_compiling(
        cache_dir: &Path,
        memory_reservation: Option<u64>,
    ) -> Result<Arc<Self>, EngineError> {
        compile_process::confine(memory_reservation.is_some()).map_err(EngineError::Confine)?;
        compile_pool::set_up();

        let reservation = match memory_reservation {
            Some(memory) => Some(Reservation::of(memory)),
            None => reservation(pool::capacity(0), 0),
        };
        let cache = CodeCache::open_with_functions(cache_dir)?;
        Ok(Arc::new(Self {
            pooled: None,
            on_demand: OnceLock::new(),
            reservation: reservation.unwrap_or(Reservation::SMALLEST),
            cache: Some(cache),
            compile_process: None,
            compiling: Mutex::default(),
            compiled: SharedValues::default(),
            contract: Contract::parse()?,
            ticker: Arc::new(Ticker::start().map_err(EngineError::Ticker)?),
            capacity: 0,
            in_pool: Arc::default(),
            trust: Vec::new(),
        }))
    }

    /// Keeps the functions that this process has compiled for the next one, which may compile a version with most of them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn save_functions(&self) -> io::Result<()> {
        self.cache
            .as_ref()
            .map_or(Ok(()), CodeCache::save_functions)
    }

    /// Has a large component compiled by another process, so that this one finds its code in the cache.
    ///
    /// # Errors
    /// When that takes too long or too much memory.
    pub(super) fn compile_elsewhere(&self, bytes: &[u8]) -> Result<(), CompileProcessError> {
        match &self.compile_process {
            Some(process) if bytes.len() > compile_process::SMALL => process.run(bytes),
            _ => Ok(()),
        }
    }

    /// Waits until no other component is being compiled.
    pub(super) fn compile_turn(&self) -> MutexGuard<'_, ()> {
        // a panic while compiling leaves nothing behind that matters to the next component
        self.compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the compile cache has the code of a component.
    pub fn is_cached(&self, bytes: &[u8]) -> bool {
        let linked = match &self.pooled {
            Some(pooled) => pooled,
            // both engines have the same settings for the compiler
            None => match self.on_demand() {
                Ok(on_demand) => on_demand,
                Err(_) => return false,
            },
        };

        self.cache
            .as_ref()
            .is_some_and(|cache| cache.contains(&linked.engine, bytes))
    }

    pub(super) fn compiled(&self) -> &SharedValues<CompiledComponent> {
        &self.compiled
    }

    /// The number of instances that fit the pool. Less than the expected services need when the kernel's
    /// `vm.max_map_count` is too small.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The keys that component files must be signed with. The reader of a file has to check its signature:
    /// [`Engine::compile`] only sees bytes.
    pub fn trust(&self) -> &[Key] {
        &self.trust
    }

    /// How often compiled code was found in the cache and how often it was not, since the engine was created.
    pub fn cache_use(&self) -> (usize, usize) {
        self.cache.as_ref().map_or((0, 0), CodeCache::usage)
    }

    /// The engine with the pool, for a component of `bytes` bytes that is small enough to try, while the pool has room.
    pub(super) fn pooled(&self, bytes: usize) -> Option<(&LinkedEngine, PoolTicket)> {
        let pooled = self
            .pooled
            .as_ref()
            .filter(|_| bytes <= SMALL_COMPONENT_BYTES)?;

        // leaves room for instances that exist at the same time as their successors
        let tickets = self.capacity - self.capacity / 8;
        Some((pooled, PoolTicket::take(&self.in_pool, tickets)?))
    }

    /// The engine for components that do not fit the pool.
    pub(super) fn on_demand(&self) -> wasmtime::Result<&LinkedEngine> {
        if let Some(linked) = self.on_demand.get() {
            return Ok(linked);
        }

        let strategy = InstanceAllocationStrategy::OnDemand;
        let config = config(strategy, self.reservation, self.cache.as_ref())?;
        let linked = LinkedEngine::new(&config, None)?;
        Ok(self.on_demand.get_or_init(|| {
            self.ticker.add(&linked.engine);
            linked
        }))
    }

    pub(super) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(super) fn ticker(&self) -> Arc<Ticker> {
        self.ticker.clone()
    }
}

/// Returns a reservation with which the memories of `instances` instances fit the address space of this process.
fn reservation(instances: usize, largest: usize) -> Option<Reservation> {
    let memories = pool::memories(instances);
    Reservation::within(address_space::available(), memories, largest)
}

/// Creates the engine with the pool, and finds the reservation of one memory. When the system refuses that much address space
/// although it seemed to be there, the pool tries smaller memories. `None`: there is no room for a pool, so all guests get
/// their memory on demand.
fn pooled(
    capacity: usize,
    mut reservation: Option<Reservation>,
    cache: Option<&CodeCache>,
) -> (Option<LinkedEngine>, Reservation) {
    let mut reason = String::new();
    while let Some(tried) = reservation {
        let strategy = InstanceAllocationStrategy::Pooling(pool::config(capacity, tried));
        let made = config(strategy, tried, cache)
            .and_then(|config| LinkedEngine::new(&config, Some(PoolSlot::new(tried))));
        match made {
            Ok(pooled) => return (Some(pooled), tried),
            Err(error) => reason = format!(": {error:#}"),
        }
        reservation = tried.halved();
    }

    tracing::warn!(
        "no address space for a pool of guest memories{reason}; services start more slowly"
    );
    (None, Reservation::SMALLEST)
}

/// Settings for untrusted code. Proposals that need a cargo feature (threads, garbage collection, stack switching,
/// component model async) are not even compiled in.
fn config(
    strategy: InstanceAllocationStrategy,
    reservation: Reservation,
    cache: Option<&CodeCache>,
) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .allocation_strategy(strategy)
        .memory_reservation(reservation.memory)
        .memory_guard_size(reservation.guard)
        .memory_reservation_for_growth(reservation.memory / 2)
        .epoch_interruption(true)
        // a call of wasmtime takes three times as long with it: docs/decisions/0127-asynchronous-components.md
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK)
        .wasm_memory64(false)
        // wasmtime's own adapters between the components of a component have two memories
        .wasm_multi_memory(true)
        .shared_memory(false);

    if let Some(cache) = cache {
        cache.configure(&mut config)?;
    }
    Ok(config)
}
