//! Values of a service's own section that stand in files and in environment variables.

use std::path::Path;

use crate::config::{Config, Selection};

fn load(folder: &Path, text: &str) -> Result<Config, String> {
    let file = folder.join("miqro.yml");
    Config::read(text, Some(&file), Selection::All)
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

#[test]
fn references_are_followed_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), "geheim\n").unwrap();
    let text = "services: {a: {key: {from_file: key.txt}, list: [1, {from_env: PATH}], deep: {er: {from_file: key.txt}}}}";
    let config = load(folder.path(), text).unwrap();
    let path = std::env::var("PATH").unwrap();
    let expected =
        serde_json::json!({"key": "geheim", "list": [1, path], "deep": {"er": "geheim"}});
    assert_eq!(config.services[0].config.json, expected);
    let yaml = config.to_yaml();
    assert!(
        !yaml.contains("geheim") && !yaml.contains(&path) && yaml.matches("***").count() == 3,
        "{yaml}"
    );
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn unresolved_secrets_are_reported_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "services:\n  a:\n    b: {from_file: none.txt}\n    c: {from_env: MIQRO_NO_SUCH}\n    d: {from_file: x, y: z}\n    e: {from_env: [1]}\n";
    let said = load(folder.path(), text).unwrap_err();
    for part in [
        "miqro.yml:3: services.a.b.from_file: cannot read",
        "miqro.yml:4: services.a.c.from_env: cannot read the environment variable MIQRO_NO_SUCH",
        "miqro.yml:5: services.a.d: expected {from_file: <path>} or {from_env: <NAME>} and nothing else, found 2 keys",
        "miqro.yml:6: services.a.e.from_env: expected text, found a list",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }

    assert_eq!(said.lines().count(), 4, "{said}");
}
