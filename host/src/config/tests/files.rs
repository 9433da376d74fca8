//! Files that are not what they should be: cut, torn, empty, with a byte-order mark, or not there yet.

use std::path::{Path, PathBuf};

use super::problems;
use crate::config::{Blank, Broker, Config, ConfigError, LoadedConfig, MissingFiles, Selection};

fn load_with(folder: &Path, text: &str, files: &[PathBuf]) -> Result<LoadedConfig, ConfigError> {
    let file = folder.join("miqro.yml");
    std::fs::write(&file, text).unwrap();
    Config::load_with(Some(&file), Selection::Run(files), MissingFiles::LeaveOut)
}

#[test]
fn control_characters_are_errors_with_line_and_column() {
    for (text, place) in [
        ("services:\n  a: {x: 1}\n  b: \0\n", "miqro.yml:3:6: "),
        (
            "broker: {host: b}\nlog_level: DEBUG\u{1b}[0m",
            "miqro.yml:2:17: ",
        ),
        ("services: {a: {text: \"x\u{7}y\"}}", "miqro.yml:1:24: "),
        ("{\"mqtt\": {\"broker\": \"b\0\"}}", "miqro.yml:1:23: "),
        ("{\"mqtt\": {\"broker\": \"b\"}}\n\0\0\0", "miqro.yml:2:1: "),
        ("a: 1\r\n\u{9f}", "miqro.yml:2:1: "),
        ("log_level: INFO\n\u{feff}services: {}", "miqro.yml:2:1: "),
    ] {
        let said = problems(text);
        assert!(
            said.starts_with(place) && said.lines().count() == 1 && said.contains("U+"),
            "{text:?}: {said}"
        );
    }

    let zeroes = problems(&"\0".repeat(4096));
    assert!(
        zeroes.starts_with("miqro.yml: has nothing but NUL bytes") && zeroes.lines().count() == 1,
        "{zeroes}"
    );
    // written as an escape, the character is accepted: a service may need it
    let config = super::quiet("services: {a: {text: \"\\x1b[0m\\0\"}}");
    assert_eq!(
        config.services[0].config.json,
        serde_json::json!({"text": "\u{1b}[0m\0"})
    );
}

#[test]
fn empty_files_are_reported() {
    let blank = |text: &str| {
        Config::read(text, Some(Path::new("a.yml")), Selection::All)
            .unwrap()
            .blank
    };
    for text in [
        "",
        "\n\n",
        "# comments\n",
        "---\n",
        "\u{feff}",
        "   \n",
        "~",
    ] {
        assert_eq!(blank(text), Some(Blank::File), "{text:?}");
    }

    for text in [
        "services:\n",
        "log_level: DEBUG\nservices:",
        "services: ~\n",
        "services: # none\n",
    ] {
        assert_eq!(blank(text), Some(Blank::Services), "{text:?}");
    }

    for text in ["services: {}", "broker: {host: b}", "{}", "services: {a: }"] {
        assert_eq!(blank(text), None, "{text:?}");
    }
    assert_eq!(
        Config::read("", None, Selection::All).unwrap().blank,
        None,
        "there is no file"
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn secrets_have_no_byte_order_mark_and_no_line_ends() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let text = "broker: {host: b}\nauth: {username: anna, password_file: secret}\nservices: {a: {component: a.wasm, key: {from_file: secret}}}";
    for written in [
        "geheim",
        "geheim\n",
        "geheim\r\n",
        "\u{feff}geheim\n\n",
        "geheim\r\n\r\n",
        "\u{feff}geheim",
    ] {
        std::fs::write(&secret, written).unwrap();
        let config = load_with(folder.path(), text, &[]).unwrap().config;
        assert_eq!(
            config.services[0].config.json["key"], "geheim",
            "{written:?}"
        );
        let Broker::Remote(connection) = config.broker else {
            panic!()
        };
        assert_eq!(
            connection.credentials.unwrap().password.as_deref(),
            Some("geheim"),
            "{written:?}"
        );
    }

    // within a secret nothing is taken away
    std::fs::write(&secret, " a\tb \n c \n").unwrap();
    assert_eq!(
        load_with(folder.path(), text, &[]).unwrap().config.services[0]
            .config
            .json["key"],
        " a\tb \n c "
    );

    for (written, word) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (&[0; 64], "nothing but NUL bytes"),
        (b"gehe\0im", "line 1, column 5: the character U+0000"),
        (b"\xff\xfeg\0", "is not UTF-8 text"),
    ] {
        std::fs::write(&secret, written).unwrap();
        let error =
            Config::load(Some(&folder.path().join("miqro.yml")), Selection::Run(&[])).unwrap_err();
        let said = error.to_string();
        assert!(
            said.matches(word).count() == 2 && said.contains("secret"),
            "{written:?}: {said}"
        );
        assert!(!said.contains("gehe"), "{said}");
        assert_eq!(error.awaited_files(), [secret.clone(), secret.clone()]);
    }

    std::fs::write(&secret, "anna\ngeheim\n").unwrap();
    let said = problems(&format!(
        "broker: {{host: b}}\nauth: {{username_file: {}, password: x}}",
        secret.display()
    ));
    assert!(
        said.contains("auth.username_file: contains U+000A"),
        "{said}"
    );
}

#[test]
fn a_service_with_a_missing_file_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "services:\n  a: {component: a.wasm, key: {from_file: a.key}}\n  b: {component: b.wasm}\n";
    let loaded = load_with(folder.path(), text, &[]).unwrap();
    let names = |loaded: &LoadedConfig| {
        loaded
            .config
            .services
            .iter()
            .map(|one| one.name.clone())
            .collect::<Vec<_>>()
    };

    assert_eq!(
        (names(&loaded), loaded.held.len(), loaded.missing.len()),
        (vec!["b".to_owned()], 1, 0)
    );
    assert_eq!(loaded.held[0].service, "a");
    assert_eq!(
        loaded.held[0].errors[0].awaited.as_deref(),
        Some(folder.path().join("a.key").as_path())
    );
    // one that is named on the command line does not run without its section
    let loaded = load_with(
        folder.path(),
        text,
        &[PathBuf::from("a.wasm"), PathBuf::from("c.wasm")],
    )
    .unwrap();
    assert_eq!(
        (names(&loaded), loaded.held.len()),
        (vec!["c".to_owned()], 1)
    );
    // one with another fault is refused with all that is wrong
    let wrong = "services: {a: {component: a.wasm, key: {from_file: a.key}, limits: {call: soon}}, b: {key: {from_file: b.key}}}";
    let said = load_with(folder.path(), wrong, &[])
        .unwrap_err()
        .to_string();
    assert!(said.contains("a.key") && said.contains("soon"), "{said}");
    std::fs::write(folder.path().join("a.key"), "key").unwrap();
    let loaded = load_with(folder.path(), text, &[]).unwrap();
    assert_eq!((names(&loaded).len(), loaded.held.len()), (2, 0));
}

#[test]
fn missing_files_of_the_host_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = "broker: {host: b}\nauth: {username: anna, password_file: secret}\nservices: {a: {component: a.wasm, key: {from_file: key}}}";
    let loaded = load_with(folder.path(), text, &[]).unwrap();
    assert_eq!((loaded.missing.len(), loaded.held.len()), (1, 1));
    assert_eq!(
        loaded.missing[0].awaited.as_deref(),
        Some(folder.path().join("secret").as_path())
    );
    let refused =
        Config::load(Some(&folder.path().join("miqro.yml")), Selection::Run(&[])).unwrap_err();
    assert_eq!(refused.0.len(), 2, "{refused}");
    // an environment variable does not come by itself, nor does a key with a slip in it
    for text in [
        "broker: {host: b}\nauth: {username: anna, password_env: MIQRO_NO_SUCH}\nservices: {a: {component: a.wasm}}",
        "trust: [RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO]\nservices: {a: {component: a.wasm}}",
    ] {
        assert_eq!(
            load_with(folder.path(), text, &[])
                .unwrap_err()
                .awaited_files(),
            Vec::<PathBuf>::new()
        );
    }

    let text = "trust: [keys/minisign.pub]\nservices: {a: {component: a.wasm}}";
    assert_eq!(
        load_with(folder.path(), text, &[]).unwrap().missing.len(),
        1
    );
}
