//! `docs/porting.md` names a test for each feature of the originals, `docs/reliability.md` one for each promise: all exist.

use anyhow::{Context, Result};
use miqro_tests::place;

#[test]
fn every_test_that_is_named_exists() -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(place::project().join("docs").join(name));
    let text = read("porting.md")? + &read("reliability.md")?;
    let mut missing = Vec::new();
    let mut rows = 0;
    for row in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        let last = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        if last == "test" {
            continue;
        }
        let named = last
            .strip_prefix('`')
            .and_then(|name| name.strip_suffix('`'));
        let (file, function) = named
            .and_then(|name| name.split_once("::"))
            .with_context(|| format!("no test: {row}"))?;
        rows += 1;
        let source = std::fs::read_to_string(place::project().join(file)).unwrap_or_default();
        // a macro that makes a test of a name may have it on a line of its own
        let source: String = source.split_whitespace().collect();
        if !source.contains(&format!("fn{function}("))
            && !source.contains(&format!("!({function},"))
        {
            missing.push(format!("{file}::{function}"));
        }
    }

    assert!(rows > 130, "only {rows} rows were understood");
    assert!(
        missing.is_empty(),
        "named, but not there:\n{}",
        missing.join("\n")
    );
    Ok(())
}
