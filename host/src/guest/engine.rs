//! Machine: the engines. In: how many services there will be, and where compiled code may be kept. Out: components compiled
//! from bytes. Owns two wasmtime engines, their linkers, the compile cache and the ticker.
//!
//! # Two engines
//! How instances get their memory is a property of a wasmtime engine. Small guests come from a pool, which makes an instance
//! in microseconds and keeps ten thousand of them cheap; what does not fit a slot of the pool (a guest linked from many
//! modules, with large tables or several memories) gets memory on demand from a second engine, made when it is first needed.
//! The advice to have one engine in a process is about sharing: types, functions and stores of one engine must not meet those
//! of another. Here they cannot: an engine, its linker and what is compiled with it stay together in [`LinkedEngine`], and an
//! instance never leaves the component that it was made from. Both engines have the same settings but for allocation, so
//! they accept the same components and find each other's code in the compile cache. One ticker serves both.
//!
//! # Compile cache
//! wasmtime's own, in a directory of ours with mode 0700. An entry is found by the SHA-256 of the component's bytes, of the
//! compiler's and the engine's settings and of the CPU features, below a directory named after wasmtime's version. It is
//! written to a new file and renamed, so a reader sees a whole entry or none; an entry that does not decompress or parse is
//! compiled anew. Entries are not signed: who can write to the directory can run code as the host, so it is refused when others
//! can (see [`secure_dir`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Cache, CacheConfig, Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::guest::address_space::{self, Reservation};
use crate::guest::compile_process::{self, CompileProcess, CompileProcessError};
use crate::guest::compilers;
use crate::guest::component::{Component, ComponentError};
use crate::guest::linker::linker;
use crate::guest::store::Data;
use crate::guest::ticker::Ticker;
use crate::secure_dir::{self, SecureDirError};
use crate::signature::Key;

/// Larger files are refused: compiling takes time and memory in proportion.
pub const MAX_COMPONENT_BYTES: usize = 128 * 1024 * 1024;

/// Larger components go to the on-demand engine without asking whether they fit the pool.
const SMALL_COMPONENT_BYTES: usize = 8 * 1024 * 1024;

/// Stack that guest code may use, in bytes. A property of the engine, and so the same for all services.
pub(super) const WASM_STACK: usize = 512 * 1024;

/// The whole stack of a call; what is above [`WASM_STACK`] is for host functions.
const CALL_STACK: usize = 1024 * 1024;

/// What a component in the pool may have: core instances, tables and memories (a Rust component has four, two and one).
const POOLED_CORE_INSTANCES: u32 = 24;
const POOLED_TABLES: u32 = 6;
const POOLED_MEMORIES: u32 = 2;

/// Elements of one table in the pool; only address space is reserved for them.
const POOLED_TABLE_ELEMENTS: usize = 20_000;

/// The smallest pool, and the room beyond two instances a service (the old and the new one of a swap).
const SPARE_INSTANCES: usize = 48;

/// Memory mappings that an instance in the pool takes: four for its copy-on-write memory, two for its stack.
const MAPPINGS_PER_INSTANCE: usize = 6;

/// Mappings left for everything else in the process.
const OTHER_MAPPINGS: usize = 4_000;

/// How long a large component may take to compile.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);

/// What the engines are made for.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Absolute path of the directory for compiled code, made when missing; `None`: nothing is kept.
    pub cache_dir: Option<PathBuf>,
    /// How many services there will be.
    pub services: usize,
    /// The largest `limits.memory` of a service, in bytes: a memory in the pool can grow so far at least.
    pub memory: usize,
    /// The program `miqro-host`, which compiles large components in a process of its own; `None`: this process compiles all.
    pub compiler: Option<PathBuf>,
    /// How long that process may take.
    pub compile_timeout: Duration,
    /// Keys of whom component files have to be signed; empty: they need not be.
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

/// Why there are no engines.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The cache directory cannot be created, or other users have access to it.
    #[error("compile cache {path}: {source}")]
    CacheDir {
        /// The directory.
        path: PathBuf,
        /// Why it must not be used.
        source: SecureDirError,
    },
    /// wasmtime refused the cache.
    #[error("compile cache {path}: {reason}")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// The error of wasmtime.
        reason: String,
    },
    /// wasmtime refused the settings or the machine cannot satisfy them.
    #[error("the WebAssembly engine could not be made: {0}")]
    Engine(String),
    /// The thread that interrupts guests could not be started.
    #[error("the guest ticker could not be started: {0}")]
    Ticker(#[source] io::Error),
}

/// An engine, what is linked with it, and how it allocates.
pub(super) struct LinkedEngine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Linker<Data>,
    /// What an instance may have of the pool; `None`: memory is mapped on demand.
    pub(super) slot: Option<PoolSlot>,
}

/// Room that the pool has for one instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolSlot {
    /// Elements of one table.
    pub(super) table_elements: usize,
    /// Bytes of one linear memory.
    pub(super) memory: u64,
}

/// Everything that guests of one host share.
pub struct Engine {
    /// `None` where the machine has no address space for a pool.
    pooled: Option<LinkedEngine>,
    on_demand: OnceLock<LinkedEngine>,
    reservation: Reservation,
    cache: Option<Cache>,
    compile_process: Option<CompileProcess>,
    ticker: Arc<Ticker>,
    capacity: usize,
    /// How many components were compiled for the pool and are still in use.
    in_pool: Arc<AtomicUsize>,
    trust: Vec<Key>,
}

impl Engine {
    /// Makes the pooling engine and opens the compile cache.
    ///
    /// # Errors
    /// When the cache directory cannot be used, or the engine or its thread cannot be made.
    pub fn new(options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        compilers::set_up();
        let cache = options.cache_dir.as_deref().map(open_cache).transpose()?;
        let ticker = Arc::new(Ticker::start().map_err(EngineError::Ticker)?);
        let capacity = capacity(options.services);
        let reservation = reservation(capacity, options.memory);
        let (pooled, reservation) = pooled(capacity, reservation, cache.as_ref())?;
        if let Some(pooled) = &pooled {
            ticker.add(&pooled.engine);
        }
        // without a cache there is no way to hand over what another process compiles
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
            ticker,
            capacity,
            in_pool: Arc::default(),
            trust: options.trust,
        }))
    }

    /// An engine that only compiles, into the cache in `cache_dir`, in the bounds for such a process. `memory_reservation`: bytes
    /// that the engine of another process reserves for a memory; without it, as much as a host with one service would.
    ///
    /// # Errors
    /// When the cache directory cannot be used, or the engine or its thread cannot be made.
    pub fn only_compiling(
        cache_dir: &Path,
        memory_reservation: Option<u64>,
    ) -> Result<Arc<Self>, EngineError> {
        compile_process::confine().map_err(|error| EngineError::Engine(error.to_string()))?;
        compilers::set_up();
        let reservation = match memory_reservation {
            Some(memory) => Some(Reservation::of(memory)),
            None => reservation(SPARE_INSTANCES, 0),
        };
        Ok(Arc::new(Self {
            pooled: None,
            on_demand: OnceLock::new(),
            reservation: reservation.unwrap_or(Reservation::SMALLEST),
            cache: Some(open_cache(cache_dir)?),
            compile_process: None,
            ticker: Arc::new(Ticker::start().map_err(EngineError::Ticker)?),
            capacity: 0,
            in_pool: Arc::default(),
            trust: Vec::new(),
        }))
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

    /// How many instances fit the pool. Less than the services asked for when the kernel's `vm.max_map_count` is too small.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The keys of whom a component file has to be signed. Whoever reads files asks here: [`Engine::compile`] knows only bytes.
    pub fn trust(&self) -> &[Key] {
        &self.trust
    }

    /// Compiles a component, or finds its compiled code in the cache, and checks it against the contract. Blocks: seconds for
    /// large components.
    ///
    /// # Errors
    /// Says what the bytes are and what to do, or everything that the contract misses.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        Component::compile(self, bytes)
    }

    /// How often compiled code was found in the cache and how often it was not, since the host was made.
    pub fn cache_use(&self) -> (usize, usize) {
        self.cache
            .as_ref()
            .map_or((0, 0), |cache| (cache.cache_hits(), cache.cache_misses()))
    }

    /// The engine whose pool has room for a component of `bytes` bytes, if it is small enough to try.
    pub(super) fn pooled(&self, bytes: usize) -> Option<(&LinkedEngine, PoolTicket)> {
        let pooled = self
            .pooled
            .as_ref()
            .filter(|_| bytes <= SMALL_COMPONENT_BYTES)?;
        // an instance that ends and its successor may be there at once
        let tickets = self.capacity - self.capacity / 8;
        Some((pooled, PoolTicket::take(&self.in_pool, tickets)?))
    }

    /// The engine for what does not fit the pool.
    pub(super) fn on_demand(&self) -> wasmtime::Result<&LinkedEngine> {
        if let Some(linked) = self.on_demand.get() {
            return Ok(linked);
        }
        let linked = LinkedEngine::new(
            InstanceAllocationStrategy::OnDemand,
            self.reservation,
            self.cache.clone(),
            None,
        )?;
        let linked = self.on_demand.get_or_init(|| {
            self.ticker.add(&linked.engine);
            linked
        });
        Ok(linked)
    }

    pub(super) fn ticker(&self) -> Arc<Ticker> {
        self.ticker.clone()
    }
}

impl LinkedEngine {
    fn new(
        strategy: InstanceAllocationStrategy,
        reservation: Reservation,
        cache: Option<Cache>,
        slot: Option<PoolSlot>,
    ) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&config(strategy, reservation, cache))?;
        Ok(Self {
            linker: linker(&engine)?,
            engine,
            slot,
        })
    }
}

/// The right of one component to instances in the pool. So a full pool never fails an instantiation: further components get
/// their memory on demand.
pub(super) struct PoolTicket(Arc<AtomicUsize>);

impl PoolTicket {
    fn take(in_use: &Arc<AtomicUsize>, tickets: usize) -> Option<Self> {
        let one_more = |used| (used < tickets).then_some(used + 1);
        in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Self(in_use.clone()))
    }
}

impl Drop for PoolTicket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Settings for foreign code. Proposals that need a cargo feature (threads, garbage collection, stack switching, component
/// model async) are not even compiled in.
fn config(
    strategy: InstanceAllocationStrategy,
    reservation: Reservation,
    cache: Option<Cache>,
) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(strategy)
        .cache(cache)
        .memory_reservation(reservation.memory)
        .memory_guard_size(reservation.guard)
        .memory_reservation_for_growth(reservation.memory / 2)
        .epoch_interruption(true)
        // halves the cost of a call; nothing here needs concurrent calls into one instance
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .shared_memory(false);
    config
}

/// The reservation of the pool's memories, so that all of them fit the address space of this process; see [`address_space`].
fn reservation(instances: usize, largest: usize) -> Option<Reservation> {
    Reservation::within(address_space::available(), memories(instances), largest)
}

/// The engine with the pool, and the reservation of one memory. When the system refuses so much address space all the same, the
/// pool tries smaller memories; where it has no room for any, all guests get their memory on demand.
fn pooled(
    instances: usize,
    mut reservation: Option<Reservation>,
    cache: Option<&Cache>,
) -> Result<(Option<LinkedEngine>, Reservation), EngineError> {
    let mut refused = None;
    while let Some(tried) = reservation {
        let pool = InstanceAllocationStrategy::Pooling(pool(instances, tried));
        let slot = PoolSlot {
            table_elements: POOLED_TABLE_ELEMENTS,
            memory: tried.memory,
        };
        match LinkedEngine::new(pool, tried, cache.cloned(), Some(slot)) {
            Ok(pooled) => return Ok((Some(pooled), tried)),
            Err(error) => refused = Some(engine_error(error)),
        }
        reservation = tried.halved();
    }

    let reason = refused.map_or_else(String::new, |error| format!(": {error}"));
    tracing::warn!(
        "no address space for a pool of guest memories{reason}; services start more slowly"
    );
    Ok((None, Reservation::SMALLEST))
}

/// Memories that a pool for so many instances has: most guests have one, the average leaves room for some with more.
fn memories(instances: usize) -> usize {
    instances.saturating_add(instances / 4)
}

fn pool(instances: usize, reservation: Reservation) -> PoolingAllocationConfig {
    let memories = u32::try_from(memories(instances)).unwrap_or(u32::MAX);
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // a Rust guest takes four core instances, two tables and one memory; the averages below leave room for larger ones
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(6))
        .total_tables(instances.saturating_mul(3))
        .total_memories(memories)
        .max_memory_size(usize::try_from(reservation.memory).unwrap_or(usize::MAX))
        .total_stacks(instances)
        .max_core_instances_per_component(POOLED_CORE_INSTANCES)
        .max_tables_per_component(POOLED_TABLES)
        .max_memories_per_component(POOLED_MEMORIES)
        .table_elements(POOLED_TABLE_ELEMENTS)
        // slots that are not in use keep no memory, and used slots are used again first
        .max_unused_warm_slots(0)
        .linear_memory_keep_resident(0)
        .table_keep_resident(0)
        .async_stack_keep_resident(0);
    pool
}

/// Two instances a service and some to spare, or as many as the kernel allows mappings for.
fn capacity(services: usize) -> usize {
    let wanted = services.saturating_mul(2).saturating_add(SPARE_INSTANCES);
    let mappings = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let mappings = mappings
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(usize::MAX);
    let possible = mappings.saturating_sub(OTHER_MAPPINGS) / MAPPINGS_PER_INSTANCE;
    let capacity = wanted.min(possible.max(SPARE_INSTANCES));
    if capacity < services {
        let needed = services * MAPPINGS_PER_INSTANCE + OTHER_MAPPINGS;
        tracing::warn!(
            services,
            capacity,
            "not all services fit; raise the limit: sysctl vm.max_map_count={needed}"
        );
    }
    capacity
}

fn open_cache(path: &Path) -> Result<Cache, EngineError> {
    secure_dir::create_exclusive(path).map_err(|source| EngineError::CacheDir {
        path: path.to_owned(),
        source,
    })?;

    let mut config = CacheConfig::new();
    config.with_directory(path);
    Cache::new(config).map_err(|error| EngineError::Cache {
        path: path.to_owned(),
        reason: format!("{error:#}"),
    })
}

fn engine_error(error: wasmtime::Error) -> EngineError {
    EngineError::Engine(format!("{error:#}"))
}
