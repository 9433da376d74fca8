//! Tests of the mailbox: its three policies against a list, its counters, its turns, and waiting across threads.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::message::{Message, Qos, Receipt};
use crate::topic::Topic;

const PATIENCE: Duration = Duration::from_secs(20);
const POLICIES: [WhenFull; 3] = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Hold];

mod flow;

fn delivery(number: u64, qos: Qos) -> Delivery {
    let receipt = (qos != Qos::AtMostOnce).then_some(Receipt::Arrived(number));
    let message = Message::new(Topic::new("t").unwrap(), number.to_string(), qos, false);
    Delivery::new(message, receipt)
}

fn with_places(messages: usize, when_full: WhenFull) -> (Sender, Mailbox) {
    mailbox(Limits {
        messages,
        bytes: usize::MAX,
        when_full,
    })
}

/// Messages beyond `begins_at` bytes wait in a file in `folder`.
fn with_file(folder: &Path, limits: Limits, begins_at: usize) -> (Sender, Mailbox) {
    with_spill_queue(limits, SpillQueue::new(folder.into(), "it", begins_at))
}

#[test]
fn the_oldest_gives_way() {
    let (sender, mut mailbox) = with_places(2, WhenFull::DropOldest);
    let [a, b, c] = [1, 2, 3].map(|number| delivery(number, Qos::AtLeastOnce));
    assert_eq!(sender.deliver(a.clone()), PushOutcome::Taken);
    assert_eq!(sender.deliver(b.clone()), PushOutcome::Taken);
    assert_eq!(sender.deliver(c.clone()), PushOutcome::Replaced(vec![a]));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(b)));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(c)));
    assert_eq!(mailbox.try_next(), None);
    let counters = Counters {
        received: 3,
        dropped_oldest: 1,
        high_water: 2,
        ..Counters::default()
    };

    assert_eq!(sender.counters(), counters);
    assert_eq!(mailbox.counters(), counters);
}

#[test]
fn the_newest_is_refused() {
    let (sender, mut mailbox) = with_places(2, WhenFull::DropNewest);
    let [a, b, c] = [1, 2, 3].map(|number| delivery(number, Qos::AtLeastOnce));
    assert_eq!(sender.deliver(a.clone()), PushOutcome::Taken);
    assert_eq!(sender.deliver(b), PushOutcome::Taken);
    assert_eq!(sender.deliver(c.clone()), PushOutcome::Refused(c));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(a)));
    assert_eq!(mailbox.counters().dropped_newest, 1);
}

#[test]
fn qos_1_exceeds_the_limit_and_qos_0_is_refused() {
    let (sender, mut mailbox) = with_places(1, WhenFull::Hold);
    let [a, b] = [1, 2].map(|number| delivery(number, Qos::ExactlyOnce));
    let lost = delivery(3, Qos::AtMostOnce);
    assert_eq!(sender.deliver(a.clone()), PushOutcome::Taken);
    assert_eq!(sender.deliver(b.clone()), PushOutcome::Taken);
    assert_eq!(sender.deliver(lost.clone()), PushOutcome::Refused(lost));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(a)));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(b)));
    assert_eq!(mailbox.counters().dropped_newest, 1);
}

#[test]
fn a_mailbox_for_nothing_holds_one() {
    let (sender, mut mailbox) = with_places(0, WhenFull::DropNewest);
    assert_eq!(
        sender.deliver(delivery(1, Qos::AtMostOnce)),
        PushOutcome::Taken
    );
    assert!(matches!(mailbox.try_next(), Some(Next::Delivery(_))));
}

#[test]
fn timers_and_messages_take_turns() {
    let (sender, mut mailbox) = with_places(9, WhenFull::DropNewest);
    let mut seen = String::new();
    for number in 0..3 {
        assert_eq!(
            sender.deliver(delivery(number, Qos::AtMostOnce)),
            PushOutcome::Taken
        );
    }

    for _ in 0..4 {
        // rung twice before each turn, as by timers that are always due
        sender.wake_timers();
        sender.wake_timers();
        seen.push(if mailbox.try_next() == Some(Next::Timers) {
            't'
        } else {
            'm'
        });
    }

    while let Some(next) = mailbox.try_next() {
        seen.push(if next == Next::Timers { 't' } else { 'm' });
    }
    assert_eq!(seen, "tmtmtm");
}

#[test]
fn closes_when_the_last_sender_is_gone_and_nothing_waits() {
    let (sender, mut mailbox) = with_places(9, WhenFull::DropNewest);
    let other = sender.clone();
    drop(sender);
    assert_eq!(mailbox.try_next(), None);
    let last = delivery(1, Qos::AtLeastOnce);
    assert_eq!(other.deliver(last.clone()), PushOutcome::Taken);
    other.wake_timers();
    drop(other);
    assert_eq!(mailbox.try_next(), Some(Next::Timers));
    assert_eq!(mailbox.try_next(), Some(Next::Delivery(last)));
    assert_eq!(mailbox.try_next(), Some(Next::Closed));
    assert_eq!(mailbox.try_next(), Some(Next::Closed));
}

#[test]
fn a_dropped_mailbox_gives_back_what_it_holds_and_what_comes() {
    let (sender, mailbox) = with_places(9, WhenFull::DropOldest);
    let [a, b] = [1, 2].map(|number| delivery(number, Qos::AtLeastOnce));
    assert_eq!(sender.deliver(a.clone()), PushOutcome::Taken);
    assert_eq!(sender.drain_receipts(), []);
    assert_eq!(sender.counters().depth, 1);
    drop(mailbox);
    assert_eq!(sender.deliver(b.clone()), PushOutcome::Refused(b));
    assert_eq!(
        sender.drain_receipts(),
        a.receipt.into_iter().collect::<Vec<_>>()
    );
    assert_eq!(sender.drain_receipts(), []);
    let counters = Counters {
        received: 2,
        undelivered: 2,
        high_water: 1,
        ..Counters::default()
    };

    assert_eq!(sender.counters(), counters);
}

#[derive(Debug, Clone)]
enum Step {
    Deliver(Qos),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..3).prop_map(|qos| Step::Deliver(Qos::try_from(qos).unwrap())),
        (0_u8..3).prop_map(|qos| Step::Deliver(Qos::try_from(qos).unwrap())),
        Just(Step::Take),
    ]
}

/// Model of the policy: the queue as a list, and the outcome of the message.
fn expected(
    waiting: &mut VecDeque<Delivery>,
    new: &Delivery,
    places: usize,
    when_full: WhenFull,
) -> PushOutcome {
    let full = waiting.len() >= places;
    let refused = match when_full {
        WhenFull::DropOldest => false,
        WhenFull::DropNewest => full,
        WhenFull::Hold => full && new.message.qos == Qos::AtMostOnce,
    };
    if refused {
        return PushOutcome::Refused(new.clone());
    }
    waiting.push_back(new.clone());
    match when_full {
        WhenFull::DropOldest if full => PushOutcome::Replaced(vec![waiting.pop_front().unwrap()]),
        _ => PushOutcome::Taken,
    }
}

proptest! {
    #[test]
    fn keeps_order_and_bounds_and_counts_every_loss(
        places in 1_usize..5, policy in 0_usize..3, in_memory in 0_usize..3, steps in prop::collection::vec(step(), 0..80),
    ) {
        let when_full = POLICIES[policy];
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { messages: places, bytes: usize::MAX, when_full };
        let begins_at = in_memory * delivery(0, Qos::AtLeastOnce).message.weight();
        let (sender, mut mailbox) = with_file(folder.path(), limits, begins_at);
        let mut waiting = VecDeque::new();
        let mut received = 0;
        let mut taken = 0;
        let mut replaced = 0;
        let mut refused = 0;
        let mut high_water = 0;
        for step in steps {
            match step {
                Step::Deliver(qos) => {
                    let new = delivery(received, qos);
                    received += 1;
                    let outcome = expected(&mut waiting, &new, places, when_full);
                    replaced += u64::from(matches!(outcome, PushOutcome::Replaced(_)));
                    refused += u64::from(matches!(outcome, PushOutcome::Refused(_)));
                    prop_assert_eq!(sender.deliver(new), outcome);
                }
                Step::Take => {
                    let next = waiting.pop_front();
                    taken += u64::from(next.is_some());
                    prop_assert_eq!(mailbox.try_next(), next.map(Next::Delivery));
                }
            }

            high_water = high_water.max(waiting.len());
            let counters = Counters {
                received, dropped_oldest: replaced, dropped_newest: refused, depth: waiting.len(), high_water, ..Counters::default()
            };
            prop_assert_eq!(mailbox.counters(), counters);
            prop_assert_eq!(received - replaced - refused - counters.depth as u64, taken);
            prop_assert!(when_full == WhenFull::Hold || counters.depth <= places);
        }
    }
}

fn heavy(bytes: usize) -> Delivery {
    let message = Message::new(
        Topic::new("t").unwrap(),
        vec![0; bytes],
        Qos::AtMostOnce,
        false,
    );

    Delivery::new(message, None)
}

proptest! {
    /// Waiting messages take no more bytes than allowed, unless one waits alone; an empty mailbox takes anything.
    #[test]
    fn bytes_are_bounded(policy in 0_usize..3, sizes in prop::collection::vec((0_usize..3_000, any::<bool>()), 0..60)) {
        const BYTES: usize = 4_000;
        let (sender, mut mailbox) = mailbox(Limits { messages: 100, bytes: BYTES, when_full: POLICIES[policy] });
        let mut waiting: VecDeque<Delivery> = VecDeque::new();
        let mut dropped = 0;
        for (size, take) in sizes {
            let new = heavy(size);
            let is_empty = waiting.is_empty();
            match sender.deliver(new.clone()) {
                PushOutcome::Taken => waiting.push_back(new),
                PushOutcome::Replaced(older) => {
                    dropped += older.len() as u64;
                    prop_assert!(older.iter().all(|older| waiting.pop_front().as_ref() == Some(older)));
                    waiting.push_back(new);
                }
                PushOutcome::Refused(refused) => {
                    dropped += 1;
                    prop_assert!(refused == new && !is_empty && POLICIES[policy] != WhenFull::DropOldest);
                }
            }

            let bytes: usize = waiting.iter().map(|delivery| delivery.message.weight()).sum();
            prop_assert!(bytes <= BYTES || waiting.len() == 1, "{bytes}");
            if take {
                prop_assert_eq!(mailbox.try_next(), waiting.pop_front().map(Next::Delivery));
            }
            let counters = mailbox.counters();
            prop_assert_eq!(counters.dropped_for_bytes, dropped);
            prop_assert_eq!(counters.dropped_oldest + counters.dropped_newest, dropped);
        }
    }
}

#[tokio::test]
async fn an_abandoned_wait_loses_nothing() {
    let (sender, mut mailbox) = with_places(9, WhenFull::DropNewest);
    for number in 0..100 {
        // polled once, registered, dropped: as in a select whose other branch is ready
        tokio::select! {
            biased;
            next = mailbox.next() => panic!("{next:?} from an empty mailbox"),
            () = std::future::ready(()) => {}
        }
        let sent = delivery(number, Qos::AtLeastOnce);
        assert_eq!(sender.deliver(sent.clone()), PushOutcome::Taken);
        assert_eq!(
            timeout(PATIENCE, mailbox.next()).await.unwrap(),
            Next::Delivery(sent)
        );
    }
}

#[tokio::test]
async fn a_sleeper_wakes_for_each_reason() {
    let (sender, mut mailbox) = with_places(9, WhenFull::DropNewest);
    let sleeper = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let next = mailbox.next().await;
            let closed = next == Next::Closed;
            seen.push(next);
            if closed {
                return seen;
            }
        }
    });

    // after each yield the sleeper waits again: this runtime has one thread
    tokio::task::yield_now().await;
    sender.wake_timers();
    tokio::task::yield_now().await;
    let sent = delivery(1, Qos::AtMostOnce);
    assert_eq!(sender.deliver(sent.clone()), PushOutcome::Taken);
    tokio::task::yield_now().await;
    drop(sender);
    let seen = timeout(PATIENCE, sleeper).await.unwrap().unwrap();
    assert_eq!(seen, [Next::Timers, Next::Delivery(sent), Next::Closed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_threads_exchange_everything_in_order() {
    const MESSAGES: u64 = 50_000;
    let (sender, mut mailbox) = with_places(usize::MAX, WhenFull::DropNewest);
    let producer = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            assert_eq!(
                sender.deliver(delivery(number, Qos::AtLeastOnce)),
                PushOutcome::Taken
            );
        }
    });

    let consumer = tokio::spawn(async move {
        let mut count = 0;
        while let Next::Delivery(received) = mailbox.next().await {
            assert_eq!(received.receipt, Some(Receipt::Arrived(count)));
            count += 1;
        }
        count
    });

    assert_eq!(
        timeout(PATIENCE, consumer).await.unwrap().unwrap(),
        MESSAGES
    );
    producer.join().unwrap();
}

#[tokio::test]
async fn a_message_is_taken_by_receipt_without_reordering() {
    let (sender, mut mailbox) = with_places(10, WhenFull::Hold);
    for (number, qos) in [(0, 0), (1, 1), (2, 0), (3, 2), (4, 1)] {
        assert_eq!(
            sender.deliver(delivery(number, qos.try_into().unwrap())),
            PushOutcome::Taken
        );
    }

    sender.wake_timers();
    let receipts = |taken: Vec<Delivery>| taken.iter().map(|one| one.receipt).collect::<Vec<_>>();
    let taken = receipts(mailbox.take_with_receipt(2));
    assert_eq!(
        taken,
        [Some(Receipt::Arrived(1)), Some(Receipt::Arrived(3))]
    );
    assert_eq!(
        receipts(mailbox.take_with_receipt(2)),
        [Some(Receipt::Arrived(4))]
    );
    assert_eq!(mailbox.try_next_but_messages(), Some(Next::Timers));
    assert_eq!(mailbox.try_next_but_messages(), None);
    let mut left = 0;
    while let Some(Next::Delivery(delivery)) = mailbox.try_next() {
        assert_eq!(delivery.receipt, None);
        left += 1;
    }
    assert_eq!(left, 2);
}

/// A message that was taken counts no longer, neither as a message nor in bytes.
#[tokio::test]
async fn a_message_taken_by_receipt_frees_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let weight = delivery(1, Qos::AtLeastOnce).message.weight();
    let limits = Limits {
        messages: 9,
        bytes: 3 * weight,
        when_full: WhenFull::Hold,
    };
    let (sender, mut mailbox) = with_file(folder.path(), limits, weight);
    for _ in 0..5 {
        for (number, qos) in [
            (1, Qos::AtLeastOnce),
            (2, Qos::AtLeastOnce),
            (3, Qos::AtMostOnce),
        ] {
            assert_eq!(sender.deliver(delivery(number, qos)), PushOutcome::Taken);
        }

        let last = delivery(4, Qos::AtMostOnce);
        assert_eq!(sender.deliver(last.clone()), PushOutcome::Refused(last));
        assert_eq!(mailbox.take_with_receipt(9).len(), 2);
        assert_eq!(
            mailbox.try_next(),
            Some(Next::Delivery(delivery(3, Qos::AtMostOnce)))
        );
        assert_eq!(mailbox.try_next(), None);
    }
}

#[test]
fn spilled_messages_are_drained_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        messages: 1,
        bytes: 1,
        when_full: WhenFull::Hold,
    };
    let (sender, mailbox) = with_file(folder.path(), limits, 200);
    for number in 0..9 {
        assert_eq!(
            sender.deliver(delivery(number, Qos::ExactlyOnce)),
            PushOutcome::Taken
        );
    }

    assert_eq!(mailbox.counters().depth, 9);
    drop(mailbox);
    assert_eq!(
        sender.drain_receipts(),
        (0..9).map(Receipt::Arrived).collect::<Vec<_>>()
    );
    assert_eq!(sender.drain_receipts(), []);
    assert_eq!(sender.counters().undelivered, 9);
}

/// As long as a service keeps up, nothing of it is written.
#[test]
fn a_heavy_message_that_waits_alone_stays_in_memory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let limits = Limits {
        messages: 9,
        bytes: 1_000,
        when_full: WhenFull::Hold,
    };
    // nothing can be written there
    let (sender, mut mailbox) = with_file(file.path(), limits, 100);
    let message = Message::new(
        Topic::new("t").unwrap(),
        vec![0; 5_000],
        Qos::AtLeastOnce,
        false,
    );

    let heavy = Delivery::new(message, Some(Receipt::Arrived(1)));
    for _ in 0..3 {
        assert_eq!(sender.deliver(heavy.clone()), PushOutcome::Taken);
        assert!(!sender.shared.lock().spills());
        assert_eq!(mailbox.try_next(), Some(Next::Delivery(heavy.clone())));
    }
    for _ in 0..2 {
        assert_eq!(sender.deliver(heavy.clone()), PushOutcome::Taken);
    }
    assert!(sender.shared.lock().spills());
}
