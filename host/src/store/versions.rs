//! Versions of services in the database: the history of each service, and snapshots of its former versions.

use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use super::table::present;
use crate::rollout::history::VersionHistory;
use crate::version::Version;

/// The history of each service as JSON, by the service's name.
const HISTORIES: TableDefinition<'_, &str, &str> = TableDefinition::new("versions");
/// Snapshots by service, version, and [`SAVED`] or [`VALUE`] with the key of a value.
const LEFT: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("left");
/// The key of the bytes that `save` returned.
const SAVED: &str = "saved";
/// The prefix of the keys of state values.
const VALUE: &str = "value/";

/// The versions of a service, as they are written.
#[derive(Debug, Clone)]
pub struct VersionRecord {
    /// The history of the service.
    pub history: VersionHistory,
    /// The snapshot of the version that was just replaced.
    pub snapshot: Option<(Version, Snapshot)>,
}

/// The snapshot of a version at the time when it was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The bytes that its `save` returned, if it has one.
    pub saved: Option<Bytes>,
    /// The service's state.
    pub state: Vec<(String, Bytes)>,
}

/// Writes the history of `service` and the new snapshot, and deletes snapshots of versions that are no longer kept.
pub(super) fn write(
    transaction: &WriteTransaction,
    service: &str,
    record: &VersionRecord,
) -> Result<(), redb::Error> {
    let text = serde_json::to_string(&record.history).map_err(corrupted)?;
    transaction
        .open_table(HISTORIES)?
        .insert(service, text.as_str())?;

    let former = record.history.former_versions();
    let kept: Vec<String> = former.iter().map(ToString::to_string).collect();
    let new = record.snapshot.as_ref();
    let new = new.map(|(version, left)| (version.to_string(), left));

    let mut table = transaction.open_table(LEFT)?;
    let end = format!("{service}\0");
    table.retain_in(
        (service, "", "")..(end.as_str(), "", ""),
        |(_, version, _), _| {
            let is_kept = kept.iter().any(|kept| kept == version);
            let is_replaced = new.as_ref().is_some_and(|(new, _)| new == version);
            is_kept && !is_replaced
        },
    )?;

    if let Some((version, left)) = &new {
        if let Some(saved) = &left.saved {
            table.insert((service, version.as_str(), SAVED), &**saved)?;
        }
        for (key, value) in &left.state {
            let key = format!("{VALUE}{key}");
            table.insert((service, version.as_str(), key.as_str()), &**value)?;
        }
    }

    Ok(())
}

/// Reads the history of `service`; `None`: nothing was written.
pub(super) fn history(
    database: &Database,
    service: &str,
) -> Result<Option<VersionHistory>, redb::Error> {
    let Some(table) = present(database.begin_read()?.open_table(HISTORIES))? else {
        return Ok(None);
    };
    let Some(text) = table.get(service)? else {
        return Ok(None);
    };
    serde_json::from_str(text.value())
        .map(Some)
        .map_err(corrupted)
}

/// Reads the snapshot of `version` of `service`; empty when nothing was written.
pub(super) fn snapshot(
    database: &Database,
    service: &str,
    version: Version,
) -> Result<Snapshot, redb::Error> {
    let mut left = Snapshot::default();
    let Some(table) = present(database.begin_read()?.open_table(LEFT))? else {
        return Ok(left);
    };

    let version = version.to_string();
    let end = format!("{version}\0");
    for entry in table.range((service, version.as_str(), "")..(service, end.as_str(), ""))? {
        let (key, value) = entry?;
        let (_, _, key) = key.value();
        let value = Bytes::copy_from_slice(value.value());
        if key == SAVED {
            left.saved = Some(value);
        } else if let Some(key) = key.strip_prefix(VALUE) {
            left.state.push((key.to_owned(), value));
        }
    }

    Ok(left)
}

fn corrupted(error: serde_json::Error) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}
