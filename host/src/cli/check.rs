//! Surface: `miqro-host check`. In: a file. Out: what it is, whether it fulfils the contract and what it imports; the exit
//! code says whether the host can run it. Owns nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::guest::{self, EngineOptions};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host check guests/echo.wasm && echo it can run

Exit code 0: every file is a component that the host can run; 1: at least one is not.")]
pub struct Check {
    /// Files to look at
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    /// Looks at each file.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let host = guest::Host::new(EngineOptions { cache_dir: None, services: 1 })?;
        let mut code = ExitCode::SUCCESS;
        for file in &self.files {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            let description = host.describe(&bytes);
            println!("{}: {description}", file.display());
            if description.contract.is_err() {
                code = ExitCode::FAILURE;
            }
        }
        Ok(code)
    }
}
