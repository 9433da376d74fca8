//! Every function of the contract in every SDK: the services in `tests/sdks` call each one, with the same outcome. The table in
//! `docs/languages.md` has its name in each language.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use miqro_tests::place;

use super::Project;
use crate::contract;

/// The languages of the table in their order, and the service of each.
const SOURCES: [&str; 5] = [
    "lib.rs.source",
    "app.py",
    "app.js",
    "app.c",
    "main.go.source",
];

/// Functions that the SDKs call, or whose cause is not a message: the step of the scenario that leads to them.
const STEPS: [(&str, &str); 9] = [
    ("handle", "- message: "),
    ("tick", "- advance: "),
    ("timers.due", "- advance: "),
    ("start", "- event: restart"),
    ("stop", "- event: stop"),
    ("connected", "- event: connected"),
    ("disconnected", "- event: disconnected"),
    ("save", "- event: swap"),
    ("load", "- event: swap"),
];

/// Functions that a scenario cannot cause: the outcome of a message at the broker, and another configuration.
const COMPILED_ONLY: [&str; 2] = ["delivered", "config-changed"];

/// A service in `language` calls each function of its SDK.
fn calls_each_function(language: &str, source: &str, place_in_project: &str) -> Result<()> {
    let project = Project::new(language)?;
    let sources = place::project().join("tests/sdks");
    let text = std::fs::read_to_string(sources.join(source))?;
    let text = text.replace("matrix/miqro", &format!("{}/miqro", project.name));
    std::fs::write(project.file(place_in_project), text)?;
    if project.file("wit").exists() {
        std::fs::copy(sources.join("app.wit"), project.file("wit/app.wit"))?;
    }

    project.build()?;
    let scenario = sources.join("scenario.yml");
    let scenario = scenario.to_str().context("a path that is text")?;
    let tested = project.host(&["test", &project.component(), scenario])?;
    ensure!(tested.success, "{}", tested.text);
    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn rust_calls_each_function() -> Result<()> {
    calls_each_function("rust", "lib.rs.source", "src/lib.rs")
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn python_calls_each_function() -> Result<()> {
    calls_each_function("python", "app.py", "app.py")
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn javascript_calls_each_function() -> Result<()> {
    calls_each_function("js", "app.js", "src/app.js")
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn c_calls_each_function() -> Result<()> {
    calls_each_function("c", "app.c", "app.c")
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn go_calls_each_function() -> Result<()> {
    calls_each_function("go", "main.go.source", "main.go")
}

#[test]
fn scenario_reaches_each_function_of_the_contract() -> Result<()> {
    let scenario = std::fs::read_to_string(place::project().join("tests/sdks/scenario.yml"))?;
    for function in contract::functions()? {
        let step = STEPS.iter().find(|(name, _)| *name == function);
        let step = match step {
            Some((_, step)) => (*step).to_owned(),
            None => format!("- message: call/{function}\n"),
        };
        let is_reached = scenario.contains(&step) || COMPILED_ONLY.contains(&function.as_str());
        ensure!(is_reached, "{function}: no step {step:?}");
    }

    Ok(())
}

/// Each row of the table names a function as the service of the language calls it.
#[test]
fn table_of_functions_is_that_of_the_services() -> Result<()> {
    let document = std::fs::read_to_string(place::project().join("docs/languages.md"))?;
    let rows: BTreeMap<String, Vec<&str>> = document.lines().filter_map(row).collect();
    let sources = SOURCES.map(|source| place::project().join("tests/sdks").join(source));
    for function in contract::functions()? {
        let cells = rows.get(&function);
        let cells = cells.with_context(|| format!("docs/languages.md has no row of {function}"))?;
        ensure!(cells.len() == sources.len(), "{function}: {cells:?}");
        for (cell, source) in cells.iter().zip(&sources) {
            let name = cell.trim_matches('`');
            let text = std::fs::read_to_string(source)?;
            let is_own = *cell == "by the SDK" || text.contains(name);
            ensure!(is_own, "{function}: {} has no {name}", source.display());
        }
    }

    Ok(())
}

/// The function and the cells of a row of the table.
fn row(line: &str) -> Option<(String, Vec<&str>)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ").map(str::trim);
    let function = cells.next()?.strip_suffix('`')?;
    let cells = cells.map(|cell| cell.trim_end_matches('|').trim_end());
    Some((function.to_owned(), cells.collect()))
}
