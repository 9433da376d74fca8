//! The section `timers` of a service.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::ServiceTimer;
use super::key::Key;
use super::units::LONGEST;
use super::value::ConfigValue;

/// Periods that are accepted.
const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=LONGEST;

/// Bytes that the name of a timer may have, as in the contract.
const NAME_BYTES: usize = 256;

/// Reads the section, of at most `most` timers.
pub(super) fn read_timers(value: ConfigValue<'_>, most: usize) -> Vec<ServiceTimer> {
    let all = value.clone().into_section().into_named();
    if all.len() > most {
        let count = all.len();
        value.error(format!(
            "{count} timers are more than limits.timers, {most}"
        ));
    }

    let timers = all
        .into_iter()
        .filter_map(|(name, value)| read_timer(name, &value));
    timers.collect()
}

fn read_timer(name: &str, value: &ConfigValue<'_>) -> Option<ServiceTimer> {
    if name.is_empty() || name.len() > NAME_BYTES {
        value.error(format!(
            "expected a name of 1 to {NAME_BYTES} bytes, found one of {}",
            name.len()
        ));
        return None;
    }

    let period = value.duration(PERIODS)?;
    Some(ServiceTimer {
        name: name.to_owned(),
        period,
    })
}

/// The key for the reference.
pub(super) fn key() -> Key {
    Key::new(
        "timers",
        "Timers besides those that the service sets itself: a period by name. Each is due when the service starts and then \
         every period. `timers.due` tells the service the name.",
        "section of durations, 1ms to 36500d",
    )
    .example("{beat: 10s}")
}
