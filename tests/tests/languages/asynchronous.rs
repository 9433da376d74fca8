//! Components that componentize-qjs makes without `--sync`.

use anyhow::{Result, ensure};

use super::Project;

/// A service without the SDK.
const SOURCE: &str = "
export function start() {}
export function handle() {}
export function tick() {}
export function stop() {}
";

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn the_default_of_componentize_qjs_is_refused_with_its_remedy() -> Result<()> {
    let project = Project::new("js")?;
    std::fs::write(project.file("own.js"), SOURCE)?;
    let component = project.component();
    let build = |option: &str| {
        project.shell(&format!(
            "node_modules/.bin/componentize-qjs {option} --wit wit -n app -j own.js -o {component}"
        ))
    };

    build("")?;
    let checked = project.host(&["check", &component])?;
    let sentence = format!("{component}: the component is asynchronous (WASI 0.3)");
    ensure!(
        !checked.success && checked.text.contains(&sentence),
        "{}",
        checked.text
    );
    ensure!(
        checked.text.contains("componentize-qjs with --sync"),
        "{}",
        checked.text
    );

    build("--sync")?;
    let checked = project.host(&["check", &component])?;
    ensure!(checked.success, "{}", checked.text);
    Ok(())
}
