//! The binary: hands the command line to `miqro_host::cli` and turns the outcome into an exit code.

fn main() {}
