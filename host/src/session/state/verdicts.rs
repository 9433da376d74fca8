//! Pure: the session's part in finding what the broker ends the connection for. In: losses, the time, the search's verdicts. Out: what
//! outbox and requests make of them. Owns nothing.

use std::time::{Duration, Instant};

use super::State;
use super::output::Event;
use super::poison::{EndedBy, Suspect, Verdict};
use crate::topic::Filter;

impl State {
    /// The connection is lost, and by whom it was ended.
    pub fn lost(&mut self, by: EndedBy, now: Instant) {
        let was_searching = self.poison.is_searching();
        let (requests, outbox) = (&self.subscriptions, &self.outbox);
        self.poison.lost(by, now, || {
            [requests.in_doubt(), outbox.in_doubt()].concat()
        });
        if by == EndedBy::Broker && self.poison.is_searching() {
            self.subscriptions.shrink_packets();
            if !was_searching {
                self.news.events.push(Event::SearchBegins);
            }
        } else if was_searching && !self.poison.is_searching() {
            self.news.events.push(Event::SearchAbandoned);
        }
        self.disconnected();
        self.apply_verdicts();
    }

    /// Whether the connection is the subject of a search, so that it may end soon.
    pub const fn is_searching(&self) -> bool {
        self.poison.is_searching()
    }

    /// Whether `tick` has to be called often, every 100 ms or so.
    pub fn wants_ticks(&self) -> bool {
        self.poison.wants_ticks()
    }

    /// How long to wait before the next connection, where a search wants one soon.
    pub fn retry(&self) -> Option<Duration> {
        self.poison.retry()
    }

    /// The time passes. Gives the filters that are to be asked for again.
    pub fn tick(&mut self, now: Instant) -> Vec<Filter> {
        self.poison.tick(now);
        if self.poison.has_verdicts() {
            self.apply_verdicts();
        }
        if self.server.is_some()
            && self.subscriptions.has_shrunk()
            && self.poison.is_calm()
            && !self.subscriptions.is_asking()
        {
            self.subscriptions.tell_packet_size(&mut self.news.events);
        }
        let changes = self.poison.bans().take_changes();
        self.news
            .events
            .extend(changes.into_iter().map(Event::Banned));
        self.subscriptions.tick(now)
    }

    pub(super) fn ponged(&mut self) {
        for suspect in self.poison.pong() {
            if let Suspect::Message(serial) = suspect {
                self.outbox.confirmed(serial, &mut self.news);
            }
        }
        self.let_go();
    }

    /// Filters that are not asked for, because the broker ends the connection for them.
    pub fn quarantined(&self) -> Vec<Filter> {
        self.subscriptions.quarantined()
    }

    /// Something has changed about a filter: whether it was not asked for, at least for `rested`, and can be again.
    pub fn try_again(&mut self, filter: &Filter, rested: Duration) -> bool {
        self.subscriptions.try_again(filter, rested)
    }

    fn apply_verdicts(&mut self) {
        for verdict in self.poison.take_verdicts() {
            match verdict {
                Verdict::Hold(Suspect::Message(serial)) => {
                    self.outbox.hold(serial, &mut self.ids, &mut self.news)
                }
                Verdict::Hold(filter) => self.subscriptions.hold(filter),
                Verdict::Release(Suspect::Message(serial)) => self.outbox.release(serial),
                Verdict::Release(filter) => self.subscriptions.release(&filter),
                Verdict::Quarantine(Suspect::Message(serial)) => {
                    self.outbox
                        .quarantine(serial, &mut self.poison, &mut self.news);
                }
                Verdict::Quarantine(filter) => {
                    self.subscriptions.quarantine(filter, &mut self.news.events)
                }
            }
        }
        self.let_go();
    }

    /// Incoming messages wait no longer for what is settled.
    fn let_go(&mut self) {
        for receipt in self.news.gone.drain(..) {
            self.inbox.published(receipt, &mut self.acks);
        }
    }
}
