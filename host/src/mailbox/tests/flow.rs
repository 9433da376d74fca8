//! Tests of the flow of messages: those that hold up others, and a service that may not publish.

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn marked_or_excess_messages_are_overdue() {
    let (sender, mut mailbox) = with_places(10, WhenFull::Hold);
    for number in [4, 5, 6] {
        assert_eq!(
            sender.deliver(delivery(number, Qos::AtLeastOnce)),
            PushOutcome::Taken
        );
    }

    assert!(!mailbox.is_overdue(None, None) && !mailbox.is_overdue(Some(4), None));
    assert!(mailbox.is_overdue(Some(3), None), "as many as the share");
    sender.mark_overdue(4, 2);
    assert!(!mailbox.is_overdue(None, None), "those here came later");
    sender.mark_overdue(4, 2);
    assert!(mailbox.is_overdue(None, Some(3)), "the one in hand did not");
    sender.mark_overdue(5, 2);
    timeout(PATIENCE, mailbox.overdue(None, None))
        .await
        .unwrap();
    assert_eq!(
        (mailbox.take_with_receipt(1).len(), mailbox.share()),
        (1, 2)
    );
    assert!(!mailbox.is_overdue(None, None), "it is taken");
    mailbox.put_back(vec![delivery(4, Qos::AtLeastOnce)]);
    assert!(mailbox.is_overdue(Some(3), None), "it is back");
}

#[tokio::test]
async fn a_congested_mailbox_delivers_nothing() {
    let limits = Limits {
        messages: 10,
        bytes: usize::MAX,
        when_full: WhenFull::Hold,
    };
    let (sender, mut mailbox) = with_spill_queue(limits, SpillQueue::default());
    assert_eq!(
        sender.deliver(delivery(1, Qos::AtMostOnce)),
        PushOutcome::Taken
    );
    sender.wake_timers();
    sender.set_congested(true);
    assert_eq!(
        (mailbox.next().await, mailbox.try_next_but_messages()),
        (Next::Congested, None)
    );
    sender.set_congested(false);
    timeout(PATIENCE, mailbox.wait_until_uncongested())
        .await
        .unwrap();
    assert_eq!(mailbox.next().await, Next::Timers);
    sender.set_congested(true);
    mailbox.ignore_congestion();
    assert_eq!(
        mailbox.next().await,
        Next::Delivery(delivery(1, Qos::AtMostOnce))
    );
}
