//! Any text as a configuration: the output of `miqro-host config` has to give the same configuration
//! again.

use miqro_host::config::{Config, Selection};

/// Reads `bytes` as `miqro.yml`.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // a file that is named for a secret would be read
    if text.contains("_file") {
        return;
    }
    let loaded = match Config::read(text, None, Selection::All) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.0.is_empty(), "refused without a reason");
            return;
        }
    };

    let shown = loaded.config.to_yaml();
    // line separators of YAML 1.1 but not of 1.2: the one exception that `to_yaml` names
    if shown.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return;
    }
    let again = Config::read(&shown, None, Selection::All);
    let again = again
        .unwrap_or_else(|error| panic!("the shown configuration is refused: {error:?}\n{shown}"));
    assert_eq!(
        again.config.to_yaml(),
        shown,
        "the shown configuration gives another one"
    );
}
