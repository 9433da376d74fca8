//! The places of the languages' tools, and how to install the missing ones.

use std::path::{Path, PathBuf};

/// A tool is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tool} is not installed; install it with: {command}")]
pub struct MissingTool {
    /// The tool.
    pub tool: &'static str,
    /// The command that installs it.
    pub command: &'static str,
}

/// A tool, as one of several programs.
pub(super) struct Tool {
    /// The names of the programs; the first one that is found counts.
    pub(super) programs: &'static [&'static str],
    /// The command that installs it, in the folder of the project.
    pub(super) command: &'static str,
}

pub(super) const CARGO: Tool = Tool {
    programs: &["cargo"],
    command: "curl https://sh.rustup.rs -sSf | sh && rustup target add wasm32-wasip2",
};
pub(super) const COMPONENTIZE_PY: Tool = Tool {
    programs: &["componentize-py"],
    command: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
};
pub(super) const ESBUILD: Tool = Tool {
    programs: &["esbuild"],
    command: "npm install",
};
pub(super) const TSC: Tool = Tool {
    programs: &["tsc"],
    command: "npm install",
};
pub(super) const COMPONENTIZE_QJS: Tool = Tool {
    programs: &["componentize-qjs"],
    command: "npm install",
};
pub(super) const COMPONENTIZE_JS: Tool = Tool {
    programs: &["componentize-js"],
    command: "npm install --save-dev --save-exact @bytecodealliance/componentize-js@0.23.0",
};
pub(super) const ZIG_OR_CLANG: Tool = Tool {
    programs: &["python-zig", "zig", "clang-19"],
    command: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
};
pub(super) const GO: Tool = Tool {
    programs: &["go"],
    command: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
};

impl Tool {
    /// Finds the program: in the project's own folders of tools, or where the shell looks.
    ///
    /// # Errors
    /// When it is not installed.
    pub(super) fn find(&self, folder: &Path) -> Result<PathBuf, MissingTool> {
        let own = [".venv/bin", "node_modules/.bin"].map(|place| folder.join(place));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = own
            .into_iter()
            .chain(std::env::split_paths(&path))
            .collect();

        for program in self.programs {
            let candidates = places.iter().map(|place| place.join(program));
            // the tools run in the folder of the project
            let found = candidates
                .filter(|path| path.is_file())
                .find_map(|path| std::path::absolute(path).ok());
            if let Some(found) = found {
                return Ok(found);
            }
        }

        Err(MissingTool {
            tool: self.programs.first().copied().unwrap_or_default(),
            command: self.command,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_command() {
        const TOOL: Tool = Tool {
            programs: &["no-such-tool-here"],
            command: "npm install",
        };
        let folder = tempfile::tempdir().unwrap();
        let missing = TOOL.find(folder.path()).unwrap_err().to_string();
        let expected = "no-such-tool-here is not installed; install it with: npm install";
        assert_eq!(missing, expected);

        let bin = folder.path().join("node_modules/.bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("no-such-tool-here"), "").unwrap();
        assert_eq!(TOOL.find(folder.path()), Ok(bin.join("no-such-tool-here")));
    }
}
