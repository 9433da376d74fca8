//! Actor: the end of a service. In: what still waits for it. Out: that, handled as far as the deadline allows; what the guest says at
//! its stop; what is left, kept on disk where the broker will not deliver it again. Owns nothing.

use std::time::Instant;

use tracing::{error, warn};

use super::work::Work;
use super::{Stop, Task};
use crate::guest::Call;
use crate::mailbox::{Delivery, Next};
use crate::message::Receipt;
use crate::session;

/// So many bytes of messages are kept at once.
const AT_ONCE: usize = 1 << 20;

impl Task {
    /// Handles what waits, as long as the deadline allows, and lets the guest stop.
    pub(super) async fn end(&mut self, stop: &Stop) {
        if stop.leaves {
            let (mailbox, subscriptions) = (self.sender.clone(), Vec::new());
            self.session
                .send(session::Command::Attach { service: self.id, mailbox, subscriptions, retained: false })
                .await;
            self.keep_hand().await;
        }
        let drained = tokio::time::timeout_at(stop.deadline.into(), async {
            // without an instance it stays where it is
            while self.instance.is_some()
                && let Some(delivery) = self.next_left().await
            {
                self.last_work(delivery).await;
                if stop.leaves {
                    self.keep_hand().await;
                }
            }
        });
        let in_time = drained.await.is_ok();
        if stop.leaves {
            self.keep_rest().await;
        } else if !in_time {
            warn!(
                service = self.setting.name.as_str(),
                "stopped with messages left; those of QoS 1 and 2 are handled at the next start"
            );
        }
        self.stop_guest().await;
    }

    async fn next_left(&mut self) -> Option<Delivery> {
        if let Some(tried) = self.backlog.take(Instant::now()) {
            return Some(tried.delivery);
        }
        loop {
            match self.mailbox.try_next()? {
                Next::Delivery(delivery) => return Some(delivery),
                Next::Closed => return None,
                Next::Unreadable(unreadable) => self.lose(unreadable).await,
                Next::Timers | Next::Notice(_) => {}
            }
        }
    }

    /// A message at the stop is tried once: what fails comes again at the next start.
    async fn last_work(&mut self, delivery: Delivery) {
        let work = match self.switch.admit(delivery, &self.setting.name) {
            Ok(delivery) => Work::Message(delivery),
            Err(receipt) => return self.settle(receipt).await,
        };
        let (call, receipt, what) = (work.call(1), work.receipt(), work.describe());
        self.hand = Some(work);
        match self.perform(call, receipt).await {
            Ok(_) => self.hand = None,
            Err(fault) => warn!(service = self.setting.name.as_str(), "{what} failed while stopping: {fault}"),
        }
    }

    /// Keeps what is in hand on disk: the service is no longer configured, and the session goes on.
    async fn keep_hand(&mut self) {
        self.set_hand_aside().await;
        if let Some(work) = self.hand.take() {
            self.keep(work.receipt().into_iter(), 1).await;
        }
    }

    /// Keeps everything that is left on disk.
    async fn keep_rest(&mut self) {
        self.keep_hand().await;
        let (mut receipts, mut all) = (Vec::new(), 0);
        let mut left = self.backlog.drain();
        self.take_left(&mut left).await;
        while !left.is_empty() {
            all += left.len();
            let (arrived, others): (Vec<_>, Vec<_>) =
                left.drain(..).partition(|delivery| matches!(delivery.receipt, Some(Receipt::Arrived(_))));
            let arrived = if arrived.is_empty() { arrived } else { self.set_aside(arrived).await.0 };
            receipts.extend(arrived.into_iter().chain(others).filter_map(|delivery| delivery.receipt));
            self.take_left(&mut left).await;
        }
        self.keep(receipts.into_iter(), all).await;
    }

    /// Puts the next that are left behind those in `left`: not all at once, since most may wait on disk.
    async fn take_left(&mut self, left: &mut Vec<Delivery>) {
        let mut weight = 0;
        while weight < AT_ONCE
            && let Some(delivery) = self.next_left().await
        {
            weight += delivery.message.weight();
            left.push(delivery);
        }
    }

    /// Says what becomes of messages with these receipts, of `all` messages; those that are not on disk are given up.
    async fn keep(&mut self, receipts: impl Iterator<Item = Receipt>, all: usize) {
        let mut kept = 0;
        for receipt in receipts {
            match receipt {
                Receipt::Kept(_) => kept += 1,
                Receipt::Arrived(_) => self.settle(Some(receipt)).await,
            }
        }
        let service = self.setting.name.as_str();
        if kept > 0 {
            warn!(service, "{kept} messages are kept on disk until the service is configured again");
        }
        if all > kept {
            error!(service, "{} messages are given up: the service is no longer configured", all - kept);
        }
    }

    pub(super) async fn stop_guest(&mut self) {
        if self.instance.is_none() {
            return;
        }
        if let Err(fault) = self.perform(Call::Stop, None).await {
            warn!(service = self.setting.name.as_str(), "stop failed: {fault}");
        }
        self.instance = None;
    }
}
