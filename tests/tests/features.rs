//! The features of dependencies: with other ones for the tests than for the host, `make test` would compile what `make run` has
//! compiled again, the host included.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};
use miqro_tests::place;

#[test]
fn tests_have_the_features_of_the_build() -> Result<()> {
    let build = packages("normal,build")?;
    let tests = packages("normal,build,dev")?;
    assert!(build.iter().any(|line| line.starts_with("wasmtime ")));
    let other: Vec<_> = build.difference(&tests).collect();
    assert!(
        other.is_empty(),
        "with the tests' own dependencies these packages have further features: {other:?}"
    );
    Ok(())
}

/// The packages that the workspace depends on over `edges`, each with its version and features.
fn packages(edges: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--workspace"])
        .args(["--prefix", "none", "--edges", edges])
        .args(["--format", "{p} [{f}]"])
        .current_dir(place::project())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree: {errors}");
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}
