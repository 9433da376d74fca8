//! Connections that the broker ended, and the verdicts of the poison detector: the outbox and the subscriptions hold back, release or
//! quarantine the packets that it names.

use std::time::{Duration, Instant};

use super::poison::{EndedBy, Suspect, Verdict};
use super::{Event, State};
use crate::topic::Filter;

/// How often `handle_timeout` has to be called during a search.
const SEARCH_TICK: Duration = Duration::from_millis(100);

impl State {
    /// Handles the loss of the connection.
    pub fn handle_disconnect(&mut self, by: EndedBy, now: Instant) {
        let was_searching = self.shared.poison.is_searching();
        let subscriptions = &self.subscriptions;
        let outbox = &self.outbox;
        self.shared.poison.on_lost(by, now, || {
            [subscriptions.in_doubt(), outbox.in_doubt()].concat()
        });

        let is_searching = self.shared.poison.is_searching();
        if by == EndedBy::Broker && is_searching {
            self.subscriptions.shrink_packets();
            if !was_searching {
                self.shared.outputs.log(Event::SearchBegins);
            }
        } else if was_searching && !is_searching {
            self.shared.outputs.log(Event::SearchAbandoned);
        }

        self.end_connection();
        self.apply_verdicts();
    }

    /// When `handle_timeout` has to be called; `None`: it may be called at any time, or never.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.shared.poison.wants_ticks().then(|| now + SEARCH_TICK)
    }

    /// Returns the longest wait before the next connection, if a search needs one soon.
    pub fn max_reconnect_wait(&self) -> Option<Duration> {
        self.shared.poison.retry_wait()
    }

    /// Handles the passing of time: verdicts of the search, bans and quarantines that end.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.shared.poison.tick(now);
        if self.shared.poison.has_verdicts() {
            self.apply_verdicts();
        }

        if self.server.is_some()
            && self.subscriptions.has_shrunk()
            && self.shared.poison.is_calm()
            && !self.subscriptions.is_pending()
        {
            self.subscriptions
                .report_packet_size(&mut self.shared.outputs);
        }

        for ban in self.shared.poison.bans().take_changes() {
            self.shared.outputs.log(Event::Banned(ban));
        }
        self.subscriptions.tick(now, &mut self.shared.outputs);
    }

    pub(super) fn on_pong(&mut self) {
        for suspect in self.shared.poison.on_pong() {
            if let Suspect::Message(serial) = suspect {
                self.outbox.on_confirmed(serial, &mut self.shared.outputs);
            }
        }
        self.drain_resolved();
    }

    /// Filters that are not subscribed to, because the broker ends the connection for them.
    pub fn quarantined_filters(&self) -> Vec<Filter> {
        self.subscriptions.quarantined_filters()
    }

    /// Releases a filter that has been in quarantine for at least `rested`, because something has changed about it; whether it was.
    pub fn release_filter(&mut self, filter: &Filter, rested: Duration) -> bool {
        self.subscriptions.release_filter(filter, rested)
    }

    fn apply_verdicts(&mut self) {
        for verdict in self.shared.poison.take_verdicts() {
            match verdict {
                Verdict::Hold(Suspect::Message(serial)) => {
                    self.outbox.hold(serial, &mut self.shared);
                }
                Verdict::Hold(filter) => self.subscriptions.hold(filter),
                Verdict::Release(Suspect::Message(serial)) => self.outbox.release(serial),
                Verdict::Release(filter) => self.subscriptions.release(&filter),
                Verdict::Quarantine(Suspect::Message(serial)) => {
                    self.outbox.quarantine(serial, &mut self.shared);
                }
                Verdict::Quarantine(filter) => {
                    self.subscriptions
                        .quarantine(filter, &mut self.shared.outputs);
                }
            }
        }

        self.drain_resolved();
    }
}
