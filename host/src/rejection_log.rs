//! Decides when to log that a file is rejected which is still being written. Pure.
//!
//! A file that is uploaded slowly in place is read after each piece, and rejected each time. That is logged once, and again when the
//! file has not changed for a while. Another file in its place, by a rename, counts as a new one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time without a change after which a rejection is final.
pub const STILL: Duration = Duration::from_secs(5);

/// Files that were rejected recently.
#[derive(Debug, Default)]
pub struct RejectionLog {
    files: HashMap<PathBuf, Rejection>,
}

#[derive(Debug)]
struct Rejection {
    /// The number of the file in its file system; `None`: there is no file.
    inode: Option<u64>,
    /// End of the time without a change that makes the rejection final.
    until: Instant,
    /// Reason of a rejection that was not logged yet.
    unlogged: Option<String>,
}

impl RejectionLog {
    /// Notes that the file was rejected at `now`. Returns `reason` if it is to be logged now; otherwise [`RejectionLog::due`] returns it
    /// later.
    pub fn on_rejected(
        &mut self,
        file: &Path,
        inode: Option<u64>,
        reason: String,
        now: Instant,
    ) -> Option<String> {
        let until = now + STILL;
        match self
            .files
            .get_mut(file)
            .filter(|rejection| rejection.is_being_written(inode, now))
        {
            Some(rejection) => {
                (rejection.until, rejection.unlogged) = (until, Some(reason));
                None
            }
            None => {
                self.files.insert(
                    file.to_owned(),
                    Rejection {
                        inode,
                        until,
                        unlogged: None,
                    },
                );

                Some(reason)
            }
        }
    }

    /// Forgets the file, because it is good or an operator asked about it: its next rejection is logged at once.
    pub fn forget(&mut self, file: &Path) {
        self.files.remove(file);
    }

    /// Whether a rejection of the file was logged so recently that the next one may wait.
    pub fn has(&self, file: &Path, now: Instant) -> bool {
        self.files
            .get(file)
            .is_some_and(|rejection| now < rejection.until)
    }

    /// Time of the next entry of [`RejectionLog::due`].
    pub fn next(&self) -> Option<Instant> {
        self.files
            .values()
            .filter(|rejection| rejection.unlogged.is_some())
            .map(|rejection| rejection.until)
            .min()
    }

    /// Takes the files whose final rejection was not logged yet, with the reasons.
    pub fn due(&mut self, now: Instant) -> Vec<(PathBuf, String)> {
        let still = self.files.extract_if(|_, rejection| rejection.until <= now);
        still
            .filter_map(|(file, rejection)| Some((file, rejection.unlogged?)))
            .collect()
    }
}

impl Rejection {
    fn is_being_written(&self, inode: Option<u64>, now: Instant) -> bool {
        inode.is_some() && self.inode == inode && now < self.until
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_upload_is_said_twice_and_others_at_once() {
        let mut rejection_log = RejectionLog::default();
        let start = Instant::now();
        let file = Path::new("a.wasm");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            rejection_log.on_rejected(file, Some(1), "half".into(), at(0)),
            Some("half".into())
        );
        assert_eq!(rejection_log.next(), None);
        for second in 1..20 {
            assert_eq!(
                rejection_log.on_rejected(file, Some(1), format!("{second}"), at(second)),
                None
            );
            assert!(rejection_log.due(at(second)).is_empty());
        }

        assert_eq!(rejection_log.next(), Some(at(19) + STILL));
        assert_eq!(
            rejection_log.due(at(19) + STILL),
            [(file.to_owned(), "19".to_owned())]
        );
        // it is left alone: the next change is another matter
        assert_eq!(
            rejection_log.on_rejected(file, Some(1), "again".into(), at(40)),
            Some("again".into())
        );
        // so is another file in its place, and none at all
        assert_eq!(
            rejection_log.on_rejected(file, Some(2), "other".into(), at(41)),
            Some("other".into())
        );
        assert_eq!(
            rejection_log.on_rejected(file, None, "gone".into(), at(41)),
            Some("gone".into())
        );
        assert_eq!(
            rejection_log.on_rejected(file, None, "gone".into(), at(41)),
            Some("gone".into())
        );
        rejection_log.on_rejected(file, Some(3), "half".into(), at(42));
        rejection_log.forget(file);
        assert_eq!(
            rejection_log.on_rejected(file, Some(3), "asked".into(), at(42)),
            Some("asked".into())
        );
    }

    proptest! {
        /// However a file is written: its rejections are said at most once in the time that it has to be left alone, and the last one
        /// is said in the end.
        #[test]
        fn the_last_rejection_is_always_said_and_few_are(pauses in prop::collection::vec(0u64..8_000, 1..40)) {
            let mut rejection_log = RejectionLog::default();
            let mut now = Instant::now();
            let file = Path::new("a.wasm");
            let mut said: Vec<(Instant, String)> = Vec::new();
            for (number, pause) in pauses.iter().enumerate() {
                let next = now + Duration::from_millis(*pause);
                if let Some(due) = rejection_log.next().filter(|due| *due <= next) {
                    said.extend(rejection_log.due(due).into_iter().map(|(_, reason)| (due, reason)));
                }
                now = next;
                said.extend(rejection_log.on_rejected(file, Some(1), number.to_string(), now).map(|reason| (now, reason)));
            }

            let end = now + STILL;
            said.extend(rejection_log.due(end).into_iter().map(|(_, reason)| (end, reason)));
            prop_assert_eq!(&said.last().unwrap().1, &(pauses.len() - 1).to_string());
            for pair in said.windows(3) {
                prop_assert!(pair[2].0 - pair[0].0 >= STILL);
            }
            prop_assert_eq!(rejection_log.next(), None);
        }
    }
}
