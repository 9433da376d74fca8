//! What comes of calls: effects, and each kind of fault.

use super::*;
use crate::effects::TimerChange;
use crate::message::SubscriptionChange;

/// Publishes the payload to `echo_response`.
const ECHO: &str = "(call $send (i32.const 1024) (i32.const 13) (local.get $payload) (local.get $payload_len))";

fn echoed(payload: &'static str) -> Effects {
    let topic = Topic::new("service/echo/echo_response").unwrap();
    Effects { publishes: vec![Message::new(topic, payload, Qos::AtMostOnce, false)], ..Effects::default() }
}

#[tokio::test]
async fn a_message_becomes_effects_call_after_call() {
    let mut guest = instance(&guest(ECHO), setting()).await;
    for payload in ["one", "two", ""] {
        let (back, effects) = guest.call(message(payload)).await;
        assert_eq!(effects.unwrap(), echoed(payload));
        guest = back.unwrap();
    }
}

#[tokio::test]
async fn start_stop_and_tick_have_effects_too() {
    let guest = instance(&guest(ECHO), setting()).await;
    let (guest, started) = guest.call(Call::Start).await;
    let [SubscriptionChange::Subscribe(subscription)] = &started.unwrap().subscriptions[..] else {
        panic!("start did not subscribe")
    };
    assert_eq!((subscription.filter.as_str(), subscription.qos), ("service/echo/in", Qos::AtLeastOnce));
    let due = [("a", 1), ("b", 2)].map(|(name, count)| DueTimer { name: name.to_owned(), count }).to_vec();
    let (guest, ticked) = guest.unwrap().call(Call::Tick(due)).await;
    let timer = TimerChange::After { name: "t".to_owned(), delay: Duration::from_millis(2) };
    assert_eq!(ticked.unwrap().timers, [timer], "the guest saw two due timers");
    let (_, stopped) = guest.unwrap().call(Call::Stop).await;
    assert_eq!(stopped.unwrap().publishes[0].topic.as_str(), "service/echo/bye");
}

#[tokio::test]
async fn a_refusal_drops_the_effects_and_keeps_the_instance() {
    let body = format!("(drop {ECHO}) (call $error (i32.const 1052) (i32.const 15))");
    let (guest, outcome) = outcome(&body).await;
    assert_eq!(outcome, Err(Fault::Refused("it did not work".to_owned())));
    let (_, outcome) = guest.unwrap().call(message("x")).await;
    assert_eq!(outcome, Err(Fault::Refused("it did not work".to_owned())));
}

#[tokio::test]
async fn a_trap_drops_the_effects_and_the_instance() {
    let (guest, outcome) = outcome(&format!("(drop {ECHO}) unreachable (call $ok)")).await;
    assert!(guest.is_none());
    let Err(Fault::Trapped { reason, .. }) = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("unreachable"), "{reason}");
}
