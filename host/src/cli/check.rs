//! `miqro-host check`: shows whether a file is a component that the host can run, its imports, and the grants that these may need.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::print::print_line;
use crate::app::default_cache_dir;
use crate::guest::{self, EngineOptions};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host check guests/echo.wasm && echo it runs

Exit code 0: every file is a component that the host can run; 1: at least one is not.")]
pub(super) struct Check {
    /// Files to check
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    /// Checks each file.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let engine = guest::Engine::new(EngineOptions {
            services: 1,
            cache_dir: default_cache_dir(),
            ..EngineOptions::default()
        })?;
        let mut code = ExitCode::SUCCESS;
        for file in &self.files {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            let description = engine.describe(&bytes);
            print_line(format_args!("{}: {description}", file.display()))?;
            let Ok(component) = description.component else {
                code = ExitCode::FAILURE;
                continue;
            };
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let grants = component.grants(&name);
            if !grants.is_empty() {
                print_line(format_args!(
                    "grants for miqro.yml, as far as the component uses these imports:\n{grants}"
                ))?;
            }
        }
        Ok(code)
    }
}
