//! The pool of instances: its size, the room for one instance, and the components that may use it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::PoolingAllocationConfig;

use crate::guest::address_space::Reservation;

/// Core instances, tables and memories that a component in the pool may have (a Rust component has four, two and one).
const POOLED_CORE_INSTANCES: u32 = 24;
const POOLED_TABLES: u32 = 6;
const POOLED_MEMORIES: u32 = 2;

/// Elements of one table in the pool; only address space is reserved for them.
const POOLED_TABLE_ELEMENTS: usize = 20_000;

/// The size of the smallest pool, and the reserve above two instances a service (the old and the new one of a swap).
const SPARE_INSTANCES: usize = 48;

/// Memory mappings of an instance in the pool: four for its copy-on-write memory, two for its stack.
const MAPPINGS_PER_INSTANCE: usize = 6;

/// Mappings left for everything else in the process.
const OTHER_MAPPINGS: usize = 4_000;

/// The room for one instance in the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolSlot {
    /// The most elements of one table.
    pub(super) table_elements: usize,
    /// The most bytes of one linear memory.
    pub(super) memory: u64,
}

impl PoolSlot {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self {
            table_elements: POOLED_TABLE_ELEMENTS,
            memory: reservation.memory,
        }
    }
}

/// The right of one component to instances in the pool. It keeps instantiations from failing in a full pool: further
/// components get their memory on demand.
pub(super) struct PoolTicket(Arc<AtomicUsize>);

impl PoolTicket {
    /// Takes one of `tickets`, of which `in_use` counts those that are taken.
    pub(super) fn take(in_use: &Arc<AtomicUsize>, tickets: usize) -> Option<Self> {
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

/// Returns the number of memories in a pool for `instances` instances. Most guests have one; the surplus is for guests with more.
pub(super) fn memories(instances: usize) -> usize {
    instances.saturating_add(instances / 4)
}

/// Settings of a pool for `instances` instances.
pub(super) fn config(instances: usize, reservation: Reservation) -> PoolingAllocationConfig {
    let memories = u32::try_from(memories(instances)).unwrap_or(u32::MAX);
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);

    let mut pool = PoolingAllocationConfig::new();
    // a Rust guest takes four core instances, two tables and one memory; these averages leave room for larger guests
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
        // unused slots keep no memory, and used slots are used again first
        .max_unused_warm_slots(0)
        .linear_memory_keep_resident(0)
        .table_keep_resident(0)
        .async_stack_keep_resident(0);

    pool
}

/// The number of instances in the pool: two a service and a reserve, or as many as the kernel allows mappings for.
pub(super) fn capacity(services: usize) -> usize {
    let wanted = services.saturating_mul(2).saturating_add(SPARE_INSTANCES);

    let max_map_count = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(usize::MAX);
    let possible = max_map_count.saturating_sub(OTHER_MAPPINGS) / MAPPINGS_PER_INSTANCE;

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
