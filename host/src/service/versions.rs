//! Pure: the versions of a service. In: versions as they come and go, and the time. Out: which one runs, which former ones are kept,
//! which one is not to be taken again, and the history. Owns the book of one service; no clock, no I/O.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Entries of a history that are kept.
const EVENTS: usize = 50;

/// Digits of a version that are shown.
const SHORT: usize = 12;

/// Names a version: the SHA-256 of its component's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version([u8; 32]);

impl Version {
    /// The version with this hash.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Enough of it to tell versions apart in a log: twelve digits.
    pub fn short(self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version: 64 hexadecimal digits")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.to_owned());
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

/// How a version came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It runs since the host, or the service, was started.
    Started,
    /// It took the former one's place.
    Swapped,
    /// It runs with another section of the configuration.
    Configured,
    /// It was started anew by command.
    Restarted,
    /// Its probation ended well.
    Passed,
    /// It was compared with the running one.
    Shadowed,
    /// It was replaced by the former one again, and is not taken a second time.
    RolledBack,
    /// It runs again in place of one that was rolled back.
    PutBack,
    /// It does not run.
    Refused,
}

impl What {
    /// Its word.
    pub const fn word(self) -> &'static str {
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
pub struct Event {
    /// When, in milliseconds since 1970 (UTC).
    pub at: u64,
    /// Which version; `None`: its file holds none.
    pub version: Option<Version>,
    /// What happened to it.
    pub what: What,
    /// Why, and what there is to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The versions of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    running: Option<Version>,
    /// Those before it that are kept, the last one first.
    former: Vec<Version>,
    /// Those that were rolled back since the file had other bytes: they are not taken again until it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Version>,
    /// Whether the version that runs is on probation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    trial: bool,
    events: VecDeque<Event>,
}

impl Book {
    /// The version that runs.
    pub fn running(&self) -> Option<Version> {
        self.running
    }

    /// The versions before it that are kept, the last one first.
    pub fn former(&self) -> &[Version] {
        &self.former
    }

    /// The versions that were rolled back and are not taken again until the file has other bytes.
    pub fn refused(&self) -> &[Version] {
        &self.refused
    }

    /// Whether the version that runs is on probation.
    pub fn is_on_trial(&self) -> bool {
        self.trial
    }

    /// The probation of the version that runs begins, or ends.
    pub fn set_trial(&mut self, trial: bool) {
        self.trial = trial;
    }

    /// What happened, the oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Every version whose component is kept.
    pub fn kept(&self) -> impl Iterator<Item = Version> {
        self.running.into_iter().chain(self.former.iter().copied())
    }

    /// `version` runs from now on: it has taken the former one's place (`what`), of which `keep` are kept. Returns the one that
    /// became a former one, if it is kept.
    pub fn run(
        &mut self,
        version: Version,
        what: What,
        note: String,
        keep: usize,
        at: u64,
    ) -> Option<Version> {
        let before = self
            .running
            .replace(version)
            .filter(|before| *before != version);
        self.former
            .retain(|former| *former != version && Some(*former) != before);
        self.former.splice(0..0, before);
        self.former.truncate(keep);
        if before.is_some() {
            self.refused.clear();
            self.trial = false;
        }
        self.note(Some(version), what, note, at);
        before.filter(|before| self.former.contains(before))
    }

    /// The former version `to` runs again in place of the one that runs, which is not taken again.
    pub fn go_back(&mut self, to: Version, reason: &str, at: u64) {
        let from = self.running.replace(to);
        self.refused.extend(from);
        self.trial = false;
        self.former.retain(|former| *former != to);
        self.note(from, What::RolledBack, reason.to_owned(), at);
        self.note(Some(to), What::PutBack, String::new(), at);
    }

    /// The file has other bytes than those that were rolled back: they may come again.
    pub fn forgive(&mut self) {
        self.refused.clear();
    }

    /// Something happened that changes nothing. What repeats itself is kept once, with the last time.
    pub fn note(&mut self, version: Option<Version>, what: What, note: String, at: u64) {
        if let Some(last) = self.events.back_mut()
            && (last.version, last.what, &last.note) == (version, what, &note)
        {
            last.at = at;
            return;
        }
        self.events.push_back(Event {
            at,
            version,
            what,
            note,
        });
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// The kept version to go back to: the last one, or the one whose name begins with `prefix`.
    ///
    /// # Errors
    /// When there is none, or more than one; says which are kept.
    pub fn find(&self, prefix: Option<&str>) -> Result<Version, String> {
        let known = || match self
            .former
            .iter()
            .map(|version| version.short())
            .collect::<Vec<_>>()
        {
            none if none.is_empty() => "no former version is kept".to_owned(),
            some => format!("kept are {}", some.join(", ")),
        };
        let Some(prefix) = prefix else {
            return self.former.first().copied().ok_or_else(known);
        };
        let prefix = prefix.to_ascii_lowercase();
        let mut fitting = self
            .former
            .iter()
            .filter(|version| version.to_string().starts_with(&prefix));
        match (fitting.next(), fitting.next()) {
            (Some(version), None) => Ok(*version),
            (None, _) => Err(format!("no former version {prefix:?}; {}", known())),
            (Some(_), Some(_)) => Err(format!(
                "{prefix:?} is the beginning of several versions; {}",
                known()
            )),
        }
    }
}

/// Milliseconds since 1970 as people and programs read them: `2026-01-31T12:00:00Z`.
pub fn utc(at: u64) -> String {
    let (days, seconds) = (at / 86_400_000, at / 1_000 % 86_400);
    // the Gregorian calendar repeats itself after 146,097 days; years are counted from March, so that a leap day is a year's last
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 {
        (month + 3, year)
    } else {
        (month - 9, year + 1)
    };
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = write!(
        text,
        "{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z",
        year + era * 400
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

    fn book(versions: impl IntoIterator<Item = u8>, keep: usize) -> Book {
        let mut book = Book::default();
        for number in versions {
            book.run(version(number), What::Swapped, String::new(), keep, 0);
        }
        book
    }

    #[test]
    fn versions_are_written_and_read() {
        let version = Version::new(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(version.to_string().parse(), Ok(version));
        assert_eq!(version.short().len(), 12);
        assert!(version.to_string().starts_with(&version.short()));
        assert!("ab".parse::<Version>().is_err() && "+".repeat(64).parse::<Version>().is_err());
    }

    #[test]
    fn the_last_versions_are_kept() {
        let book = book(1..=6, 3);
        assert_eq!(
            (book.running(), book.former()),
            (Some(version(6)), &[version(5), version(4), version(3)][..])
        );
    }

    #[test]
    fn a_version_that_comes_again_is_no_former_one() {
        let book = book([1, 2, 1], 3);
        assert_eq!(
            (book.running(), book.former()),
            (Some(version(1)), &[version(2)][..])
        );
    }

    #[test]
    fn going_back_keeps_the_bad_one_out_until_another_comes() {
        let mut book = book([1, 2, 3], 3);
        book.go_back(version(2), "it broke", 9);
        assert_eq!(
            (book.running(), book.refused()),
            (Some(version(2)), &[version(3)][..])
        );
        assert_eq!(book.former(), [version(1)]);
        // a start of the host with the version that was put back changes nothing
        book.run(version(2), What::Started, String::new(), 3, 10);
        assert_eq!(book.refused(), [version(3)]);
        book.run(version(4), What::Swapped, String::new(), 3, 11);
        assert_eq!(
            (book.refused(), book.former()),
            (&[][..], &[version(2), version(1)][..])
        );
        let words: Vec<_> = book.events().map(|event| event.what.word()).collect();
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
        let mut book = book([1, 2, 3], 3);
        book.go_back(version(2), "", 0);
        book.go_back(version(1), "", 0);
        assert_eq!(book.refused(), [version(3), version(2)]);
        book.forgive();
        assert_eq!(book.refused(), []);
    }

    #[test]
    fn former_versions_are_found_by_how_they_begin() {
        let book = book([0x11, 0x12, 0xab, 0xff], 3);
        assert_eq!(book.find(None), Ok(version(0xab)));
        assert_eq!(book.find(Some("12")), Ok(version(0x12)));
        assert!(book.find(Some("1")).unwrap_err().contains("several"));
        assert!(
            book.find(Some("cc"))
                .unwrap_err()
                .contains("kept are abababababab, 121212121212, 111111111111")
        );
        assert!(
            Book::default()
                .find(None)
                .unwrap_err()
                .contains("no former version")
        );
    }

    #[test]
    fn the_book_is_bounded_and_what_repeats_itself_is_one_entry() {
        let mut book = Book::default();
        for at in 0..500u64 {
            book.note(None, What::Refused, format!("reason {}", at / 2), at);
        }
        assert_eq!(book.events().count(), EVENTS);
        assert_eq!(book.events().last().map(|event| event.at), Some(499));
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
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
            assert_eq!(utc(at), text);
        }
    }

    proptest! {
        #[test]
        fn no_version_is_kept_twice_and_no_more_than_wanted(versions in prop::collection::vec(0..6u8, 0..40), keep in 0..5usize) {
            let book = book(versions, keep);
            let mut kept: Vec<_> = book.kept().collect();
            prop_assert!(kept.len() <= keep + 1);
            kept.sort();
            kept.dedup();
            prop_assert_eq!(kept.len(), book.kept().count());
        }
    }
}
