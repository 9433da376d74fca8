//! How much address space the pool of guest memories may reserve.
//!
//! A pool reserves the memories of all its instances at once. With 4 GiB each, compiled code needs no bounds checks, because no
//! 32-bit address lies outside; a machine with 47 bits of address space has room for tens of thousands. A 64-bit Raspberry Pi OS
//! with pages of 4 KiB gives a process 39 bits, and a process may run under `ulimit -v`: there the memories are smaller, and
//! compiled code checks its addresses.

use rustix::process::{Resource, getrlimit};

/// Reservation of one memory for which compiled code needs no bounds checks, in bytes.
const UNCHECKED: u64 = 4 << 30;

/// Guard region behind such a memory, in bytes. Accesses with constant offsets up to this size need no check either.
const UNCHECKED_GUARD: u64 = 32 << 20;

/// Largest reservation of one memory whose addresses are checked. More would only cost address space.
const LARGEST_CHECKED: u64 = 64 << 20;

/// Smallest reservation of one memory; a guest compiled from Rust starts with little more than 1 MiB.
const SMALLEST_CHECKED: u64 = 2 << 20;

/// Guard region behind a memory whose addresses are checked: one page of any machine.
const CHECKED_GUARD: u64 = 64 << 10;

/// The address space of a process on a machine of which nothing is known, in bytes.
const ASSUMED: u64 = 1 << 38;

/// Reservation of every memory in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    /// Bytes of one memory.
    pub(super) memory: u64,
    /// Bytes of the guard region behind it.
    pub(super) guard: u64,
}

impl Reservation {
    /// The smallest one.
    pub(super) const SMALLEST: Self = Self::of(SMALLEST_CHECKED);

    /// Creates a reservation with `memory` bytes for each memory.
    pub(super) const fn of(memory: u64) -> Self {
        let guard = if memory >= UNCHECKED {
            UNCHECKED_GUARD
        } else {
            CHECKED_GUARD
        };
        Self { memory, guard }
    }

    /// The largest reservation of which `memories` fit half of `available` bytes, so that each can grow to `largest` bytes; `None`
    /// when none does. The other half is for stacks, tables, guests outside the pool and the host itself.
    pub(super) fn within(available: u64, memories: usize, largest: usize) -> Option<Self> {
        let share = (available / 2).checked_div(u64::try_from(memories).ok()?)?;
        let largest = u64::try_from(largest).ok()?;
        if share >= UNCHECKED + UNCHECKED_GUARD {
            return Some(Self::of(UNCHECKED));
        }

        let memory = previous_power_of_two(share.saturating_sub(CHECKED_GUARD));
        let memory = memory.min(LARGEST_CHECKED.max(largest.checked_next_power_of_two()?));
        (memory >= SMALLEST_CHECKED.max(largest)).then_some(Self::of(memory))
    }

    /// One of half the size, for a system that refuses this one.
    pub(super) fn halved(self) -> Option<Self> {
        let memory = (self.memory / 2).min(LARGEST_CHECKED);
        (memory >= SMALLEST_CHECKED).then_some(Self::of(memory))
    }
}

/// Bytes of address space that this process may map, as limited by the processor's page tables and `ulimit -v`.
pub(super) fn available() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let limit = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
    address_bits(&maps)
        .map_or(ASSUMED, |bits| 1 << bits)
        .min(limit)
}

/// The width of user addresses, from the highest mapping in a text as /proc/PID/maps has it (proc_pid_maps(5)): the kernel puts
/// the stack near the upper end.
fn address_bits(maps: &str) -> Option<u32> {
    // addresses with the highest bit set are the kernel's
    let ends = maps.lines().filter_map(|line| {
        let (_, end) = line.split_once(' ')?.0.split_once('-')?;
        u64::from_str_radix(end, 16)
            .ok()
            .filter(|end| end >> 63 == 0)
    });

    ends.max()
        .map(|end| u64::BITS - end.saturating_sub(1).leading_zeros())
}

fn previous_power_of_two(number: u64) -> u64 {
    number.checked_ilog2().map_or(0, |bits| 1 << bits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// The default of `limits.memory`.
    const MIB16: usize = 16 << 20;

    #[test]
    fn address_bits_follow_the_highest_user_mapping() {
        let pi = "5581e40000-5581e41000 r-xp 00000000 b3:02 1234 /usr/bin/cat\n\
                  7fd0a10000-7fd0a31000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(address_bits(pi), Some(39));

        let desktop = "55d0c0000000-55d0c0001000 r-xp 00000000 08:01 1 /usr/bin/cat\n\
                       7ffc4a5e0000-7ffc4a601000 rw-p 00000000 00:00 0 [stack]\n\
                       ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
        assert_eq!(address_bits(desktop), Some(47));
        assert_eq!(address_bits(""), None);
        assert_eq!(address_bits("no mappings here\n"), None);
    }

    #[test]
    fn small_hosts_on_large_machines_check_no_addresses() {
        assert_eq!(
            Reservation::within(1 << 47, 2_000, MIB16).unwrap().memory,
            UNCHECKED
        );
        assert_eq!(
            Reservation::within(1 << 39, 40, MIB16).unwrap().memory,
            UNCHECKED
        );
    }

    #[test]
    fn a_thousand_services_fit_39_bits() {
        assert_eq!(
            Reservation::within(1 << 39, 2_560, MIB16).unwrap().memory,
            64 << 20
        );
        assert!(Reservation::within(1 << 38, 810, MIB16).is_some());
    }

    #[test]
    fn a_large_limit_gets_a_large_reservation_or_none() {
        let large = 200 << 20;
        assert_eq!(
            Reservation::within(1 << 39, 500, large).unwrap().memory,
            256 << 20
        );
        assert_eq!(Reservation::within(1 << 39, 2_560, large), None);
    }

    proptest! {
        #[test]
        fn reservations_take_at_most_half(available in 0u64..1 << 48, memories in 0usize..1 << 16, largest in 0usize..1 << 30) {
            if let Some(found) = Reservation::within(available, memories, largest) {
                prop_assert!((found.memory + found.guard) * memories as u64 <= available / 2);
                prop_assert!(found.memory.is_power_of_two() && found.memory >= largest as u64);
                prop_assert!(found.halved().is_none_or(|half| half.memory <= found.memory / 2));
            }
        }
    }
}
