//! Which services take a copy of a message.

use super::{Entry, Filters};
use crate::router::ids::{ServiceId, SubscriptionId};

/// A filter of a service that matches a topic. The order is by service, and then by the preference among its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Match {
    /// The service.
    pub service: ServiceId,
    /// `$share` filters come after the others: the broker gives their copies to one member of the group only, so such a copy cannot
    /// replace the one that is sure to come.
    shared: bool,
    /// The order in which the service subscribed.
    age: u64,
    pub(super) id: u32,
}

impl Filters {
    /// Fills `matches` with one match for each service that takes this copy of a message on `topic`.
    ///
    /// A broker may send several copies of one message to this session: one for each matching filter, each with the identifier of its
    /// filter. A service must take exactly one of them. So each service has a leading filter for the message, the one that it subscribed to
    /// first, and takes the copy that names it; the other copies are for other services. A broker that sends one copy with all
    /// identifiers names the leading filter too, so the result is the same.
    pub(crate) fn recipients(&self, topic: &str, ids: &[u32], matches: &mut Vec<Match>) {
        matches.clear();
        self.trie.matches(topic, |index| {
            if let Some(entry) = &self.entries[*index] {
                entry.collect(matches);
            }
        });
        if matches.len() > 1 {
            matches.sort_unstable();
        }

        if self.identifies_filters(ids, matches) {
            keep_recipients_of(ids, matches);
        }
        matches.dedup_by_key(|candidate| candidate.service);
    }

    /// Whether the identifiers show which filters this copy is for. They do not where there are none, nor where all of them are from
    /// before this process: such a copy goes to every service that wants the topic, because it may be the only one.
    fn identifies_filters(&self, ids: &[u32], matches: &[Match]) -> bool {
        let is_known = |id: &u32| {
            matches.iter().any(|candidate| candidate.id == *id)
                || self.ids.contains_key(&SubscriptionId(*id))
                || self.retired.contains(id)
        };
        ids.iter().any(is_known)
    }
}

impl Entry {
    fn collect(&self, matches: &mut Vec<Match>) {
        if self.refused {
            return;
        }
        matches.extend(self.members.iter().map(|member| Match {
            service: member.service,
            shared: self.shared,
            age: member.age,
            id: self.id.0,
        }));
    }
}

/// Keeps, of the sorted matches, those by which a service takes the copy with these identifiers.
///
/// The first match of a service is its leading filter. When that is not shared, only the copy that names it counts: it is sure to come.
/// When it is shared, the service has only shared filters for this topic (they sort last), and the broker chose this session for the group
/// of each copy separately, so the service takes each copy that names one of them.
fn keep_recipients_of(ids: &[u32], matches: &mut Vec<Match>) {
    let mut leading: Option<Match> = None;
    matches.retain(|candidate| {
        let leader = leading.filter(|leading| leading.service == candidate.service);
        if leader.is_none() {
            leading = Some(*candidate);
        }
        leader.is_none_or(|leader| leader.shared) && ids.contains(&candidate.id)
    });
}
