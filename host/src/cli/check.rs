//! `miqro-host check`: shows whether a file is a component that the host can run, its imports, and the grants that these may need.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::components;
use super::print::print_line;
use crate::app::default_cache_dir;
use crate::guest::{self, ComponentDescription, EngineOptions};
use crate::typed::compatibility;
use crate::typed::interface::ComponentInterfaces;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host check guests/echo.wasm && echo it runs
  miqro-host check --against old/hello.wasm new/hello.wasm     does the new version still serve everything that the old one served?

Exit code 0: every file is a component that the host can run and, with --against, fulfils the interfaces of the other one; 1: at least
one is not, or does not.")]
pub(super) struct Check {
    /// Files to check
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Component whose interfaces each file has to fulfil; every difference is named
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

impl Check {
    /// Checks each file.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let engine = guest::Engine::new(EngineOptions {
            services: 1,
            cache_dir: default_cache_dir(),
            ..EngineOptions::default()
        })?;
        let old = match &self.against {
            Some(file) => Some(components::read(file)?),
            None => None,
        };

        let mut code = ExitCode::SUCCESS;
        for file in &self.files {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            let description = engine.describe(&bytes);
            print_line(format_args!("{}: {description}", file.display()))?;
            let Ok(component) = description.component else {
                code = ExitCode::FAILURE;
                continue;
            };
            print_grants(file, &component)?;
            if let Some(old) = &old
                && !self.print_differences(old, &component.interfaces)?
            {
                code = ExitCode::FAILURE;
            }
        }

        Ok(code)
    }

    /// Prints each difference by which the new interfaces do not fulfil the old ones. Returns whether there is none.
    fn print_differences(
        &self,
        old: &ComponentInterfaces,
        new: &ComponentInterfaces,
    ) -> anyhow::Result<bool> {
        let against = self.against.as_deref().unwrap_or(Path::new("")).display();
        let differences = compatibility::differences(old, new);
        if differences.is_empty() {
            print_line(format_args!("it fulfils the interfaces of {against}"))?;
        } else {
            print_line(format_args!(
                "it does not fulfil the interfaces of {against}:"
            ))?;
        }

        for difference in &differences {
            print_line(format_args!("  - it {difference}"))?;
        }

        Ok(differences.is_empty())
    }
}

fn print_grants(file: &Path, component: &ComponentDescription) -> anyhow::Result<()> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let grants = component.grants(&name);
    if grants.is_empty() {
        return Ok(());
    }
    print_line(format_args!(
        "grants for miqro.yml, as far as the component uses these imports:\n{grants}"
    ))
}
