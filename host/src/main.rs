//! The binary: hands the command line to `miqro_host::cli` and turns the outcome into an exit code.

use std::process::ExitCode;

use miqro_host::cli::{Cli, print_last_error};

fn main() -> ExitCode {
    match Cli::main() {
        Ok(code) => code,
        Err(error) => {
            print_last_error(format!("miqro-host: {}", with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, without a cause that the text before it contains already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }

    text
}
