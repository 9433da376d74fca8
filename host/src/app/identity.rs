//! The identity of a host: the session at the broker and the state that are its own. It is locked
//! while the host runs.
//!
//! An identity is a state file with a record next to it (`<state file>.identity`): the client
//! identifier, and the configuration and machine of its last use. So a host finds its session and
//! its services' state again under another host name, with its configuration elsewhere, or with one
//! more component on its command line.

mod choice;
mod record;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::config::{Broker, Config};
use crate::{config, secure_dir};

use choice::{Choice, ExistingIdentity, Why, choose};
use record::{Origin, Record, is_invented};

/// Suffix of a state file's name.
const STATE: &str = "redb";

/// Suffix of a record's name, after that of its state file.
const RECORD: &str = ".identity";

/// Identities that are named in one line of the log.
const SHOWN: usize = 3;

/// The reason why a host has no identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// Another host has it.
    #[error(
        "the state file {0}: another host uses it; a second host with this configuration needs a client_id and a state_file \
         of its own"
    )]
    InUse(PathBuf),
}

/// Identity of a host: its session and its state.
#[derive(Debug)]
pub(super) struct Identity {
    state_file: PathBuf,
    client_id: String,
    /// The record, locked; `None` where it cannot be kept.
    _lock: Option<File>,
}

/// A record that exists or will be written, with its lock if it could be taken.
struct RecordFile {
    file: Option<File>,
    record: Option<Record>,
    in_use: bool,
}

impl Identity {
    /// The identity of the host that runs `config`; `named`: its services were named on the command line.
    ///
    /// # Errors
    /// When another host uses it.
    pub(super) fn of(config: &Config, named: bool) -> Result<Self, IdentityError> {
        let services = config
            .services
            .iter()
            .filter(|_| named)
            .map(|service| service.name.clone());
        let origin = Origin::here(config.file.as_deref(), services.collect());
        if let Some(state_file) = config.state_file.clone() {
            let opened = open(&state_file);
            return Self::take(state_file, opened, origin);
        }
        let directory = super::state::directory();
        // so that of two hosts that start at the same time one sees the other's choice
        let _one_at_a_time = secure_dir::create(&directory)
            .and_then(|()| File::open(&directory))
            .and_then(|directory| {
                directory.lock()?;
                Ok(directory)
            });
        Self::choose(&directory, origin, connection(config).client_id.as_str())
    }

    /// Completes `config`: sets the client identifier if none is configured.
    pub(super) fn complete(&self, config: &mut Config) {
        complete(config, &self.client_id);
    }

    /// The client identifier of a host whose configuration has none.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The state file.
    pub(super) fn state_file(&self) -> &Path {
        &self.state_file
    }

    fn choose(directory: &Path, origin: Origin, configured: &str) -> Result<Self, IdentityError> {
        let stems = stems(directory);
        let preferred = if configured.is_empty() {
            origin.client_id(0)
        } else {
            safe(configured)
        };
        let mut opened: Vec<RecordFile> = stems
            .iter()
            .map(|stem| open(&state_file(directory, stem)))
            .collect();
        let known: Vec<ExistingIdentity> = (stems.iter().zip(&opened))
            .map(|(stem, opened)| {
                ExistingIdentity::new(stem.clone(), opened.record.as_ref(), opened.in_use)
            })
            .collect();
        let explicit = !configured.is_empty();
        let (stem, opened) = match choose(&origin, &preferred, explicit, &known) {
            Choice::InUse(index) => {
                return Err(IdentityError::InUse(state_file(directory, &stems[index])));
            }
            Choice::Existing(index, why) => {
                say_adopted(why, &known[index], directory);
                (stems[index].clone(), opened.swap_remove(index))
            }
            Choice::New => {
                say_others(&known, directory);
                let taken = |stem: &String| stems.contains(stem);
                let free = (0..)
                    .map(|salt| origin.client_id(salt))
                    .find(|stem| !taken(stem))
                    .unwrap_or_default();
                let stem = if explicit { preferred } else { free };
                let opened = open(&state_file(directory, &stem));
                (stem, opened)
            }
        };

        Self::take(state_file(directory, &stem), opened, origin)
    }

    /// Takes the identity of `state_file`, and records its present use.
    fn take(
        state_file: PathBuf,
        opened: RecordFile,
        origin: Origin,
    ) -> Result<Self, IdentityError> {
        if opened.in_use {
            return Err(IdentityError::InUse(state_file));
        }
        let stem = state_file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|stem| is_invented(stem));
        let known = opened
            .record
            .as_ref()
            .map(|record| record.client_id.clone());
        let client_id = known
            .or_else(|| stem.map(str::to_owned))
            .unwrap_or_else(|| origin.client_id(0));
        let record = Record { client_id, origin };
        let mut lock = opened.file;
        if opened.record.as_ref() != Some(&record)
            && let Err(error) = keep(&state_file, &record, &mut lock)
        {
            let path = record_of(&state_file);
            warn!(
                "{}: the identity of this host cannot be kept: {error}; under another host name, or with its configuration \
                 elsewhere, it will not find its session again",
                path.display()
            );
        }

        Ok(Self {
            state_file,
            client_id: record.client_id,
            _lock: lock,
        })
    }
}

/// Sets `client_id` if `config` has none.
pub(super) fn complete(config: &mut Config, client_id: &str) {
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &mut config.broker;
    if connection.client_id.is_empty() {
        client_id.clone_into(&mut connection.client_id);
    }
}

fn connection(config: &Config) -> &config::Connection {
    let (Broker::Embedded(_, connection) | Broker::Remote(connection)) = &config.broker;
    connection
}

/// Converts a client identifier to a valid file name.
fn safe(client_id: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };

    client_id.chars().map(safe).collect()
}

fn state_file(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.{STATE}"))
}

fn record_of(state_file: &Path) -> PathBuf {
    let mut path = OsString::from(state_file);
    path.push(RECORD);
    path.into()
}

/// The names of the identities in `directory`.
fn stems(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let stem = |name: String| {
        let state = name.strip_suffix(RECORD).unwrap_or(&name);
        Some(state.strip_suffix(STATE)?.strip_suffix('.')?.to_owned())
    };
    names
        .filter_map(stem)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Opens the record of `state_file`, if there is one, and locks it. Without one the state file says whether it is in use.
fn open(state_file: &Path) -> RecordFile {
    let path = record_of(state_file);
    let writable = OpenOptions::new().read(true).write(true).open(&path);
    match writable.or_else(|_| File::open(&path)) {
        Ok(mut file) => {
            let in_use = is_locked(&file);
            RecordFile {
                record: Record::read(&mut file),
                file: Some(file),
                in_use,
            }
        }
        Err(_) => {
            // the database's own lock, of a host that keeps no records; ours ends here, so that the database can be opened
            let in_use = File::open(state_file).is_ok_and(|file| is_locked(&file));
            RecordFile {
                file: None,
                record: None,
                in_use,
            }
        }
    }
}

/// Whether somebody else has locked the file; if not, it is locked now.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Writes the record, and makes it first where there is none.
fn keep(state_file: &Path, record: &Record, lock: &mut Option<File>) -> io::Result<()> {
    let file = match lock {
        Some(file) => file,
        None => {
            secure_dir::create(state_file.parent().unwrap_or(Path::new(".")))?;
            let path = record_of(state_file);
            let made = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;

            if is_locked(&made) {
                return Err(io::Error::other("another host makes it at the same time"));
            }
            lock.insert(made)
        }
    };

    record.write(file)
}

fn say_adopted(why: Why, known: &ExistingIdentity, directory: &Path) {
    let of = format!("{} in {}", known, directory.display());
    match why {
        Why::Own => {}
        Why::Configuration => {
            info!("goes on with the session and the state of {of}: it is this configuration's")
        }
        Why::OnlyOne => info!("goes on with the session and the state of {of}: there is no other"),
    }
}

fn say_others(known: &[ExistingIdentity], directory: &Path) {
    let named: Vec<String> = known.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = known.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    if let Some(first) = known.first() {
        warn!(
            "begins without a session and without state: in {} lies what belongs to {}{more}; to go on with one of them write \
             its file, for example state_file: {}",
            directory.display(),
            named.join(", "),
            state_file(directory, first.stem()).display()
        );
    }
}

#[cfg(test)]
mod tests;
