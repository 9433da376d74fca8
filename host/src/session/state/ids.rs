//! Packet identifiers (MQTT 5, section 2.2.1).

/// A set of packet identifiers; one bit each.
#[derive(Debug, Clone)]
pub(super) struct IdSet {
    words: Box<[u64; 1024]>,
}

impl Default for IdSet {
    fn default() -> Self {
        Self {
            words: Box::new([0; 1024]),
        }
    }
}

impl IdSet {
    const fn place(id: u16) -> (usize, u64) {
        ((id >> 6) as usize, 1 << (id & 63))
    }

    /// Whether `id` is in the set.
    pub(super) fn contains(&self, id: u16) -> bool {
        let (word, bit) = Self::place(id);
        self.words[word] & bit != 0
    }

    /// Adds `id`; false when it was there.
    pub(super) fn insert(&mut self, id: u16) -> bool {
        let (word, bit) = Self::place(id);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Removes `id`, if it is there.
    pub(super) fn remove(&mut self, id: u16) -> bool {
        let (word, bit) = Self::place(id);
        let present = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        present
    }

    /// Empties the set.
    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }
}

/// Identifiers of our own exchanges: PUBLISH, SUBSCRIBE and UNSUBSCRIBE share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ids {
    last: u16,
    used: IdSet,
}

impl Ids {
    /// Returns the next identifier that is not in use, in rising order and from 65,535 on to 1; `None` when all are in use.
    pub(super) fn take(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.used.insert(self.last) {
                return Some(self.last);
            }
        }

        None
    }

    /// Frees `id`.
    pub(super) fn free(&mut self, id: u16) {
        self.used.remove(id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_wrap_past_zero_and_skip_those_in_use() {
        let mut ids = Ids::default();
        let first: Vec<u16> = (0..3).map(|_| ids.take().unwrap()).collect();
        assert_eq!(first, [1, 2, 3]);
        ids.free(2);
        for expected in 4..=u16::MAX {
            assert_eq!(ids.take(), Some(expected));
        }
        assert_eq!(ids.take(), Some(2));
        assert_eq!(ids.take(), None);
        ids.free(65_535);
        assert_eq!(ids.take(), Some(65_535));
    }
}
