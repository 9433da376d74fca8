//! Ways in which a guest can break down.

use std::hint::black_box;

/// Does nothing, for ever.
pub fn spin() -> ! {
    loop {
        black_box(0);
    }
}

/// Takes memory until there is none.
pub fn allocate() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Uses up the stack of calls, not the one in memory: it keeps nothing there.
pub fn recurse(depth: u64) -> u64 {
    let next: fn(u64) -> u64 = black_box(recurse);
    next(depth + 1) ^ depth
}
