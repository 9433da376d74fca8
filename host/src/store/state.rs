//! The state of services in the database.

use std::collections::HashMap;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::table::present;
use crate::effects::StateChange;

/// Values by service and key.
const STATE: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("state");

/// The state of each service, by its name.
pub(super) type States = HashMap<String, Vec<(String, Bytes)>>;

/// Writes changes of a service's state.
pub(super) fn write(
    transaction: &WriteTransaction,
    service: &str,
    changes: &[StateChange],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(STATE)?;
    for change in changes {
        let key = (service, change.key.as_str());
        match &change.value {
            Some(value) => {
                table.insert(key, &**value)?;
            }
            None => {
                table.remove(key)?;
            }
        }
    }

    Ok(())
}

/// Reads the state of all services.
pub(super) fn read_all(transaction: &ReadTransaction) -> Result<States, redb::Error> {
    let mut states = States::new();
    let Some(table) = present(transaction.open_table(STATE))? else {
        return Ok(states);
    };

    for entry in table.iter()? {
        let (key, value) = entry?;
        let (service, key) = key.value();
        let values = states.entry(service.to_owned()).or_default();
        values.push((key.to_owned(), Bytes::copy_from_slice(value.value())));
    }

    Ok(states)
}
