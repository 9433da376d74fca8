//! New projects: a small service in each language, with the SDK of the language and everything that building and testing it needs.

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

/// A file of a project: its path, and its text with `{{name}}` and the like in it.
type File = (&'static str, &'static str);

/// Includes a file of the repository.
macro_rules! file {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path))
    };
}

const COMMON: &[File] = &[
    ("wit/service.wit", file!("wit/service.wit")),
    ("wit/app.wit", file!("templates/common/app.wit")),
    ("scenario.yml", file!("templates/common/scenario.yml")),
    (
        ".gitignore",
        "*.wasm\nbuild/\n.venv/\nnode_modules/\n__pycache__/\ntarget/\n",
    ),
];

const PYTHON: &[File] = &[
    ("app.py", file!("templates/python/app.py")),
    ("test_app.py", file!("templates/python/test_app.py")),
    ("pyproject.toml", file!("templates/python/pyproject.toml")),
    (
        "requirements.txt",
        file!("templates/python/requirements.txt"),
    ),
    (
        "miqro_sdk/__init__.py",
        file!("sdk/python/miqro_sdk/__init__.py"),
    ),
    (
        "miqro_sdk/_convert.py",
        file!("sdk/python/miqro_sdk/_convert.py"),
    ),
    (
        "miqro_sdk/_errors.py",
        file!("sdk/python/miqro_sdk/_errors.py"),
    ),
    ("miqro_sdk/_host.py", file!("sdk/python/miqro_sdk/_host.py")),
    (
        "miqro_sdk/_messages.py",
        file!("sdk/python/miqro_sdk/_messages.py"),
    ),
    (
        "miqro_sdk/_registry.py",
        file!("sdk/python/miqro_sdk/_registry.py"),
    ),
    (
        "miqro_sdk/_service.py",
        file!("sdk/python/miqro_sdk/_service.py"),
    ),
    (
        "miqro_sdk/_topics.py",
        file!("sdk/python/miqro_sdk/_topics.py"),
    ),
    (
        "miqro_sdk/_world.py",
        file!("sdk/python/miqro_sdk/_world.py"),
    ),
    ("miqro_sdk/log.py", file!("sdk/python/miqro_sdk/log.py")),
    ("miqro_sdk/state.py", file!("sdk/python/miqro_sdk/state.py")),
    (
        "miqro_sdk/timers.py",
        file!("sdk/python/miqro_sdk/timers.py"),
    ),
    (
        "miqro_sdk/testing/__init__.py",
        file!("sdk/python/miqro_sdk/testing/__init__.py"),
    ),
    (
        "miqro_sdk/testing/bindings.py",
        file!("sdk/python/miqro_sdk/testing/bindings.py"),
    ),
];

const JS_SDK: &[File] = &[
    ("miqro-sdk/package.json", file!("sdk/js/package.json")),
    ("miqro-sdk/index.js", file!("sdk/js/index.js")),
    ("miqro-sdk/index.d.ts", file!("sdk/js/index.d.ts")),
    ("miqro-sdk/service.js", file!("sdk/js/service.js")),
    ("miqro-sdk/service.d.ts", file!("sdk/js/service.d.ts")),
    ("miqro-sdk/registry.js", file!("sdk/js/registry.js")),
    ("miqro-sdk/bytes.js", file!("sdk/js/bytes.js")),
];

const JAVASCRIPT: &[File] = &[
    ("src/app.js", file!("templates/js/app.js")),
    ("src/greeting.js", file!("templates/js/greeting.js")),
    (
        "test/greeting.test.js",
        file!("templates/js/greeting.test.js"),
    ),
    ("package.json", file!("templates/js/package.json")),
];

const TYPESCRIPT: &[File] = &[
    ("src/app.ts", file!("templates/ts/app.ts")),
    ("src/greeting.ts", file!("templates/ts/greeting.ts")),
    (
        "test/greeting.test.ts",
        file!("templates/ts/greeting.test.ts"),
    ),
    ("package.json", file!("templates/ts/package.json")),
    ("tsconfig.json", file!("templates/ts/tsconfig.json")),
];

const C: &[File] = &[
    ("app.c", file!("templates/c/app.c")),
    ("greeting.h", file!("templates/c/greeting.h")),
    ("test_greeting.c", file!("templates/c/test_greeting.c")),
    ("requirements.txt", file!("templates/c/requirements.txt")),
    ("miqro.h", file!("sdk/c/miqro.h")),
];

const CPP: &[File] = &[
    ("app.cpp", file!("templates/cpp/app.cpp")),
    ("greeting.hpp", file!("templates/cpp/greeting.hpp")),
    (
        "test_greeting.cpp",
        file!("templates/cpp/test_greeting.cpp"),
    ),
    ("requirements.txt", file!("templates/c/requirements.txt")),
    ("miqro.h", file!("sdk/c/miqro.h")),
];

const GO: &[File] = &[
    ("main.go", file!("templates/go/main.go.template")),
    ("greeting.go", file!("templates/go/greeting.go.template")),
    ("main_test.go", file!("templates/go/main_test.go.template")),
    ("go.mod", file!("templates/go/go.mod.template")),
    ("requirements.txt", file!("templates/go/requirements.txt")),
    ("miqro/miqro.go", file!("sdk/go/miqro.go")),
    (
        "miqro/contract_wasip1.go",
        file!("sdk/go/contract_wasip1.go"),
    ),
    (
        "miqro/contract_native.go",
        file!("sdk/go/contract_native.go"),
    ),
];

const RUST: &[File] = &[
    ("src/lib.rs", file!("templates/rust/lib.rs")),
    ("Cargo.toml", file!("templates/rust/Cargo.toml.template")),
];

const PIP: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// The differences between the languages.
struct Template {
    files: &'static [&'static [File]],
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
            files: &[COMMON, RUST],
            install: "rustup target add wasm32-wasip2",
            unit: "cargo test",
            rows: "| `src/lib.rs` | the service, with its unit tests |",
        },
        Language::Python => Template {
            files: &[COMMON, PYTHON],
            install: PIP,
            unit: "python3 -m unittest",
            rows: "| `app.py`, `test_app.py` | the service and its unit tests |\n| `miqro_sdk` | the SDK |",
        },
        Language::JavaScript => Template {
            files: &[COMMON, JAVASCRIPT, JS_SDK],
            install: "npm install",
            unit: "npm test",
            rows: "| `src/app.js`, `test` | the service and its unit tests |\n| `miqro-sdk` | the SDK |",
        },
        Language::TypeScript => Template {
            files: &[COMMON, TYPESCRIPT, JS_SDK],
            install: "npm install",
            unit: "npm test",
            rows: "| `src/app.ts`, `test` | the service and its unit tests |\n| `miqro-sdk` | the SDK |",
        },
        Language::C => Template {
            files: &[COMMON, C],
            install: PIP,
            unit: "cc test_greeting.c -o build/test && build/test",
            rows: "| `app.c`, `test_greeting.c` | the service and its unit tests |\n| `miqro.h` | the SDK |",
        },
        Language::Cpp => Template {
            files: &[COMMON, CPP],
            install: PIP,
            unit: "c++ -std=c++20 test_greeting.cpp -o build/test && build/test",
            rows: "| `app.cpp`, `test_greeting.cpp` | the service and its unit tests |\n| `miqro.h` | the SDK |",
        },
        Language::Go => Template {
            files: &[COMMON, GO],
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
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{language}}", &language.to_string())
            .replace("{{install}}", template.install)
            .replace("{{unit}}", template.unit)
            .replace("{{files}}", template.rows)
    };

    let readme = ("README.md", file!("templates/common/README.md"));
    let files = template.files.iter().copied().flatten();
    for (path, text) in files.chain([&readme]) {
        write(&folder.join(path), &fill(text))?;
    }
    Ok(folder)
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
            assert_eq!(project.world(), "app");

            for file in ["README.md", "scenario.yml", "wit/service.wit"] {
                let text = std::fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains("{{"), "{file}: {text}");
            }
        }

        let again = create(parent.path(), "lamp-c", Language::C).unwrap_err();
        assert!(again.to_string().ends_with("lamp-c exists already"));
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
