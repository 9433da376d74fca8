//! Subscriptions that guests made at their last start. A service that starts late gets its messages by them until its guest runs.

use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use super::table::{present, unwritable};
use crate::message::{Qos, Subscription};
use crate::topic::Filter;

/// The subscriptions of each service as JSON, by the service's name.
const SUBSCRIPTIONS: TableDefinition<'_, &str, &str> = TableDefinition::new("subscriptions");

/// Writes the subscriptions of `service`, in place of earlier ones.
pub(super) fn write(
    transaction: &WriteTransaction,
    service: &str,
    subscriptions: &[Subscription],
) -> Result<(), redb::Error> {
    let pairs: Vec<(&str, Qos)> = subscriptions
        .iter()
        .map(|one| (one.filter.as_str(), one.qos))
        .collect();
    let text = serde_json::to_string(&pairs).map_err(unwritable)?;
    transaction
        .open_table(SUBSCRIPTIONS)?
        .insert(service, text.as_str())?;
    Ok(())
}

/// Reads the subscriptions of `service`; `None`: nothing was written.
pub(super) fn read(
    database: &Database,
    service: &str,
) -> Result<Option<Vec<Subscription>>, redb::Error> {
    let Some(table) = present(database.begin_read()?.open_table(SUBSCRIPTIONS))? else {
        return Ok(None);
    };
    let Some(text) = table.get(service)? else {
        return Ok(None);
    };

    let corrupted = |reason: String| redb::Error::Corrupted(reason);
    let pairs: Vec<(String, Qos)> =
        serde_json::from_str(text.value()).map_err(|error| corrupted(error.to_string()))?;
    let subscription = |(filter, qos): (String, Qos)| {
        let filter = Filter::new(&filter).map_err(|error| corrupted(error.to_string()))?;
        Ok(Subscription { filter, qos })
    };
    pairs
        .into_iter()
        .map(subscription)
        .collect::<Result<_, _>>()
        .map(Some)
}
