//! Decides when to log that a file is refused which is being written. Pure.
//!
//! A file that is uploaded slowly in place is read after each piece, and refused each time. The
//! refusal is logged once, and again when the file no longer changes. Another file in its place, by
//! a rename, is a new one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long a file has to be left alone to be refused for good.
pub const STILL: Duration = Duration::from_secs(5);

/// Files that were refused lately.
#[derive(Debug, Default)]
pub struct Settling {
    files: HashMap<PathBuf, Refusal>,
}

#[derive(Debug)]
struct Refusal {
    /// The number of the file in its file system; `None`: there is no file.
    inode: Option<u64>,
    /// When it will have been left alone.
    until: Instant,
    /// The reason of a refusal that was not logged yet.
    unsaid: Option<String>,
}

impl Settling {
    /// The file was refused at `now`. Returns `reason` where it is to be said now; else [`Settling::due`] does later.
    pub fn refused(
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
            .filter(|refusal| refusal.is_being_written(inode, now))
        {
            Some(refusal) => {
                (refusal.until, refusal.unsaid) = (until, Some(reason));
                None
            }
            None => {
                self.files.insert(
                    file.to_owned(),
                    Refusal {
                        inode,
                        until,
                        unsaid: None,
                    },
                );
                Some(reason)
            }
        }
    }

    /// The file is good, or somebody asks about it: its next refusal is said at once.
    pub fn forget(&mut self, file: &Path) {
        self.files.remove(file);
    }

    /// Whether a refusal of the file was said so lately that the next one may wait.
    pub fn has(&self, file: &Path, now: Instant) -> bool {
        self.files
            .get(file)
            .is_some_and(|refusal| now < refusal.until)
    }

    /// When there is something to be said next.
    pub fn next(&self) -> Option<Instant> {
        self.files
            .values()
            .filter(|refusal| refusal.unsaid.is_some())
            .map(|refusal| refusal.until)
            .min()
    }

    /// Files that were left alone and not said to be refused as they are now, with the reasons.
    pub fn due(&mut self, now: Instant) -> Vec<(PathBuf, String)> {
        let still = self.files.extract_if(|_, refusal| refusal.until <= now);
        still
            .filter_map(|(file, refusal)| Some((file, refusal.unsaid?)))
            .collect()
    }
}

impl Refusal {
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
        let (mut settling, start) = (Settling::default(), Instant::now());
        let file = Path::new("a.wasm");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            settling.refused(file, Some(1), "half".into(), at(0)),
            Some("half".into())
        );
        assert_eq!(settling.next(), None);
        for second in 1..20 {
            assert_eq!(
                settling.refused(file, Some(1), format!("{second}"), at(second)),
                None
            );
            assert!(settling.due(at(second)).is_empty());
        }
        assert_eq!(settling.next(), Some(at(19) + STILL));
        assert_eq!(
            settling.due(at(19) + STILL),
            [(file.to_owned(), "19".to_owned())]
        );
        // it is left alone: the next change is another matter
        assert_eq!(
            settling.refused(file, Some(1), "again".into(), at(40)),
            Some("again".into())
        );
        // so is another file in its place, and none at all
        assert_eq!(
            settling.refused(file, Some(2), "other".into(), at(41)),
            Some("other".into())
        );
        assert_eq!(
            settling.refused(file, None, "gone".into(), at(41)),
            Some("gone".into())
        );
        assert_eq!(
            settling.refused(file, None, "gone".into(), at(41)),
            Some("gone".into())
        );
        settling.refused(file, Some(3), "half".into(), at(42));
        settling.forget(file);
        assert_eq!(
            settling.refused(file, Some(3), "asked".into(), at(42)),
            Some("asked".into())
        );
    }

    proptest! {
        /// However a file is written: its refusals are said at most once in the time that it has to be left alone, and the last one
        /// is said in the end.
        #[test]
        fn the_last_refusal_is_always_said_and_few_are(pauses in prop::collection::vec(0u64..8_000, 1..40)) {
            let (mut settling, mut now) = (Settling::default(), Instant::now());
            let file = Path::new("a.wasm");
            let mut said: Vec<(Instant, String)> = Vec::new();
            for (number, pause) in pauses.iter().enumerate() {
                let next = now + Duration::from_millis(*pause);
                if let Some(due) = settling.next().filter(|due| *due <= next) {
                    said.extend(settling.due(due).into_iter().map(|(_, reason)| (due, reason)));
                }
                now = next;
                said.extend(settling.refused(file, Some(1), number.to_string(), now).map(|reason| (now, reason)));
            }
            let end = now + STILL;
            said.extend(settling.due(end).into_iter().map(|(_, reason)| (end, reason)));
            prop_assert_eq!(&said.last().unwrap().1, &(pauses.len() - 1).to_string());
            for pair in said.windows(3) {
                prop_assert!(pair[2].0 - pair[0].0 >= STILL);
            }
            prop_assert_eq!(settling.next(), None);
        }
    }
}
