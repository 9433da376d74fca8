//! `miqro-host describe`: prints the interfaces of a component with their topics and the schemas of their payloads.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::components;
use super::print::{print, print_line};
use crate::config::{Config, Selection, Service};
use crate::typed::binding::Binding;
use crate::typed::description::Description;

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  miqro-host describe guests/hello.wasm                   a component, by the rules for names
  miqro-host describe hello                               a service of ./miqro.yml, with its settings
  miqro-host describe hello --format json | jq .interfaces[].operations[].topic
  miqro-host describe hello --format asyncapi > hello.asyncapi.json")]
pub(super) struct Describe {
    /// Component file, or name of a service of the configuration
    #[arg(value_name = "FILE|NAME")]
    target: String,
    /// Format: text for people, json with JSON schemas, or asyncapi for an AsyncAPI 3 document
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Asyncapi,
}

impl Describe {
    /// Prints the description.
    ///
    /// # Errors
    /// When the file is not a component that the host can run, or there is no such service.
    pub(super) fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let description = self.description(config)?;
        match self.format {
            Format::Text => print(description)?,
            Format::Json => print_json(&description.to_json())?,
            Format::Asyncapi => print_json(&description.to_asyncapi())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn description(&self, config: Option<&Path>) -> anyhow::Result<Description> {
        let config = Config::load(config, Selection::All)?.config;
        let mut services = config.services.iter();
        let service = services.find(|service| service.name == self.target);
        if let Some(service) = service {
            return describe_service(service, &config);
        }

        let file = PathBuf::from(&self.target);
        let binding = components::bind_all(&components::read(&file)?)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Description::new(&name, None, &binding))
    }
}

fn describe_service(service: &Service, config: &Config) -> anyhow::Result<Description> {
    let connection = config.broker.connection();
    let broker = format!("{}:{}", connection.host, connection.port);
    let binding: Binding = components::bind(service)?;

    Ok(Description::new(&service.name, Some(broker), &binding))
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print_line(serde_json::to_string_pretty(value)?)
}
