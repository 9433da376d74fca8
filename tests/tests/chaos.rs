//! Chaos: hosts and brokers are killed, wires fail, disks are full, clocks jump, component files are
//! broken, and no number is missing in the end. `make chaos` (the variable `MIQRO_CHAOS=long`) does
//! more rounds than `make test`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod broker_kills;
mod clock;
mod disk;
mod embedded;
mod files;
mod host_kills;
mod wire;
mod witness;

/// How many rounds there are: `short` ones in a usual run of the tests, `long` ones in `make chaos`.
fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var("MIQRO_CHAOS").is_ok_and(|form| form == "long") {
        long
    } else {
        short
    }
}

/// The receive maximum of the default configuration: as many messages may be unacknowledged at once.
const WINDOW: usize = 256;
