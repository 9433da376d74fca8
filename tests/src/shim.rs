//! A small library in C that the host is started with, and that changes the answers of the system.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::run_to_end;

/// A library in a folder of its own.
#[derive(Debug)]
pub struct Shim {
    folder: TempDir,
}

impl Shim {
    /// Compiles `source`.
    ///
    /// # Errors
    /// When there is no C compiler, or it refuses.
    pub async fn compile(source: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let code = folder.path().join("shim.c");
        let library = folder.path().join("shim.so");
        std::fs::write(&code, source)?;
        let mut command = std::process::Command::new("cc");
        command
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&code);
        let said = run_to_end(&mut command)
            .await
            .context("run `make setup-tests`")?;
        ensure!(said.code == Some(0), "{}", said.err);
        Ok(Self { folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The words that start a program with it, and with the variable `SHIM` that names `file`.
    pub fn launcher(&self, file: &Path) -> Vec<String> {
        let library = format!("LD_PRELOAD={}", self.file("shim.so").display());
        vec!["env".into(), library, format!("SHIM={}", file.display())]
    }
}
