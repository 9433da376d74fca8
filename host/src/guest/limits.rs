//! Machine: what one instance may hold. In: growth that the guest asks for. Out: yes, or an error that traps the guest and
//! names the limit. Owns the count of linear memory in use by the instance.

use wasmtime::ResourceLimiter;

/// Table elements of one table: what a CPython or SpiderMonkey component needs, several times.
const TABLE_ELEMENTS: usize = 200_000;
/// Core instances of one component (a component that was linked from many modules has one for each).
const INSTANCES: usize = 200;
/// Tables of one component.
const TABLES: usize = 200;
/// Linear memories of one component.
const MEMORIES: usize = 32;

/// The guest asked for more linear memory than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes of linear memory are more than the limit of {limit} bytes")]
pub(super) struct MemoryExceeded {
    /// Bytes that all memories would have had together.
    pub(super) wanted: usize,
    /// `limits.memory` of the service.
    pub(super) limit: usize,
}

/// The guest asked for a larger table than any guest may have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a table of {0} elements is more than the {TABLE_ELEMENTS} that a table may have")]
struct TableExceeded(usize);

/// Counts and bounds what one instance holds. Growth beyond a limit traps: a guest that merely got an error from its
/// allocator would end in a trap all the same, with a message that says less.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    used: usize,
}

impl Limiter {
    /// A limiter for `limit` bytes of linear memory, all memories together.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(MemoryExceeded { wanted, limit: self.limit }.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(TableExceeded(desired).into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 30, None).unwrap());
        let error = limiter.memory_growing(30, 50, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&MemoryExceeded { wanted: 110, limit: 100 }));
        assert!(limiter.memory_growing(30, 40, None).unwrap(), "what was refused does not count");
    }

    #[test]
    fn the_memorys_own_maximum_is_not_a_fault() {
        assert!(!Limiter::new(100).memory_growing(0, 60, Some(50)).unwrap());
    }
}
