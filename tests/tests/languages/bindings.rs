//! Generators of bindings: each language's own runs over each world of the contract. Rust's, which is a macro, runs over them in
//! `guests/contract`, in each build.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use miqro_tests::place;
use tempfile::TempDir;

use super::run;

/// The binding generators of the languages run over each world of the contract.
#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn every_world_has_bindings() -> Result<()> {
    let tools = place::tools().join("languages/python/bin");
    let wit = place::project().join("wit");
    for world in ["service", "service-with-lifecycle", "full-service"] {
        let folder = TempDir::new()?;
        let mut command = Command::new(tools.join("componentize-py"));
        command.arg("-d").arg(&wit).args(["-w", world, "bindings"]);
        let output = run(command.arg(folder.path().join("python")))?;
        ensure!(output.success, "{world}: {}", output.text);
        bindings_of_c_compile(&wit, world, folder.path())?;
    }

    Ok(())
}

fn bindings_of_c_compile(wit: &Path, world: &str, folder: &Path) -> Result<()> {
    let mut resolve = wit_bindgen_core::wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let selected = resolve.select_world(&[package], Some(world))?;
    let mut files = wit_bindgen_core::Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, selected, &mut files)?;

    let mut sources = Vec::new();
    for (name, content) in files.iter() {
        std::fs::write(folder.join(name), content)?;
        if name.ends_with(".c") {
            sources.push(name.to_owned());
        }
    }

    let zig = place::tools().join("languages/python/bin/python-zig");
    let mut command = Command::new(zig);
    command
        .current_dir(folder)
        .args(["cc", "-target", "wasm32-wasi", "-c"]);
    let output = run(command.args(&sources))?;
    ensure!(output.success, "{world}: {}", output.text);
    Ok(())
}
