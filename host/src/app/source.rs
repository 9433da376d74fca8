//! Source of the configuration: the paths on the command line, read for a start or for a reload.

use std::path::PathBuf;

use crate::config::{
    Blank, Config, ConfigError, Diagnostic, LoadedConfig, MissingFiles, Selection, Web,
};

/// Paths of the configuration, kept so that it can be read again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file that was named; `None`: the default places are searched.
    pub path: Option<PathBuf>,
    /// The component files that were named.
    pub files: Vec<PathBuf>,
    /// Whether a file may be empty.
    pub allow_empty: bool,
    /// The HTTP server of a configuration without a section `web`.
    pub web: Option<Web>,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<LoadedConfig, ConfigError> {
        let loaded = Config::load(self.path.as_deref(), Selection::Run(&self.files))?;
        Ok(self.with_web(loaded))
    }

    /// Reads it for a start: services whose files are missing are left out, and an empty file is refused unless allowed.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn begin(&self) -> Result<LoadedConfig, ConfigError> {
        let selection = Selection::Run(&self.files);
        let path = self.path.as_deref();
        let loaded = Config::load_with(path, selection, MissingFiles::LeaveOut)?;
        self.accept(self.with_web(loaded))
    }

    fn with_web(&self, mut loaded: LoadedConfig) -> LoadedConfig {
        loaded.config.web = loaded.config.web.or_else(|| self.web.clone());
        loaded
    }

    /// Refuses an empty file if it was not allowed.
    ///
    /// # Errors
    /// Says so.
    pub fn accept(&self, loaded: LoadedConfig) -> Result<LoadedConfig, ConfigError> {
        match loaded.blank {
            Some(blank) if !self.allow_empty => Err(empty(
                blank,
                &loaded.config,
                "if that is meant, start with --allow-empty",
            )),
            _ => Ok(loaded),
        }
    }
}

/// A file that is empty where it must not be.
pub(super) fn empty(blank: Blank, config: &Config, advice: &str) -> ConfigError {
    let file = config.file.clone();
    let message = format!("{blank}; {advice}");
    ConfigError(vec![Diagnostic {
        file,
        line: None,
        column: None,
        key: String::new(),
        message,
        awaited: None,
    }])
}
