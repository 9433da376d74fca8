//! New projects: a small service in each language, with the SDK of the language and everything that building and testing it needs.

mod files;

use std::io;
use std::path::{Path, PathBuf};

use super::Language;

/// A project cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name does not fit every language and topic.
    #[error(
        "expected a name of lower-case letters, digits and '-' that begins with a letter, found {0:?}"
    )]
    Name(String),
    /// The folder is there already.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The line of a manifest below which it is for the repository alone.
const REPOSITORY_ONLY: &str = "# The rest is for this repository";

/// The row of the README's table for the exports that stand in a file.
const WORLD_ROW: &str = "\n| `wit/app.wit` | its exports; `wit/service.wit` is the contract |";

const PIP: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// The differences between the languages.
struct Template {
    /// The command that installs the tools.
    install: &'static str,
    /// The command that runs the unit tests.
    unit: &'static str,
    /// The rows of the README's table.
    rows: &'static str,
}

fn template(language: Language) -> Template {
    match language {
        Language::Rust => Template {
            install: "rustup target add wasm32-wasip2",
            unit: "cargo test",
            rows: "| `src/lib.rs` | the service, with its unit tests |\n| `miqro-sdk` | the SDK; `miqro-sdk/README.md` explains it |",
        },
        Language::Python => Template {
            install: PIP,
            unit: "python3 -m unittest",
            rows: "| `app.py`, `test_app.py` | the service and its unit tests |\n| `miqro_sdk` | the SDK |",
        },
        Language::JavaScript => Template {
            install: "npm install",
            unit: "npm test",
            rows: "| `src/app.js`, `test` | the service and its unit tests |\n| `miqro-sdk` | the SDK |",
        },
        Language::TypeScript => Template {
            install: "npm install",
            unit: "npm test",
            rows: "| `src/app.ts`, `test` | the service and its unit tests |\n| `miqro-sdk` | the SDK |",
        },
        Language::C => Template {
            install: PIP,
            unit: "cc test_greeting.c -o build/test && build/test",
            rows: "| `app.c`, `test_greeting.c` | the service and its unit tests |\n| `miqro.h` | the SDK |",
        },
        Language::Cpp => Template {
            install: PIP,
            unit: "c++ -std=c++20 test_greeting.cpp -o build/test && build/test",
            rows: "| `app.cpp`, `test_greeting.cpp` | the service and its unit tests |\n| `miqro.h` | the SDK |",
        },
        Language::Go => Template {
            install: PIP,
            unit: ".venv/bin/go test .",
            rows: "| `main.go`, `main_test.go` | the service and its unit tests |\n| `miqro` | the SDK |",
        },
    }
}

/// Makes the project `name` in a folder of that name below `parent`, and returns the folder.
///
/// # Errors
/// When the name is not possible, the folder is there, or a file cannot be written.
pub fn create(parent: &Path, name: &str, language: Language) -> Result<PathBuf, ScaffoldError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    if folder.exists() {
        return Err(ScaffoldError::Exists(folder));
    }

    let template = template(language);
    let world = match language {
        Language::Rust => "",
        _ => WORLD_ROW,
    };
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{language}}", &language.to_string())
            .replace("{{install}}", template.install)
            .replace("{{unit}}", template.unit)
            .replace("{{files}}", template.rows)
            .replace("{{world}}", world)
    };

    write(&folder.join("README.md"), &fill(files::README))?;
    for (path, text) in files::templates(language).iter().copied().flatten() {
        write(&folder.join(path), &fill(text))?;
    }

    for (path, text) in files::copied(language).iter().copied().flatten() {
        write(&folder.join(path), for_projects(text))?;
    }
    Ok(folder)
}

/// A file of an SDK without the part that only this repository needs.
fn for_projects(text: &str) -> &str {
    text.split_once(REPOSITORY_ONLY)
        .map_or(text, |(projects, _)| projects.trim_end())
}

/// The command that installs the tools of a language.
pub fn install_command(language: Language) -> &'static str {
    template(language).install
}

fn write(path: &Path, text: &str) -> Result<(), ScaffoldError> {
    let error = |source| ScaffoldError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(error)?;
    }
    std::fs::write(path, text).map_err(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::project::Project;

    #[test]
    fn every_language_has_a_project_that_is_recognised() {
        let parent = tempfile::tempdir().unwrap();
        for (word, language) in Language::ALL {
            let folder = create(parent.path(), &format!("lamp-{word}"), language).unwrap();
            let project = Project::find(&folder).unwrap();
            assert_eq!(project.language, language);
            assert_eq!(project.name, format!("lamp-{word}"));
            assert_eq!(project.world() == "app", language != Language::Rust);

            for (path, _) in files::templates(language).iter().copied().flatten() {
                let text = std::fs::read_to_string(folder.join(path)).unwrap();
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
            assert!(!readme.contains("{{"), "{readme}");
        }

        let again = create(parent.path(), "lamp-c", Language::C).unwrap_err();
        assert!(again.to_string().ends_with("lamp-c exists already"));
    }

    /// The SDK of a project is the whole of it, as the lists in `files` name each file.
    #[test]
    fn the_sdk_of_a_project_is_complete() {
        let parent = tempfile::tempdir().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        for (language, from, to) in [
            (Language::Rust, "rust/src", "miqro-sdk/src"),
            (Language::Rust, "rust/macros/src", "miqro-sdk/macros/src"),
            (
                Language::Rust,
                "rust/bindings/src",
                "miqro-sdk/bindings/src",
            ),
            (Language::Python, "python/miqro_sdk", "miqro_sdk"),
            (Language::JavaScript, "js", "miqro-sdk"),
            (Language::Go, "go", "miqro"),
        ] {
            let folder = parent.path().join(language.word());
            if !folder.exists() {
                create(parent.path(), language.word(), language).unwrap();
            }
            assert_eq!(
                sources(&folder.join(to)),
                sources(&sdk.join(from)),
                "{from}"
            );
        }

        for manifest in ["Cargo.toml", "macros/Cargo.toml", "bindings/Cargo.toml"] {
            let path = parent.path().join("rust/miqro-sdk").join(manifest);
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                !text.contains("workspace") && !text.contains("dev-"),
                "{text}"
            );
        }
    }

    /// The sources below a folder, with their texts; without tests and examples.
    fn sources(folder: &Path) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    if !["test", "examples", "__pycache__"].contains(&name.as_str())
                        || path.ends_with("src/test")
                    {
                        folders.push(path);
                    }
                } else if [".rs", ".txt", ".py", ".js", ".d.ts", ".go"]
                    .iter()
                    .any(|ending| name.ends_with(ending))
                    && name != "miqro_test.go"
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
                }
            }
        }

        found
    }

    #[test]
    fn a_name_fits_topics_and_every_language() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["", "Lamp", "1lamp", "a/b", "a b", "../a"] {
            let error = create(parent.path(), name, Language::C).unwrap_err();
            assert!(error.to_string().starts_with("expected a name"), "{name}");
        }
    }
}
