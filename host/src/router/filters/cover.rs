//! Filters that the broker is not asked for, because a wider one brings their messages.
//!
//! Without subscription identifiers (MQTT 3.1.1, or a broker that has none) copies of a message for overlapping filters look like separate
//! messages with the same content, so there must be none: of filters that cover each other only the widest are subscribed to, at the
//! highest quality of service of all that they cover. Filters that overlap and do not cover each other (`a/+` and `+/b`) are all
//! subscribed to; a broker that sends a copy for each delivers messages that match both twice.

use std::collections::BTreeSet;

use super::Filters;
use crate::message::Qos;

/// The filters that may cover others.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// Whether filters are covered: there are no subscription identifiers.
    pub active: bool,
    /// Filters with wildcards that services want and the broker has not refused.
    wide: BTreeSet<usize>,
}

/// The relation of a filter to those that cover it or that it covers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CoverState {
    /// The filter that brings its messages; `None`: it does so itself.
    pub by: Option<usize>,
    /// The highest quality of service of the filters that it covers.
    pub raised: Option<Qos>,
    /// Whether the broker has granted the last SUBSCRIBE for it.
    pub granted: bool,
    /// Whether its messages came although it was not subscribed to: by a filter that was granted.
    pub was_delivered: bool,
}

impl Filters {
    /// The quality of service that the broker should have for a filter; `None`: it should not have it. A filter whose messages come stays,
    /// or is subscribed to, until the filter that covers it is granted.
    pub(crate) fn at_broker(&self, index: usize) -> Option<Qos> {
        let entry = self.entries.get(index)?.as_ref()?;
        let wanted = entry.wanted()?;
        let cover = entry.cover.by.and_then(|by| self.entries[by].as_ref());
        let new = entry.subscribed_qos.is_none() && !entry.cover.was_delivered;
        let replaced = cover.is_some_and(|cover| new || cover.cover.granted);
        (!replaced).then(|| {
            entry
                .cover
                .raised
                .map_or(wanted, |raised| raised.max(wanted))
        })
    }

    /// Turns covering on or off: every filter is examined again.
    pub(crate) fn set_covering(&mut self, active: bool) {
        self.cover.active = active;
        self.cover.wide.clear();
        for entry in self.entries.iter_mut().flatten() {
            entry.cover = CoverState {
                granted: entry.cover.granted,
                ..CoverState::default()
            };
        }

        self.touched = (0..self.entries.len())
            .filter(|index| self.entries[*index].is_some())
            .collect();
    }

    /// Updates the relations of the filters that were touched.
    pub(crate) fn update_cover(&mut self) {
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
                .is_some_and(|cover| cover.cover.granted)
        };
        let granted = by.is_some_and(is_granted);
        let Some(entry) = &mut self.entries[index] else {
            return;
        };
        let before = std::mem::replace(&mut entry.cover.by, by);
        let came = std::mem::replace(
            &mut entry.cover.was_delivered,
            granted && entry.subscribed_qos.is_none(),
        );
        entry.cover.was_delivered |= came && entry.subscribed_qos.is_none();
        let id = entry.id.0;
        let wanted = entry.wanted();
        let told = entry.subscribed_qos;
        if before != by || (by.is_some() && told.is_some()) {
            self.touched.push(index);
        }
        if came && !granted && told.is_none() {
            // its messages have come already, retained ones too; they come again only for services that are new to it
            let new = self.entries[index]
                .iter()
                .flat_map(|entry| &entry.members)
                .filter(|one| one.age > self.ages.at_diff);
            let new = new.map(|member| (member.service, None)).collect();
            self.awaiting_retained.entry(id).or_insert(new);
        }

        if let Some(cover) = by.and_then(|by| self.entries[by].as_mut())
            && wanted > cover.cover.raised
        {
            cover.cover.raised = wanted;
            cover.cover.granted &= cover.subscribed_qos >= wanted;
            self.touched.extend(by);
        }
    }

    /// The widest filter that covers this one, of those that are granted if there are some.
    fn widest(&self, index: usize) -> Option<usize> {
        let entry = self.entries[index].as_ref()?;
        // a refused filter is subscribed to again on each connection
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

        // while the widest is not granted, it may still be refused
        let is_granted = |wide: &usize| {
            self.entries[*wide]
                .as_ref()
                .is_some_and(|entry| entry.cover.granted)
        };
        covering()
            .filter(is_granted)
            .reduce(widest)
            .or_else(|| covering().reduce(widest))
    }

    /// Whether `wide` replaces `other`. Of two that match the same topics exactly one does.
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
