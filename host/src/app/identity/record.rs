//! The record of an identity, in a file next to the state file: the client identifier, and the last
//! use.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Prefix of a client identifier that a host made up.
const INVENTED: &str = "miqro";

/// Bytes of the hash in it. 21 of the characters that every broker has to accept (MQTT 5, section 3.1.3.1).
const HASH: usize = 8;

/// Use of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The name of the machine; empty where the system does not say.
    pub machine: String,
    /// The configuration file; `None`: none.
    pub config: Option<PathBuf>,
    /// The services that the command line names, in that order.
    pub services: Vec<String>,
}

/// Record of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The client identifier where the configuration has none.
    pub client_id: String,
    /// Its last use.
    #[serde(flatten)]
    pub origin: Origin,
}

impl Origin {
    /// `config` on this machine. Links are not followed: their targets may change, and nothing must be lost for that.
    pub(super) fn here(config: Option<&Path>, services: Vec<String>) -> Self {
        let config =
            config.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        Self {
            machine: machine(),
            config,
            services,
        }
    }

    /// A client identifier that is another one on another machine, for another file, for other services on the command line and
    /// for another `salt`.
    pub(super) fn client_id(&self, salt: u32) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.machine);
        hash.update([0]);
        hash.update(
            self.config
                .as_deref()
                .unwrap_or(Path::new(""))
                .as_os_str()
                .as_encoded_bytes(),
        );

        for name in &self.services {
            hash.update([0]);
            hash.update(name);
        }
        if salt > 0 {
            hash.update([0, 0]);
            hash.update(salt.to_be_bytes());
        }
        format!("{INVENTED}{}", hex::encode(&hash.finalize()[..HASH]))
    }
}

/// Whether a host made up this client identifier.
pub(super) fn is_invented(client_id: &str) -> bool {
    let digits = client_id.strip_prefix(INVENTED);
    digits.is_some_and(|digits| {
        digits.len() == 2 * HASH && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl Record {
    /// Reads it; `None` if the file is not a record.
    pub(super) fn read(file: &mut File) -> Option<Self> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Overwrites the file in place: a rename would leave the lock on the former file.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn write(&self, file: &mut File) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()
    }
}

/// The name of this machine; empty where the system does not say.
fn machine() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let from_file = files
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok());
    let from_variable = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
    };
    from_file
        .or_else(from_variable)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_identifiers_are_stable_and_distinct() {
        let id = |config: &str, services: &[&str]| {
            let services = services.iter().map(|name| (*name).to_owned()).collect();
            Origin::here(Some(Path::new(config)), services).client_id(0)
        };
        let first = id("/etc/a.yml", &["a"]);
        assert_eq!(first, id("/etc/a.yml", &["a"]));
        for other in [
            id("/etc/b.yml", &["a"]),
            id("/etc/a.yml", &["b"]),
            id("/etc/a.yml", &[]),
        ] {
            assert_ne!(first, other);
        }

        assert!(first.len() <= 23 && is_invented(&first), "{first}");
        assert!(!is_invented("house") && !is_invented("miqro0123") && !is_invented("miqro-host"));
    }
}
