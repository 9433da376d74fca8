//! Runs libFuzzer on the target that the variable `FUZZ_TARGET` names, with libFuzzer's own arguments.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use miqro_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = || TARGETS.map(|(name, _)| name);
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found
        .unwrap_or_else(|| panic!("FUZZ_TARGET is {wanted:?}; there are {:?}", names()))
        .1
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
