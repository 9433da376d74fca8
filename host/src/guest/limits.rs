//! The memory, tables and instances that one instance of a component may hold. Growth beyond a limit traps, with an error
//! that names the limit.

use wasmtime::ResourceLimiter;

use crate::config::Limits;

/// Stack that guest code may use, in bytes. A property of the engine, so it is the same for all services.
pub(super) const WASM_STACK: usize = 512 * 1024;

/// The most linear memories of one component, whatever `limits.instances` says: each takes gigabytes of address space.
const MEMORIES: usize = 32;

/// The guest asked for more linear memory than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes of linear memory are more than the limit of {limit} bytes")]
pub(super) struct MemoryExceeded {
    /// Bytes that all memories together would have had.
    pub(super) wanted: usize,
    /// `limits.memory` of the service.
    pub(super) limit: usize,
}

/// The guest asked for more table elements than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} table elements are more than the limit of {limit}")]
pub(super) struct TableExceeded {
    /// Elements that all tables together would have had. If `pooled`: elements of the one table that should have grown.
    pub(super) wanted: usize,
    /// `limits.table` of the service. If `pooled`: the size of a slot.
    pub(super) limit: usize,
    /// Whether the pool has no room for a table of this size.
    pub(super) pooled: bool,
}

/// Counts and bounds the resources of one instance. Growth beyond a limit traps: an allocator that only got an error would
/// trap too, with a message that says less.
#[derive(Debug)]
pub(super) struct Limiter {
    memory: usize,
    used: usize,
    elements: usize,
    used_elements: usize,
    /// The most elements of one table, for an instance in the pool.
    slot: Option<usize>,
    instances: usize,
}

impl Limiter {
    /// Creates the limiter of an instance; `slot` is the most elements of one table, for an instance in the pool.
    pub(super) fn new(limits: &Limits, slot: Option<usize>) -> Self {
        Self {
            memory: limits.memory.bytes,
            used: 0,
            elements: limits.memory.table_elements,
            used_elements: 0,
            slot,
            instances: limits.memory.instances,
        }
    }

    /// Bytes of all memories.
    pub(super) const fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }

        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory {
            return Err(MemoryExceeded {
                wanted,
                limit: self.memory,
            }
            .into());
        }

        self.used = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if let Some(limit) = self.slot.filter(|slot| desired > *slot) {
            return Err(TableExceeded {
                wanted: desired,
                limit,
                pooled: true,
            }
            .into());
        }

        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }

        let wanted = self
            .used_elements
            .saturating_add(desired.saturating_sub(current));
        if wanted > self.elements {
            return Err(TableExceeded {
                wanted,
                limit: self.elements,
                pooled: false,
            }
            .into());
        }

        self.used_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances.min(MEMORIES)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn limiter(memory: usize, table: usize) -> Limiter {
        let mut limits = Limits::default();
        limits.memory.bytes = memory;
        limits.memory.table_elements = table;
        Limiter::new(&limits, Some(70))
    }

    #[test]
    fn tables_count_together_within_the_pool_slot() {
        let mut limiter = limiter(0, 100);
        assert!(limiter.table_growing(0, 60, None).unwrap());
        assert!(
            !limiter.table_growing(0, 60, Some(50)).unwrap(),
            "the table's own maximum is not a fault"
        );
        let error = limiter.table_growing(0, 50, None).unwrap_err();
        assert_eq!(
            error.downcast_ref(),
            Some(&TableExceeded {
                wanted: 110,
                limit: 100,
                pooled: false
            })
        );

        let error = limiter.table_growing(60, 71, None).unwrap_err();
        assert_eq!(
            error.downcast_ref(),
            Some(&TableExceeded {
                wanted: 71,
                limit: 70,
                pooled: true
            })
        );
    }

    #[test]
    fn all_memories_count_together() {
        let mut limiter = limiter(100, 0);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 30, None).unwrap());
        let error = limiter.memory_growing(30, 50, None).unwrap_err();
        assert_eq!(
            error.downcast_ref(),
            Some(&MemoryExceeded {
                wanted: 110,
                limit: 100
            })
        );

        assert!(
            limiter.memory_growing(30, 40, None).unwrap(),
            "refused growth does not count"
        );
    }

    #[test]
    fn the_memorys_own_maximum_is_not_a_fault() {
        assert!(!limiter(100, 0).memory_growing(0, 60, Some(50)).unwrap());
    }
}
