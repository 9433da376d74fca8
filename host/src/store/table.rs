//! Helpers for tables of the database.

use redb::TableError;

/// The table, or `None` when it was not created yet.
pub(super) fn present<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The error for a record that cannot be written as JSON.
pub(super) fn unwritable(error: serde_json::Error) -> redb::Error {
    redb::Error::Io(error.into())
}
