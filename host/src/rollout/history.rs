//! The version history of one service: which version runs, which former ones are kept, which were rolled back, and the
//! events that led there. Pure: the time is an argument.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::version::Version;

/// Entries of a history that are kept.
const ENTRIES: usize = 50;

/// How a version started or stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryEvent {
    /// It runs since the host, or the service, was started.
    Started,
    /// It replaced the version that ran before.
    Swapped,
    /// It runs with another section of the configuration.
    Configured,
    /// It was restarted by command.
    Restarted,
    /// It passed its probation.
    Passed,
    /// It ran as a shadow and was compared with the running version.
    Shadowed,
    /// It was replaced by the former version and is not started again from the same file.
    RolledBack,
    /// It runs again in place of a version that was rolled back.
    PutBack,
    /// It was not started, or did not start.
    Refused,
}

impl HistoryEvent {
    /// The event in words, as `history` shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Swapped => "swapped",
            Self::Configured => "configured",
            Self::Restarted => "restarted",
            Self::Passed => "passed",
            Self::Shadowed => "shadowed",
            Self::RolledBack => "rolled back",
            Self::PutBack => "put back",
            Self::Refused => "refused",
        }
    }
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// The version; `None`: its file holds no component that can be loaded.
    pub version: Option<Version>,
    /// Event in the life of the version.
    #[serde(rename = "what")]
    pub event: HistoryEvent,
    /// The reason, and other details.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The versions of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VersionHistory {
    running: Option<Version>,
    /// Former versions that are kept, the last one first.
    former: Vec<Version>,
    /// Versions that were rolled back. They are not started again until the file has other bytes.
    #[serde(rename = "refused", default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Version>,
    /// Whether the running version is on probation.
    #[serde(rename = "trial", default, skip_serializing_if = "std::ops::Not::not")]
    on_probation: bool,
    #[serde(rename = "events")]
    entries: VecDeque<HistoryEntry>,
}

/// No kept version can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The service has no former version.
    #[error("no former version is kept")]
    NoneKept,
    /// No kept version begins with the text.
    #[error("no former version begins with {prefix:?}; kept are {kept}")]
    Unknown {
        /// The text.
        prefix: String,
        /// The kept versions.
        kept: String,
    },
    /// More than one kept version begins with the text.
    #[error("{prefix:?} is the beginning of several versions; kept are {kept}")]
    Ambiguous {
        /// The text.
        prefix: String,
        /// The kept versions.
        kept: String,
    },
}

impl VersionHistory {
    /// The running version.
    pub fn running(&self) -> Option<Version> {
        self.running
    }

    /// The former versions that are kept, the last one first.
    pub fn former_versions(&self) -> &[Version] {
        &self.former
    }

    /// The versions that were rolled back and are not started again until the file has other bytes.
    pub fn rejected(&self) -> &[Version] {
        &self.rejected
    }

    /// Whether the running version is on probation.
    pub fn is_on_probation(&self) -> bool {
        self.on_probation
    }

    /// Begins or ends the probation of the running version.
    pub fn set_on_probation(&mut self, on_probation: bool) {
        self.on_probation = on_probation;
    }

    /// The entries, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.entries.iter()
    }

    /// Every version whose component is kept.
    pub fn kept_versions(&self) -> impl Iterator<Item = Version> {
        self.running.into_iter().chain(self.former.iter().copied())
    }

    /// Makes `version` the running one and keeps `keep` former ones. Returns the version that it replaced, if that is kept.
    pub fn set_running(&mut self, version: Version, keep: usize) -> Option<Version> {
        let replaced = self
            .running
            .replace(version)
            .filter(|replaced| *replaced != version);

        self.former
            .retain(|former| *former != version && Some(*former) != replaced);
        self.former.splice(0..0, replaced);
        self.former.truncate(keep);

        if replaced.is_some() {
            self.rejected.clear();
            self.on_probation = false;
        }

        replaced.filter(|replaced| self.former.contains(replaced))
    }

    /// Makes the former version `to` the running one again and rejects the version that runs now.
    pub fn roll_back(&mut self, to: Version, reason: &str, at: u64) {
        let from = self.running.replace(to);
        self.rejected.extend(from);
        self.on_probation = false;
        self.former.retain(|former| *former != to);

        self.record(from, HistoryEvent::RolledBack, reason.to_owned(), at);
        self.record(Some(to), HistoryEvent::PutBack, String::new(), at);
    }

    /// Permits versions that were rolled back: the file has had other bytes since.
    pub fn clear_rejected(&mut self) {
        self.rejected.clear();
    }

    /// Records an event that does not change which versions there are. A repetition only updates the time of the last entry.
    pub fn record(&mut self, version: Option<Version>, event: HistoryEvent, note: String, at: u64) {
        if let Some(last) = self.entries.back_mut()
            && (last.version, last.event, &last.note) == (version, event, &note)
        {
            last.at = at;
            return;
        }

        self.entries.push_back(HistoryEntry {
            at,
            version,
            event,
            note,
        });

        if self.entries.len() > ENTRIES {
            self.entries.pop_front();
        }
    }

    /// Finds the version to roll back to: the last former one, or the one that begins with `prefix`.
    ///
    /// # Errors
    /// When no version, or more than one, matches.
    pub fn find_former(&self, prefix: Option<&str>) -> Result<Version, FindError> {
        let last = self.former.first().copied().ok_or(FindError::NoneKept)?;
        let Some(prefix) = prefix else {
            return Ok(last);
        };

        let lowercase = prefix.to_ascii_lowercase();
        let mut matches = self
            .former
            .iter()
            .filter(|version| version.to_string().starts_with(&lowercase));
        let prefix = prefix.to_owned();

        match (matches.next(), matches.next()) {
            (Some(version), None) => Ok(*version),
            (None, _) => Err(FindError::Unknown {
                prefix,
                kept: self.list_former(),
            }),
            (Some(_), Some(_)) => Err(FindError::Ambiguous {
                prefix,
                kept: self.list_former(),
            }),
        }
    }

    fn list_former(&self) -> String {
        let short: Vec<_> = self.former.iter().map(|version| version.short()).collect();
        short.join(", ")
    }
}

/// Formats milliseconds since 1970 as an RFC 3339 time: `2026-01-31T12:00:00Z`.
pub fn format_utc(at: u64) -> String {
    let days = at / 86_400_000;
    let seconds = at / 1_000 % 86_400;

    // the Gregorian calendar repeats itself after 146,097 days; years are counted from March, so that a leap day is a year's last
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day = shifted % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 {
        (month + 3, year)
    } else {
        (month - 9, year + 1)
    };

    let hour = seconds / 3_600;
    let minute = seconds / 60 % 60;
    let second = seconds % 60;
    let year = year + era * 400;
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    );
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn version(number: u8) -> Version {
        Version::new([number; 32])
    }

    fn set_running(history: &mut VersionHistory, number: u8, event: HistoryEvent, keep: usize) {
        history.set_running(version(number), keep);
        history.record(Some(version(number)), event, String::new(), 0);
    }

    fn history(versions: impl IntoIterator<Item = u8>, keep: usize) -> VersionHistory {
        let mut history = VersionHistory::default();
        for number in versions {
            set_running(&mut history, number, HistoryEvent::Swapped, keep);
        }
        history
    }

    #[test]
    fn the_last_versions_are_kept() {
        let history = history(1..=6, 3);
        assert_eq!(
            (history.running(), history.former_versions()),
            (Some(version(6)), &[version(5), version(4), version(3)][..])
        );
    }

    #[test]
    fn a_version_that_comes_again_is_no_former_one() {
        let history = history([1, 2, 1], 3);
        assert_eq!(
            (history.running(), history.former_versions()),
            (Some(version(1)), &[version(2)][..])
        );
    }

    #[test]
    fn going_back_keeps_the_bad_one_out_until_another_comes() {
        let mut history = history([1, 2, 3], 3);
        history.roll_back(version(2), "it broke", 9);
        assert_eq!(
            (history.running(), history.rejected()),
            (Some(version(2)), &[version(3)][..])
        );
        assert_eq!(history.former_versions(), [version(1)]);
        // a start of the host with the version that was put back changes nothing
        set_running(&mut history, 2, HistoryEvent::Started, 3);
        assert_eq!(history.rejected(), [version(3)]);
        set_running(&mut history, 4, HistoryEvent::Swapped, 3);
        assert_eq!(
            (history.rejected(), history.former_versions()),
            (&[][..], &[version(2), version(1)][..])
        );
        let words: Vec<_> = history
            .entries()
            .map(|entry| entry.event.as_str())
            .collect();
        assert_eq!(
            words,
            [
                "swapped",
                "swapped",
                "swapped",
                "rolled back",
                "put back",
                "started",
                "swapped"
            ]
        );
    }

    #[test]
    fn going_back_twice_keeps_both_out() {
        let mut history = history([1, 2, 3], 3);
        history.roll_back(version(2), "", 0);
        history.roll_back(version(1), "", 0);
        assert_eq!(history.rejected(), [version(3), version(2)]);
        history.clear_rejected();
        assert_eq!(history.rejected(), []);
    }

    #[test]
    fn former_versions_are_found_by_how_they_begin() {
        let history = history([0x11, 0x12, 0xab, 0xff], 3);
        assert_eq!(history.find_former(None), Ok(version(0xab)));
        assert_eq!(history.find_former(Some("12")), Ok(version(0x12)));
        assert!(
            history
                .find_former(Some("1"))
                .unwrap_err()
                .to_string()
                .contains("several")
        );

        assert!(
            history
                .find_former(Some("cc"))
                .unwrap_err()
                .to_string()
                .contains("kept are abababababab, 121212121212, 111111111111")
        );

        assert!(
            VersionHistory::default()
                .find_former(None)
                .unwrap_err()
                .to_string()
                .contains("no former version")
        );
    }

    #[test]
    fn the_book_is_bounded_and_what_repeats_itself_is_one_entry() {
        let mut history = VersionHistory::default();
        for at in 0..500u64 {
            history.record(
                None,
                HistoryEvent::Refused,
                format!("reason {}", at / 2),
                at,
            );
        }

        assert_eq!(history.entries().count(), ENTRIES);
        assert_eq!(history.entries().last().map(|entry| entry.at), Some(499));
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(
            serde_json::from_str::<VersionHistory>(&text).unwrap(),
            history
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let times = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ];

        for (at, text) in times {
            assert_eq!(format_utc(at), text);
        }
    }

    proptest! {
        #[test]
        fn no_version_is_kept_twice_and_no_more_than_wanted(versions in prop::collection::vec(0..6u8, 0..40), keep in 0..5usize) {
            let history = history(versions, keep);
            let mut kept: Vec<_> = history.kept_versions().collect();
            prop_assert!(kept.len() <= keep + 1);
            kept.sort();
            kept.dedup();
            prop_assert_eq!(kept.len(), history.kept_versions().count());
        }
    }
}
