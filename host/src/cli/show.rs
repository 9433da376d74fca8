//! Surface: `miqro-host config`. In: the configuration file and component files. Out: the effective configuration as YAML
//! on standard output, defaults included and secrets hidden. Owns nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::print::{complain, print};
use crate::config::{Config, Selection};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host config                         what ./miqro.yml or /etc/miqro.yml come to
  miqro-host config --config home.yml a.wasm  as `run` with the same arguments would see it")]
pub struct Show {
    /// Component files, as for `run`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Show {
    /// Prints it.
    pub fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let selection = if self.files.is_empty() {
            Selection::All
        } else {
            Selection::Run(&self.files)
        };
        let loaded = Config::load(config, selection)?;
        for warning in &loaded.warnings {
            complain(format_args!("warning: {warning}"));
        }
        if let Some(blank) = loaded.blank {
            complain(format_args!(
                "warning: {blank}; `run` does not start with it without --allow-empty"
            ));
        }
        let config = loaded.config;
        print(config.to_yaml())?;
        Ok(ExitCode::SUCCESS)
    }
}
