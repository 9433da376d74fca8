//! The binary: hands the command line to `miqro_host::cli` and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use miqro_host::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("miqro-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}
