//! Services of MIQRO, with nothing but their imports changed, in components on a host, and each beside itself on MIQRO and mosquitto: the
//! echo of MIQRO's README, and miqro-alarm and miqro-rutos-sms as they are published. `scripts/setup-languages` downloads them.

mod alarm;
mod conversation;
mod sms;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::Process;
use miqro_tests::{Mosquitto, place};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Project, Running};
use crate::home_assistant::{assert_fits, schema};
use conversation::Conversation;

/// The import lines that change, and the lines in their place.
const IMPORTS: [(&str, &str); 2] = [
    ("import miqro", "import miqro_sdk as miqro"),
    ("import requests", "from miqro_sdk import http as requests"),
];

/// Everything that a service has said, each once.
type Said = BTreeSet<(String, String)>;

/// The folder of MIQRO and the published services, as installed.
fn packages() -> PathBuf {
    place::tools().join("languages/miqro")
}

fn python() -> Command {
    let mut command = Command::new(place::tools().join("languages/python/bin/python"));
    command
        .env("PYTHONPATH", packages())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Changes the import lines of a source, and nothing else.
fn ported(source: &str) -> String {
    let lines = source.lines().map(|line| {
        let import = IMPORTS.iter().find(|(before, _)| *before == line);
        import.map_or(line, |(_, after)| after)
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Makes and builds a project of the installed package of `module`, which has MIQRO's `run`. `libraries` are further packages.
fn project(name: &str, module: &str, libraries: &[&str]) -> Result<Project> {
    let project = Project::named(name, "python")?;
    let (package, file) = module.split_once('.').context("a module of a package")?;
    for folder in [&[package], libraries].concat() {
        let from = packages().join(folder);
        project.shell(&format!("cp -r '{}' .", from.display()))?;
    }

    let source = project.file(&format!("{package}/{file}.py"));
    let text = std::fs::read_to_string(&source)?;
    let changed = ported(&text);
    for (before, after) in IMPORTS {
        ensure!(
            changed.lines().filter(|line| *line == after).count() == 1,
            "{module}: expected one line {before:?}"
        );
    }

    std::fs::write(&source, changed)?;
    let entry = format!("from miqro_sdk import WitWorld\nfrom {module} import run\n\nrun()\n");
    std::fs::write(project.file("app.py"), entry)?;
    let http = "  import log;\n  import wasi:http/outgoing-handler@0.2.0;\n";
    project.edit("wit/app.wit", "  import log;\n", http)?;
    project.build()?;
    Ok(project)
}

/// Runs a project on the embedded broker of its host.
async fn ours(project: &Project, section: &Value) -> Result<Running> {
    let mut section = section.clone();
    section["limits"] = json!({ "call": "60s" });
    let arguments = ["run", &project.component()];
    Running::start_with(project, &arguments, &section.to_string()).await
}

/// A service on MIQRO itself.
struct Original {
    broker: Mosquitto,
    folder: TempDir,
    process: Process,
}

impl Original {
    /// Starts Python with `arguments` and the configuration of the service.
    async fn start(name: &str, section: &Value, arguments: &[&str]) -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let folder = TempDir::new()?;
        let address = json!({ "host": "127.0.0.1", "port": broker.port(), "keepalive": 5 });
        let config = json!({ "broker": address, "services": { name: section } });
        let file = folder.path().join("miqro.yml");
        std::fs::write(&file, config.to_string())?;

        let mut command = python();
        command.current_dir(folder.path()).args(arguments);
        let process = Process::start(command.arg("--config").arg(&file))?;
        Ok(Self {
            broker,
            folder,
            process,
        })
    }

    /// Starts the installed `module`, whose state lies in the folder of its configuration.
    async fn of(name: &str, module: &str, section: &Value) -> Result<Self> {
        let code = format!(
            "import miqro, pathlib\nmiqro.State.DATA_ROOT = pathlib.Path('state')\nfrom {module} import run\nrun()"
        );
        Self::start(name, section, &["-c", &code]).await
    }

    fn port(&self) -> u16 {
        self.broker.port()
    }

    /// Shows the lines of the service with an error.
    fn told<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.with_context(|| self.process.output().told("the original"))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Shows the lines of the host with an error.
fn told<T>(running: &Running, outcome: Result<T>) -> Result<T> {
    outcome.with_context(|| running.process.output().told("the port"))
}

async fn echo(port: u16) -> Result<Said> {
    let mut echo = Conversation::start(port, "echo", &[]).await?;
    echo.wakes("echo", "Grüezi", ("echo_response", "Grüezi"))
        .await?;
    echo.hears(&[("foo", "bar"), ("foofoo", "42.01")]).await?;
    Ok(echo.said())
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn echo_of_miqros_readme_says_the_same() -> Result<()> {
    let example = place::project().join("sdk/python/examples/echo.py");
    let section = json!({ "custom_value": "from the file" });
    let script = example.to_str().context("a path that is text")?;
    let original = Original::start("echo", &section, &[script]).await?;
    let theirs = original.told(echo(original.port()).await)?;
    drop(original);

    let project = Project::named("echo", "python")?;
    let source = ported(&std::fs::read_to_string(example)?);
    let entry = format!("from miqro_sdk import WitWorld\n{source}");
    std::fs::write(project.file("app.py"), entry)?;
    project.build()?;
    let running = ours(&project, &section).await?;
    let said = told(&running, echo(running.port).await)?;
    ensure!(said == theirs, "{said:?} in place of {theirs:?}");
    Ok(())
}

/// Fails unless Home Assistant accepts the announcements. It leaves out a member that it does not know; of those, MIQRO has one.
fn assert_accepted(announcements: &Value) -> Result<()> {
    let schema = schema()?;
    let fits = |entity: &Value| {
        let mut entity = entity.clone();
        let platform = entity["platform"].as_str().unwrap_or_default().to_owned();
        if let Some(members) = entity.as_object_mut() {
            members.remove("display_name");
        }
        assert_fits(&entity, &["entity", &platform], &schema);
    };

    for (_, announcement) in announcements.as_object().into_iter().flatten() {
        match announcement["components"].as_object() {
            Some(components) => {
                assert_fits(&announcement["device"], &["device"], &schema);
                assert_fits(&announcement["origin"], &["origin"], &schema);
                components.values().for_each(fits);
            }
            None => fits(announcement),
        }
    }
    Ok(())
}

/// Announcements of entities of every kind are those of MIQRO, member by member.
#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn announcements_are_those_of_miqro() -> Result<()> {
    let folder = TempDir::new()?;
    let config = folder.path().join("miqro.yml");
    std::fs::write(&config, "broker: {host: 127.0.0.1}\n")?;
    let script = place::project().join("tests/originals/miqro_entities.py");
    let announced = |command: &mut Command| -> Result<Value> {
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| error.into_owned())
    };

    let theirs = announced(python().arg(&script).arg("miqro").arg(&config))?;
    let sdk = place::project().join("sdk/python");
    let mut command = python();
    command.env("PYTHONPATH", sdk).arg(&script).arg("miqro_sdk");
    let ours = announced(&mut command)?;
    ensure!(
        theirs.as_object().is_some_and(|found| found.len() == 5),
        "{theirs}"
    );
    ensure!(ours == theirs, "{ours:#} in place of {theirs:#}");
    assert_accepted(&ours)
}
