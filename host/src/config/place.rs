//! Where a configuration is read: its file, the directory that relative paths start from, the machine, and what it refers
//! to (files and environment variables with secrets). In: the path of the file. Out: paths and texts. Owns nothing.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What the readers know about their surroundings.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file as it was named; `None` when there is none.
    pub file: Option<PathBuf>,
    dir: PathBuf,
    machine: String,
}

impl Place {
    /// The surroundings of `file`; without one, of the working directory.
    pub fn of(file: Option<&Path>) -> Self {
        let dir = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        Self { file: file.map(Path::to_owned), dir, machine: machine() }
    }

    /// `text` as an absolute path, relative paths starting from the directory of the file.
    pub fn path(&self, text: &str) -> PathBuf {
        let path = self.dir.join(text);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The text of the file named `text`, without the line end at its end.
    pub fn file_text(&self, text: &str) -> Result<String, String> {
        let path = self.path(text);
        let content = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(content.strip_suffix('\n').map_or(content.as_str(), |c| c.strip_suffix('\r').unwrap_or(c)).to_owned())
    }

    /// The value of the environment variable `name`.
    pub fn variable(&self, name: &str) -> Result<String, String> {
        std::env::var(name).map_err(|error| format!("cannot read the environment variable {name}: {error}"))
    }

    /// A client identifier that is the same at every start, and another one on another machine, for another file and for
    /// another set of services named on the command line. 21 of the characters that every broker has to accept (MQTT 5,
    /// section 3.1.3.1).
    pub fn client_id(&self, named: &[String]) -> String {
        // links are not followed: where one leads may change, and the session must not be lost for that
        let file = self.file.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
        let mut hash = Sha256::new();
        hash.update(&self.machine);
        hash.update([0]);
        hash.update(file.unwrap_or_default().as_os_str().as_encoded_bytes());
        for name in named {
            hash.update([0]);
            hash.update(name);
        }
        let digits = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("miqro{digits}")
    }
}

/// The name of this machine; empty where the system does not say.
fn machine() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let from_file = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    let from_variable = || ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    from_file.or_else(from_variable).unwrap_or_default().trim().to_owned()
}
