//! The SDKs as packages: each is built with its language's own tool, and a new project uses what is installed from it in place of
//! the sources that `miqro-host new` gives it. No registry has the packages, so that their files are installed.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::place;
use tempfile::TempDir;

use super::{Project, run};

/// The crates of the Rust SDK.
const CRATES: [&str; 3] = ["miqro-sdk", "miqro-sdk-bindings", "miqro-sdk-macros"];

/// Runs a program in `folder`; it must succeed.
fn call<S: AsRef<OsStr>>(folder: &Path, program: impl AsRef<OsStr>, arguments: &[S]) -> Result<()> {
    let mut command = Command::new(program.as_ref());
    let output = run(command.current_dir(folder).args(arguments))?;
    ensure!(output.success, "{:?}: {}", program.as_ref(), output.text);
    Ok(())
}

/// The only file in `folder` that ends with `ending`.
fn only_file(folder: &Path, ending: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut files = entries.into_iter().map(|entry| entry.path());
    let file = files.find(|path| path.to_string_lossy().ends_with(ending));
    file.with_context(|| format!("{} has no file *{ending}", folder.display()))
}

/// Builds the project and plays its scenarios.
fn builds_and_plays(project: &Project) -> Result<()> {
    project.build()?;
    let tested = project.host(&["test", &project.component(), "scenario.yml"])?;
    ensure!(tested.success, "{}", tested.text);
    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn python_uses_the_wheel() -> Result<()> {
    let folder = TempDir::new()?;
    let python = place::tools().join("languages/python/bin/python");
    // the tool writes beside the sources
    let sdk = place::project().join("sdk/python");
    let copy = folder.path().join("sdk");
    call(
        folder.path(),
        "cp",
        &[OsStr::new("-r"), sdk.as_ref(), copy.as_ref()],
    )?;
    call(
        &copy,
        &python,
        &[
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            "..",
            ".",
        ],
    )?;

    let project = Project::new("python")?;
    std::fs::remove_dir_all(project.file("miqro_sdk"))?;
    let wheel = only_file(folder.path(), ".whl")?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--target",
        ".",
    ];
    let install = install.map(OsStr::new);
    let arguments = [install.as_slice(), &[wheel.as_ref()]].concat();
    call(&project.file(""), &python, &arguments)?;

    project.shell(".venv/bin/python -m unittest")?;
    builds_and_plays(&project)
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn javascript_uses_the_tarball() -> Result<()> {
    let folder = TempDir::new()?;
    let sdk = place::project().join("sdk/js");
    let pack = [OsStr::new("pack"), OsStr::new("--pack-destination")];
    let arguments = [pack.as_slice(), &[folder.path().as_ref()]].concat();
    call(&sdk, "npm", &arguments)?;
    let tarball = only_file(folder.path(), ".tgz")?;
    let install = ["install", "--offline", "--no-audit", "--no-fund"].map(OsStr::new);
    let arguments = [install.as_slice(), &[tarball.as_ref()]].concat();
    call(folder.path(), "npm", &arguments)?;

    for language in ["js", "ts"] {
        let project = Project::new(language)?;
        std::fs::remove_dir_all(project.file("miqro-sdk"))?;
        let place = project.file("node_modules/miqro-sdk");
        std::fs::remove_file(&place)?;
        symlink(folder.path().join("node_modules/miqro-sdk"), &place)?;
        builds_and_plays(&project)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn rust_uses_the_crates() -> Result<()> {
    let folder = TempDir::new()?;
    let target = folder.path().join("target");
    let package = ["package", "--allow-dirty", "--no-verify", "--target-dir"].map(OsStr::new);
    let mut arguments = [package.as_slice(), &[target.as_ref()]].concat();
    for name in CRATES {
        arguments.extend([OsStr::new("--package"), OsStr::new(name)]);
    }
    call(&place::project(), "cargo", &arguments)?;

    // [patch] stands for the registry that does not have them
    let project = Project::new("rust")?;
    std::fs::remove_dir_all(project.file("miqro-sdk"))?;
    let mut patches = "\n[patch.crates-io]\n".to_owned();
    for name in CRATES {
        let file = target.join(format!("package/{name}-0.1.0.crate"));
        call(folder.path(), "tar", &[OsStr::new("xf"), file.as_ref()])?;
        let unpacked = folder.path().join(format!("{name}-0.1.0"));
        patches += &format!("{name} = {{ path = {unpacked:?} }}\n");
    }

    let manifest = project.file("Cargo.toml");
    project.edit("Cargo.toml", "{ path = \"miqro-sdk\" }", "\"0.1.0\"")?;
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, text + &patches)?;

    project.shell("cargo test")?;
    builds_and_plays(&project)
}
