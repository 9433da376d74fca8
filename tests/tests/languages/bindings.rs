//! Generators of bindings: each language's own runs over each world of the contract. Rust's, which is a macro, runs over them in
//! `guests/contract`, in each build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::place;
use serde_json::Value;
use tempfile::TempDir;
use wit_bindgen_core::WorldGenerator;
use wit_bindgen_core::wit_parser::Resolve;

use super::run;

const WORLDS: [&str; 3] = ["service", "service-with-lifecycle", "full-service"];

/// A tool of the toolchains, run in `folder`.
fn tool(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(place::tools().join("languages").join(name));
    command.current_dir(folder).args(arguments);
    command
}

/// Runs a command, which must succeed.
fn succeed(command: &mut Command) -> Result<()> {
    let output = run(command)?;
    ensure!(output.success, "{command:?}: {}", output.text);
    Ok(())
}

/// Runs a tool of the toolchains in `folder`; it must succeed.
fn call(folder: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    succeed(&mut tool(folder, name, arguments))
}

fn wit() -> PathBuf {
    place::project().join("wit")
}

/// Writes the bindings of `world` into `folder`, and returns the names of the files.
fn generate(generator: &mut dyn WorldGenerator, world: &str, folder: &Path) -> Result<Vec<String>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit())?;
    let selected = resolve.select_world(&[package], Some(world))?;
    let mut files = wit_bindgen_core::Files::default();
    generator.generate(&mut resolve, selected, &mut files)?;

    let mut names = Vec::new();
    for (name, content) in files.iter() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, content)?;
        names.push(name.to_owned());
    }

    Ok(names)
}

/// The arguments of a tool, with those of `names` that end with `ending`.
fn with_files<'a>(arguments: &[&'a str], names: &'a [String], ending: &str) -> Vec<&'a str> {
    let files = names.iter().map(String::as_str);
    let files = files.filter(|name| name.ends_with(ending));
    arguments.iter().copied().chain(files).collect()
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn python_has_bindings_of_every_world() -> Result<()> {
    let contract = wit();
    let contract = contract.to_string_lossy();
    for world in WORLDS {
        let folder = TempDir::new()?;
        let arguments = ["-d", &contract, "-w", world, "bindings", "python"];
        call(folder.path(), "python/bin/componentize-py", &arguments)?;
        let sources = ["-m", "compileall", "-q", "python/wit_world"];
        call(folder.path(), "python/bin/python", &sources)?;
    }

    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn c_has_bindings_of_every_world_that_compile() -> Result<()> {
    for world in WORLDS {
        let folder = TempDir::new()?;
        let mut generator = wit_bindgen_c::Opts::default().build();
        let files = generate(generator.as_mut(), world, folder.path())?;
        let compile = ["cc", "-target", "wasm32-wasi", "-c"];
        let arguments = with_files(&compile, &files, ".c");
        call(folder.path(), "python/bin/python-zig", &arguments)?;
    }

    Ok(())
}

/// The Go module of the generator's runtime, which its crate brings along.
fn go_runtime() -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    command.args(["--filter-platform", &target]);
    let output = command.current_dir(place::project()).output()?;
    ensure!(output.status.success(), "cargo metadata: {output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let generator = packages
        .iter()
        .find(|package| package["name"] == "wit-bindgen-go")
        .and_then(|package| package["manifest_path"].as_str())
        .context("no wit-bindgen-go")?;
    Ok(Path::new(generator).with_file_name("src/pkg"))
}

/// Compiled with bodies for the exports that panic. No Go module is downloaded: it comes from the crate.
#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn go_has_bindings_of_every_world_that_compile() -> Result<()> {
    let runtime = go_runtime()?;
    for world in WORLDS {
        let folder = TempDir::new()?;
        let options = wit_bindgen_go::Opts {
            generate_stubs: true,
            ..wit_bindgen_go::Opts::default()
        };
        let mut generator = options.build();
        generate(generator.as_mut(), world, folder.path())?;
        let replace = format!("-replace=go.bytecodealliance.org/pkg={}", runtime.display());
        call(folder.path(), "python/bin/go", &["mod", "edit", &replace])?;
        // the runtime reaches into Go's own, which its linker has to be told to permit
        let compile = [
            "build",
            "-buildmode=c-shared",
            "-ldflags=-checklinkname=0",
            "-o",
            "service.wasm",
            ".",
        ];
        let mut command = tool(folder.path(), "python/bin/go", &compile);
        command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm")]);
        command.envs([
            ("GOFLAGS", "-mod=mod"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
        ]);
        succeed(&mut command)?;
    }

    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn typescript_has_types_of_every_world_that_compile() -> Result<()> {
    let contract = wit();
    let contract = contract.to_string_lossy();
    for world in WORLDS {
        let folder = TempDir::new()?;
        let arguments = ["guest-types", &contract, "-n", world, "-o", "."];
        call(folder.path(), "web/node_modules/.bin/jco", &arguments)?;

        let compile = ["--noEmit", "--strict", "--module", "esnext"];
        let types = format!("{world}.d.ts");
        let arguments = [compile.as_slice(), &[types.as_str()]].concat();
        call(folder.path(), "js/node_modules/.bin/tsc", &arguments)?;
    }

    Ok(())
}
