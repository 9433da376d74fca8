//! `miqro-host import apigear` and `miqro-host export apigear`: descriptions of ApiGear become WIT packages, and back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::print::{print, print_error};
use crate::apigear::Module;
use crate::config::text;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(subcommand)]
    format: ImportFormat,
}

#[derive(Debug, clap::Subcommand)]
enum ImportFormat {
    /// Translate an ApiGear module (schema: apigear.module/1.0) into a WIT package
    #[command(after_help = "Examples:
  miqro-host import apigear hello.module.yaml                    print the WIT package
  miqro-host import apigear hello.module.yaml -o wit/hello.wit

Each interface becomes two: one with its operations and properties (get-x, set-x), one with its signals. Names that the
rule of WIT does not give back are kept in the documentation.")]
    Apigear(Files),
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(subcommand)]
    format: ExportFormat,
}

#[derive(Debug, clap::Subcommand)]
enum ExportFormat {
    /// Translate a WIT package into an ApiGear module
    #[command(after_help = "Example:
  miqro-host export apigear wit/hello.wit -o hello.module.yaml")]
    Apigear(Files),
}

/// The file to read and the one to write.
#[derive(Debug, clap::Args)]
struct Files {
    /// File to read
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Import {
    /// Writes the WIT package.
    ///
    /// # Errors
    /// Everything that is wrong with the module, or when a file cannot be read or written.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let ImportFormat::Apigear(files) = self.format;
        let (module, warnings) = Module::read(&files.read()?, &files.file)?;
        for warning in warnings {
            print_error(format_args!("warning: {warning}"));
        }

        let wit = module.to_wit();
        // the package is read once, so that a mistake shows here and not in the build of a guest
        if let Err(error) = Module::from_wit(&wit, "the package") {
            bail!("{}: {error}", files.file.display());
        }
        if let Some(overrides) = module.overrides() {
            print_error(format_args!(
                "some names or numbers do not follow the rule of WIT; put this into serve or call of the service in miqro.yml:\n{overrides}"
            ));
        }
        files.write(&wit)
    }
}

impl Export {
    /// Writes the module.
    ///
    /// # Errors
    /// Everything in the package that ApiGear has no word for, or when a file cannot be read or written.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let ExportFormat::Apigear(files) = self.format;
        let name = files.file.display().to_string();
        let module = Module::from_wit(&files.read()?, &name)?;

        files.write(&module.to_yaml())
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<String> {
        let name = || self.file.display().to_string();
        let bytes = std::fs::read(&self.file).with_context(name)?;
        let text = text::decode(&bytes).with_context(name)?;

        Ok(text.to_owned())
    }

    fn write(&self, text: &str) -> anyhow::Result<ExitCode> {
        match self.output.as_deref() {
            Some(file) => write_file(file, text)?,
            None => print(text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write_file(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| file.display().to_string())
}
