//! Projects of services: their languages, builds with the tools of the language, and new projects.

mod encode;
mod language;
pub mod scaffold;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};

pub use encode::EncodeError;
pub use language::Language;
pub use toolchain::BuildError;
pub use tools::MissingTool;

/// The folder of intermediate files.
const BUILD_FOLDER: &str = "build";

/// The engine that runs JavaScript inside a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Small and quick, without the Web's interfaces.
    QuickJs,
    /// With `fetch` and the Web's other interfaces: large, and slow for each message.
    SpiderMonkey,
}

/// A folder with a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// The language, by the files in it.
    pub language: Language,
    /// The name of the service.
    pub name: String,
}

/// A folder is not a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// It has none of the files by which a project is recognised.
    #[error(
        "{0}: expected Cargo.toml, pyproject.toml, package.json, go.mod, app.c or app.cpp, found none of them; `miqro-host new` makes \
         a project"
    )]
    NotFound(PathBuf),
    /// The file that describes it cannot be read.
    #[error("{path}: {reason}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl Project {
    /// Recognises the project in `folder`.
    ///
    /// # Errors
    /// When there is none, or its description cannot be read.
    pub fn find(folder: &Path) -> Result<Self, ProjectError> {
        let language = Language::find(folder);
        let language = language.ok_or_else(|| ProjectError::NotFound(folder.to_owned()))?;
        let name = language.project_name(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            language,
            name,
        })
    }

    /// The component that building it makes.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// Builds the component. The output of the tools goes to the terminal.
    ///
    /// # Errors
    /// When a tool is missing or fails, or the language has no such engine.
    pub fn build(&self, engine: Engine) -> Result<PathBuf, BuildError> {
        toolchain::build(self, engine)
    }

    /// A file in the folder of intermediate files.
    fn intermediate(&self, file: &str) -> PathBuf {
        Path::new(BUILD_FOLDER).join(file)
    }

    /// The world that it fulfils: its own one, `app`, or the one that most services need.
    fn world(&self) -> &'static str {
        if self.folder.join("wit/app.wit").exists() {
            "app"
        } else {
            "service-with-lifecycle"
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_javascript_is_built_for_the_web() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.c"), "").unwrap();
        let project = Project::find(folder.path()).unwrap();
        let error = project.build(Engine::SpiderMonkey).unwrap_err();
        let expected = "expected a service in JavaScript or TypeScript for --web, found one in C";
        assert_eq!(error.to_string(), expected);
        assert!(!folder.path().join(BUILD_FOLDER).exists());
    }
}
