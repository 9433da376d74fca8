//! `miqro-host compile`: puts the compiled code of components into the compile cache, so that a host starts them at once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use super::print::print_error;
use crate::app::default_cache_dir;
use crate::guest::Engine;

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host compile guests/app.wasm

The host compiles what it does not find in the cache by this command. It ends by an error when compiling takes too much memory.")]
pub(super) struct Compile {
    /// Components to compile; -: standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Directory of the compile cache, as cache_dir in the configuration [default: as the host's]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Bytes that the host reserves for a memory; code compiled with another number is not found
    #[arg(long, value_name = "BYTES", hide = true)]
    memory_reservation: Option<u64>,
}

impl Compile {
    /// Compiles each file.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let cache_dir = self.cache_dir.or_else(default_cache_dir);
        let cache_dir = cache_dir.context("expected --cache-dir, found no home directory")?;
        let engine = Engine::only_compiling(&cache_dir, self.memory_reservation)?;
        let compiled = self.files.iter().try_for_each(|file| {
            let bytes = read(file).with_context(|| file.display().to_string())?;
            let component = engine.compile(&bytes);
            component
                .map(drop)
                .map_err(|error| anyhow!("{}: {error}", file.display()))
        });

        if let Err(error) = engine.save_functions() {
            let directory = cache_dir.display();
            print_error(format_args!(
                "{directory}: functions are not kept for the next version: {error}"
            ));
        }
        compiled.map(|()| ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }

    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}
