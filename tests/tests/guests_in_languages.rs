//! A guest in each language that does something real, built with the tools of the language and played through its scenarios:
//! services for MIQRO in Python, converters of Zigbee messages in JavaScript, telegrams of electricity meters in Go, and frames of a
//! particle sensor in C. `make test-languages` runs them.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::{host, place};
use tempfile::TempDir;

/// The import of MIQRO, and the imports of the SDK in its place: nothing else of a service changes.
const IMPORT: &str = "import miqro\n";
const PORTED: &str = "import miqro_sdk as miqro\nfrom miqro_sdk import WitWorld\n";

/// Builds the example `name` of the SDK for `language` in a new project, whose source is `source`, and plays its scenarios.
fn play(
    language: &str,
    name: &str,
    (example, source): (&str, &str),
    port: impl Fn(String) -> String,
) -> Result<()> {
    let folder = TempDir::new()?;
    run(folder.path(), &["new", name, "--lang", language])?;
    let project = folder.path().join(name);
    let tools = place::tools().join("languages");
    symlink(tools.join("python"), project.join(".venv"))?;
    if language == "js" {
        let modules = project.join("node_modules");
        std::fs::create_dir(&modules)?;
        for entry in std::fs::read_dir(tools.join("js/node_modules"))? {
            let entry = entry?;
            symlink(entry.path(), modules.join(entry.file_name()))?;
        }
        symlink("../miqro-sdk", modules.join("miqro-sdk"))?;
    }

    let examples = examples(language);
    let text = std::fs::read_to_string(examples.join(example))?;
    std::fs::write(project.join(source), port(text))?;
    run(&project, &["build"])?;

    let component = format!("{name}.wasm");
    let scenario = examples.join(name).with_extension("yml");
    let scenario = scenario.to_str().context("a path that is text")?;
    let played = run(&project, &["test", &component, scenario])?;
    ensure!(played.contains(" passed, 0 failed"), "{played}");
    Ok(())
}

fn examples(language: &str) -> PathBuf {
    place::project().join("sdk").join(language).join("examples")
}

/// Runs `miqro-host`, which has to succeed, and returns its output.
fn run(folder: &std::path::Path, arguments: &[&str]) -> Result<String> {
    let mut command: Command = host::command()?;
    let output = command
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(arguments)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {text}");
    Ok(text)
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn services_for_miqro_port_by_their_imports() -> Result<()> {
    for name in ["echo", "alarm", "canbus"] {
        play("python", name, (&format!("{name}.py"), "app.py"), |text| {
            assert_eq!(text.matches(IMPORT).count(), 1, "{name}");
            text.replace(IMPORT, PORTED)
        })
        .with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn javascript_converts_messages_of_zigbee() -> Result<()> {
    play("js", "zigbee", ("zigbee.js", "src/app.js"), |text| text)
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn go_reads_telegrams_of_meters() -> Result<()> {
    // a project has the SDK in a folder of its own
    play("go", "meter", ("meter.go", "main.go"), |text| {
        text.replace("\"miqro\"", "\"meter/miqro\"")
    })
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn c_reads_frames_of_a_particle_sensor() -> Result<()> {
    play("c", "particles", ("particles.c", "app.c"), |text| text)
}
