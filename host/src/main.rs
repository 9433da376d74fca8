//! The binary: hands the command line to `miqro_host::cli` and turns the outcome into an exit code.

use std::process::ExitCode;

use miqro_host::cli::{Cli, last_words};

fn main() -> ExitCode {
    match Cli::main() {
        Ok(code) => code,
        Err(error) => {
            last_words(format!("miqro-host: {}", whole(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes; a cause that the text before it has said already is not said again.
fn whole(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |said, cause| match () {
            () if said.is_empty() => cause,
            () if said.contains(&cause) => said,
            () => format!("{said}: {cause}"),
        })
}
