//! Pure: the session's part in finding what the broker ends the connection for. In: losses, the time, the search's rulings. Out: what
//! outbox and requests make of them. Owns nothing.

use std::time::{Duration, Instant};

use super::State;
use super::bisection::{EndedBy, Ruling, Suspect};
use super::event::Event;
use crate::topic::Filter;

impl State {
    /// The connection is lost, and by whom it was ended.
    pub fn lost(&mut self, by: EndedBy, now: Instant) {
        let was_searching = self.bisection.is_searching();
        let (requests, outbox) = (&self.requests, &self.outbox);
        self.bisection.lost(by, now, || {
            [requests.in_doubt(), outbox.in_doubt()].concat()
        });
        if by == EndedBy::Broker && self.bisection.is_searching() {
            self.requests.shrink_packets();
            if !was_searching {
                self.news.events.push(Event::SearchBegins);
            }
        } else if was_searching && !self.bisection.is_searching() {
            self.news.events.push(Event::SearchAbandoned);
        }
        self.disconnected();
        self.carry_out_rulings();
    }

    /// Whether the connection is the subject of a search, so that it may end soon.
    pub const fn is_searching(&self) -> bool {
        self.bisection.is_searching()
    }

    /// Whether `tick` has to be called often, every 100 ms or so.
    pub fn wants_ticks(&self) -> bool {
        self.bisection.wants_ticks()
    }

    /// How long to wait before the next connection, where a search wants one soon.
    pub fn retry(&self) -> Option<Duration> {
        self.bisection.retry()
    }

    /// The time passes. Gives the filters that are to be asked for again.
    pub fn tick(&mut self, now: Instant) -> Vec<Filter> {
        self.bisection.tick(now);
        if self.bisection.has_rulings() {
            self.carry_out_rulings();
        }
        if self.server.is_some()
            && self.requests.has_shrunk()
            && self.bisection.is_calm()
            && !self.requests.is_asking()
        {
            self.requests.tell_packet_size(&mut self.news.events);
        }
        let changes = self.bisection.bans().take_changes();
        self.news
            .events
            .extend(changes.into_iter().map(Event::Banned));
        self.requests.tick(now)
    }

    pub(super) fn ponged(&mut self) {
        for suspect in self.bisection.pong() {
            if let Suspect::Message(serial) = suspect {
                self.outbox.confirmed(serial, &mut self.news);
            }
        }
        self.let_go();
    }

    /// Filters that are not asked for, because the broker ends the connection for them.
    pub fn quarantined(&self) -> Vec<Filter> {
        self.requests.quarantined()
    }

    /// Something has changed about a filter: whether it was not asked for, at least for `rested`, and can be again.
    pub fn try_again(&mut self, filter: &Filter, rested: Duration) -> bool {
        self.requests.try_again(filter, rested)
    }

    fn carry_out_rulings(&mut self) {
        for ruling in self.bisection.take_rulings() {
            match ruling {
                Ruling::Hold(Suspect::Message(serial)) => {
                    self.outbox.hold(serial, &mut self.ids, &mut self.news)
                }
                Ruling::Hold(filter) => self.requests.hold(filter),
                Ruling::Release(Suspect::Message(serial)) => self.outbox.release(serial),
                Ruling::Release(filter) => self.requests.release(&filter),
                Ruling::Condemn(Suspect::Message(serial)) => {
                    self.outbox
                        .condemn(serial, &mut self.bisection, &mut self.news);
                }
                Ruling::Condemn(filter) => self.requests.condemn(filter, &mut self.news.events),
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
