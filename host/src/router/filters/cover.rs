//! Filters that the broker is not asked for, because another one brings their messages. Pure.
//!
//! Without subscription identifiers (MQTT 3.1.1, or a broker without them) copies of a message for
//! overlapping filters cannot be told from equal messages, so copies must not arise: of filters that
//! cover each other only the widest are requested, at the highest quality of service of all that
//! they cover. Filters that overlap and do not cover each other (`a/+` and `+/b`) are all requested;
//! a broker that sends a copy for each delivers a message that matches both twice.

use std::collections::BTreeSet;

use super::Filters;
use crate::message::Qos;

/// State of covering.
#[derive(Debug, Default)]
pub struct Cover {
    /// There are no subscription identifiers.
    pub active: bool,
    /// Filters with wildcards that services want and the broker has not refused.
    wide: BTreeSet<usize>,
}

/// How a filter stands to those that cover it or that it covers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Covered {
    /// The filter that brings its messages; `None`: itself.
    pub by: Option<usize>,
    /// The highest quality of service of the filters that it covers.
    pub raised: Option<Qos>,
    /// The broker has granted it as it was last told.
    pub granted: bool,
    /// Its messages came although it was not asked for: by something that was granted.
    pub came: bool,
}

impl Filters {
    /// Returns the quality of service that the broker shall have for a filter. A filter that brings messages stays, or is requested,
    /// until the one that covers it is granted.
    pub fn at_broker(&self, index: usize) -> Option<Qos> {
        let entry = self.entries.get(index)?.as_ref()?;
        let wanted = entry.wanted()?;
        let cover = entry.covered.by.and_then(|by| self.entries[by].as_ref());
        let new = entry.told.is_none() && !entry.covered.came;
        let replaced = cover.is_some_and(|cover| new || cover.covered.granted);
        (!replaced).then(|| {
            entry
                .covered
                .raised
                .map_or(wanted, |raised| raised.max(wanted))
        })
    }

    /// Begins to cover, or ends it: every filter is looked at again.
    pub fn cover(&mut self, active: bool) {
        self.cover.active = active;
        self.cover.wide.clear();
        for entry in self.entries.iter_mut().flatten() {
            entry.covered = Covered {
                granted: entry.covered.granted,
                ..Covered::default()
            };
        }
        self.touched = (0..self.entries.len())
            .filter(|index| self.entries[*index].is_some())
            .collect();
    }

    /// Finds out what covers the filters that were touched, and what they cover.
    pub fn recover(&mut self) {
        let mut check: BTreeSet<usize> = self.touched.iter().copied().collect();
        for index in self.touched.clone() {
            let Some(entry) = &self.entries[index] else {
                continue;
            };
            if entry.shared || !entry.filter.as_str().contains(['+', '#']) {
                continue;
            }
            if entry.refused || entry.members.is_empty() {
                self.cover.wide.remove(&index);
            } else {
                self.cover.wide.insert(index);
            }
            check.extend((0..self.entries.len()).filter(|other| self.covers(index, *other)));
        }
        check.into_iter().for_each(|index| self.find_cover(index));
    }

    fn find_cover(&mut self, index: usize) {
        let by = self.widest(index);
        let is_granted = |by: usize| {
            self.entries[by]
                .as_ref()
                .is_some_and(|cover| cover.covered.granted)
        };
        let granted = by.is_some_and(is_granted);
        let Some(entry) = &mut self.entries[index] else {
            return;
        };
        let before = std::mem::replace(&mut entry.covered.by, by);
        let came = std::mem::replace(&mut entry.covered.came, granted && entry.told.is_none());
        entry.covered.came |= came && entry.told.is_none();
        let (id, wanted, told) = (entry.id.0, entry.wanted(), entry.told);
        if before != by || (by.is_some() && told.is_some()) {
            self.touched.push(index);
        }
        if came && !granted && told.is_none() {
            // its messages have come already, the retained ones too; they come again for those who are new to it
            let new = self.entries[index]
                .iter()
                .flat_map(|entry| &entry.members)
                .filter(|one| one.age > self.settled);
            let new = new.map(|member| (member.service, None)).collect();
            self.asking.entry(id).or_insert(new);
        }
        if let Some(cover) = by.and_then(|by| self.entries[by].as_mut())
            && wanted > cover.covered.raised
        {
            cover.covered.raised = wanted;
            cover.covered.granted &= cover.told >= wanted;
            self.touched.extend(by);
        }
    }

    /// The widest filter that covers this one, of those that are granted if there are some.
    fn widest(&self, index: usize) -> Option<usize> {
        let entry = self.entries[index].as_ref()?;
        // one that was refused is asked for again on each connection
        if entry.shared || entry.refused || entry.members.is_empty() {
            return None;
        }
        let covering = || {
            self.cover
                .wide
                .iter()
                .copied()
                .filter(move |wide| self.dominates(*wide, index))
        };
        let widest = |best: usize, next: usize| {
            if self.dominates(next, best) {
                next
            } else {
                best
            }
        };
        // as long as the widest is not granted, it may be refused
        let is_granted = |wide: &usize| {
            self.entries[*wide]
                .as_ref()
                .is_some_and(|entry| entry.covered.granted)
        };
        covering()
            .filter(is_granted)
            .reduce(widest)
            .or_else(|| covering().reduce(widest))
    }

    /// Whether `wide` is to stand for `other`. Of two that match the same topics one is to.
    fn dominates(&self, wide: usize, other: usize) -> bool {
        self.covers(wide, other) && !(self.covers(other, wide) && other < wide)
    }

    fn covers(&self, wide: usize, other: usize) -> bool {
        let (Some(Some(wide_entry)), Some(Some(entry))) =
            (self.entries.get(wide), self.entries.get(other))
        else {
            return false;
        };
        wide != other && !entry.shared && wide_entry.filter.covers(&entry.filter)
    }
}

#[cfg(test)]
mod tests;
