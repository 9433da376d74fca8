//! Languages of services, and the files by which a project is recognised.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::ProjectError;

/// A language that services are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// C.
    C,
    /// C++.
    Cpp,
    /// Go.
    Go,
}

impl Language {
    /// All of them, with their words on the command line.
    pub const ALL: [(&'static str, Self); 7] = [
        ("rust", Self::Rust),
        ("python", Self::Python),
        ("js", Self::JavaScript),
        ("ts", Self::TypeScript),
        ("c", Self::C),
        ("cpp", Self::Cpp),
        ("go", Self::Go),
    ];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, language)| *language == self);
        found.map_or("", |(word, _)| word)
    }

    /// The language of the project in `folder`.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        let has = |file: &str| folder.join(file).is_file();
        let found = [
            ("Cargo.toml", Self::Rust),
            ("pyproject.toml", Self::Python),
            ("tsconfig.json", Self::TypeScript),
            ("package.json", Self::JavaScript),
            ("go.mod", Self::Go),
            ("app.cpp", Self::Cpp),
            ("app.c", Self::C),
        ];

        let found = found.into_iter().find(|(file, _)| has(file));
        found.map(|(_, language)| language)
    }

    /// The name of the service in `folder`: of its manifest, or of the folder.
    pub(super) fn project_name(self, folder: &Path) -> Result<String, ProjectError> {
        let manifest = match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::JavaScript | Self::TypeScript => "package.json",
            Self::Go => "go.mod",
            Self::C | Self::Cpp => return folder_name(folder),
        };

        let path = folder.join(manifest);
        let text = std::fs::read_to_string(&path).map_err(|error| ProjectError::Manifest {
            path: path.clone(),
            reason: error.to_string(),
        })?;

        let name = match self {
            Self::JavaScript | Self::TypeScript => json_name(&text),
            Self::Go => text
                .lines()
                .find_map(|line| line.strip_prefix("module "))
                .map(|module| module.trim().to_owned()),
            _ => toml_name(&text),
        };

        // `@scope/name` of npm and `example.com/name` of Go end with the name
        let name = name.and_then(|name| Some(name.rsplit('/').next()?.to_owned()));
        let name = name.filter(|name| !name.is_empty());
        name.ok_or_else(|| ProjectError::Manifest {
            path,
            reason: "expected the name of the project, found none".to_owned(),
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Go => "Go",
        })
    }
}

fn folder_name(folder: &Path) -> Result<String, ProjectError> {
    let name = std::path::absolute(folder).ok();
    let name = name.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    name.ok_or_else(|| ProjectError::Manifest {
        path: folder.to_owned(),
        reason: "expected a folder whose name is text".to_owned(),
    })
}

fn json_name(text: &str) -> Option<String> {
    let manifest: Value = serde_json::from_str(text).ok()?;
    Some(manifest["name"].as_str()?.to_owned())
}

/// The value of `name` in the section `[package]` or `[project]`.
fn toml_name(text: &str) -> Option<String> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.strip_prefix("name").map(str::trim_start);
        let name = name.and_then(|rest| rest.strip_prefix('='));
        if let (Some(name), "[package]" | "[project]") = (name, section) {
            return Some(name.trim().trim_matches(['"', '\'']).to_owned());
        }
    }

    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn name(files: &[(&str, &str)]) -> Result<(Language, String), String> {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let project = super::super::Project::find(folder.path());
        let project = project.map_err(|error| error.to_string())?;
        Ok((project.language, project.name))
    }

    #[test]
    fn a_project_is_recognised_by_its_files() {
        let found = |language, name: &str| Ok((language, name.to_owned()));
        let cargo = "[workspace]\nname = \"no\"\n[package]\nname = \"lamp\" \n";
        assert_eq!(
            name(&[("Cargo.toml", cargo)]),
            found(Language::Rust, "lamp")
        );
        let python = "[project]\nname='lamp'\n";
        assert_eq!(
            name(&[("pyproject.toml", python)]),
            found(Language::Python, "lamp")
        );
        let npm = ("package.json", "{\"name\": \"@home/lamp\"}");
        assert_eq!(name(&[npm]), found(Language::JavaScript, "lamp"));
        assert_eq!(
            name(&[npm, ("tsconfig.json", "{}")]),
            found(Language::TypeScript, "lamp")
        );
        assert_eq!(
            name(&[("go.mod", "module x.example/lamp\n\ngo 1.24\n")]),
            found(Language::Go, "lamp")
        );
        assert_eq!(name(&[("app.c", "")]).unwrap().0, Language::C);

        assert!(
            name(&[])
                .unwrap_err()
                .contains("expected Cargo.toml, pyproject.toml")
        );
        assert!(
            name(&[("go.mod", "")])
                .unwrap_err()
                .contains("expected the name of the project")
        );
    }
}
