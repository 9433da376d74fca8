//! Actor's part: the limits that a service keeps or exceeds. In: what its calls came to, its meter and its mailbox. Out: waits, counts
//! and log lines, each name at most once a minute. Owns nothing.

use std::time::{Duration, Instant};

use tracing::warn;

use super::work::Work;
use super::{Flow, Task};
use crate::fault_kind::FaultKind;
use crate::guest::{Fault, Requested};
use crate::service::pace::Spent;
use crate::service::tally::{News, Reason};

/// Messages that a mailbox has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Dropped {
    messages: u64,
    bytes: u64,
}

impl Task {
    /// Counts a fault of the work that is being done, and decides whether what is done about it is told. What is told once about a
    /// work is told to its end.
    pub(super) fn failed(&mut self, fault: &Fault) -> bool {
        let trouble = fault.kind();
        // what a guest says itself is told each time: it may be another sentence, and the back-off bounds how often
        let new = if trouble == FaultKind::Refused {
            self.tally.count(trouble);
            true
        } else {
            self.tally.note(trouble, reason(fault), 1, Instant::now())
        };
        self.tells |= new;
        self.penalise(trouble, Instant::now());
        self.tells
    }

    /// Counts a start that failed, and decides whether it is told.
    pub(super) fn start_failed(&mut self, fault: &Fault) -> bool {
        self.tally
            .note(FaultKind::Start, reason(fault), 1, Instant::now())
    }

    /// Another version runs, or somebody has done something about the faults: they are counted from the beginning. What was not told
    /// yet is told now.
    pub(super) fn count_anew(&mut self) {
        for news in self.tally.reset(Instant::now()) {
            self.say(&news);
        }
    }

    /// After a call that went well: waits while the service is over one of its rates. Commands are obeyed meanwhile.
    pub(super) async fn keep_pace(
        &mut self,
        work: Option<Work>,
        mut spent: Spent,
        requested: Requested,
    ) -> Flow {
        spent.publishes += requested.count;
        spent.payload += requested.bytes;
        if let Some(Work::Message(delivery)) = work {
            spent = spent.paid_by(&delivery.message);
        }
        let Some((limit, wait)) = self.pace.spend(spent, &self.config.limits, Instant::now) else {
            return Flow::Continue(());
        };
        self.exceeded(limit, 1, Instant::now());
        Box::pin(self.slow_down(wait)).await
    }

    /// Counts what the guest has exceeded since the last time; gives the requests that it has sent.
    pub(super) fn look_at_meter(&mut self) -> Requested {
        let Some((exceeded, requested)) = self.setting.belongings.meter().take() else {
            return Requested::default();
        };
        let now = Instant::now();
        for (limit, count) in exceeded {
            self.exceeded(limit, count, now);
        }
        requested
    }

    /// Counts what was exceeded and dropped, and says what is due to be said.
    pub(super) fn tell(&mut self) {
        self.look_at_meter();
        if self.versions.standing.borrow().holds_up_others != self.queue.holds_up_others() {
            self.show();
        }
        let counters = self.queue.mailbox.counters();
        let all = counters.dropped_oldest + counters.dropped_newest;
        let bytes = counters.dropped_for_bytes;
        let dropped = Dropped {
            messages: all - bytes,
            bytes,
        };
        if dropped != self.dropped {
            let former = std::mem::replace(&mut self.dropped, dropped);
            let now = Instant::now();
            self.exceeded(FaultKind::Mailbox, dropped.messages - former.messages, now);
            self.exceeded(FaultKind::MailboxBytes, dropped.bytes - former.bytes, now);
        }
        if self.tally.due().is_some() {
            for news in self.tally.news(Instant::now()) {
                self.say(&news);
            }
        }
    }

    fn penalise(&mut self, trouble: FaultKind, now: Instant) {
        if trouble.is_offence() {
            self.caller.penalise(now);
        }
    }

    pub(super) fn exceeded(&mut self, limit: FaultKind, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        self.penalise(limit, now);
        if self.tally.note(limit, Reason::default(), count, now) && limit != FaultKind::Grants {
            // a missing grant was said when it was missed, with the line that would grant it
            self.say(&News {
                trouble: limit,
                count,
                span: Duration::ZERO,
                reason: String::new(),
            });
        }
    }

    fn say(&self, news: &News) {
        warn!(
            service = self.setting.name.as_str(),
            limit = news.trouble.name(),
            "{news}"
        );
    }
}

fn reason(fault: &Fault) -> Reason {
    Reason {
        kind: fault.detail(),
        text: fault.to_string(),
    }
}
