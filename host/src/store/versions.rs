//! Machine: what the database has about versions of services. In: records. Out: the history of a service, and what a former version
//! left. Owns nothing; the tables are in the database file.

use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use super::{Left, Record};
use crate::rollout::history::VersionHistory;
use crate::version::Version;

/// The history of each service as JSON, by the service's name.
const HISTORIES: TableDefinition<'_, &str, &str> = TableDefinition::new("versions");
/// What former versions left, by service, version, and [`SAVED`] or [`VALUE`] with the key of a value.
const LEFT: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("left");
/// What `save` gave.
const SAVED: &str = "saved";
/// What the key of a value of the state begins with.
const VALUE: &str = "value/";

/// Writes what is to be kept about `service`; what versions left that are no longer kept goes.
pub(super) fn write(
    transaction: &WriteTransaction,
    service: &str,
    record: &Record,
) -> Result<(), redb::Error> {
    let text = serde_json::to_string(&record.history)
        .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    transaction
        .open_table(HISTORIES)?
        .insert(service, text.as_str())?;
    let mut table = transaction.open_table(LEFT)?;
    let kept: Vec<String> = record
        .history
        .former_versions()
        .iter()
        .map(ToString::to_string)
        .collect();
    let new = record
        .left
        .as_ref()
        .map(|(version, left)| (version.to_string(), left));
    let stays = |version: &str| {
        kept.iter().any(|kept| kept == version)
            && new.as_ref().is_none_or(|(new, _)| new != version)
    };
    let after = format!("{service}\0");
    table.retain_in(
        (service, "", "")..(after.as_str(), "", ""),
        |(_, version, _), _| stays(version),
    )?;
    if let Some((version, left)) = &new {
        if let Some(saved) = &left.saved {
            table.insert((service, version.as_str(), SAVED), &**saved)?;
        }
        for (key, value) in &left.state {
            table.insert(
                (service, version.as_str(), format!("{VALUE}{key}").as_str()),
                &**value,
            )?;
        }
    }
    Ok(())
}

/// The history of `service`; `None`: there is none, or none that can be read.
pub(super) fn history(
    database: &Database,
    service: &str,
) -> Result<Option<VersionHistory>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(HISTORIES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    let Some(text) = table.get(service)? else {
        return Ok(None);
    };
    serde_json::from_str(text.value())
        .map(Some)
        .map_err(|error| redb::Error::Corrupted(error.to_string()))
}

/// What `version` of `service` left; nothing where nothing was written.
pub(super) fn left(
    database: &Database,
    service: &str,
    version: Version,
) -> Result<Left, redb::Error> {
    let (transaction, version) = (database.begin_read()?, version.to_string());
    let table = match transaction.open_table(LEFT) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Left::default()),
        table => table?,
    };
    let (mut left, after) = (Left::default(), format!("{version}\0"));
    for entry in table.range((service, version.as_str(), "")..(service, after.as_str(), ""))? {
        let (key, value) = entry?;
        let value = Bytes::copy_from_slice(value.value());
        match (key.value().2, key.value().2.strip_prefix(VALUE)) {
            (SAVED, _) => left.saved = Some(value),
            (_, Some(key)) => left.state.push((key.to_owned(), value)),
            _ => {}
        }
    }
    Ok(left)
}
