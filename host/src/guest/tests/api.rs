//! Tests of host functions: accepted and refused calls.

use super::*;
use crate::effects::TimerChange;
use crate::topic::Filter;

/// Publishes the payload globally to the topic `a/b`.
const GLOBAL: &str = "(call $send_global (i32.const 1072) (i32.const 3) (local.get $payload) (local.get $payload_len))";

async fn refusal(body: &str, ctx: ServiceCtx, payload: &'static str) -> String {
    match instance(&guest(body), ctx)
        .await
        .call(message(payload))
        .await
    {
        (Some(_), Err(Fault::Refused(text))) => text,
        (_, other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn outside_of_the_base_topic_a_grant_is_needed() {
    let text = refusal(GLOBAL, ctx(), "x").await;
    assert_eq!(
        text,
        r#""a/b" is outside of service/echo/ and not granted; to grant it, write into miqro.yml: services.echo.grants.publish: ["a/b"]"#
    );
    let mut granted = ctx();
    Arc::make_mut(&mut granted.config).grants.publish = vec![Filter::new("a/+").unwrap()];
    let (_, effects) = instance(&guest(GLOBAL), granted)
        .await
        .call(message("x"))
        .await;
    let expected = Message::new(Topic::new("a/b").unwrap(), "x", Qos::AtLeastOnce, true);
    assert_eq!(effects.unwrap().publishes, [expected.into()]);
}

#[tokio::test]
async fn the_service_itself_may_be_named_in_full() {
    let mut own = ctx();
    Arc::make_mut(&mut own.config).base = BaseTopic::new("a").unwrap();
    let (_, effects) = instance(&guest(GLOBAL), own).await.call(message("x")).await;
    assert_eq!(effects.unwrap().publishes.len(), 1);
}

#[tokio::test]
async fn a_topic_with_wildcards_is_refused() {
    let body =
        "(call $send (local.get $payload) (local.get $payload_len) (i32.const 0) (i32.const 0))";
    let text = refusal(body, ctx(), "a/+").await;
    assert!(text.contains("wildcard"), "{text}");
}

#[tokio::test]
async fn payloads_and_publishes_have_limits() {
    let body = "(call $send (i32.const 1024) (i32.const 13) (i32.const 0) (i32.const 4097))";
    let text = refusal(body, ctx(), "x").await;
    assert_eq!(
        text,
        "a payload of 4097 bytes is more than the 4096 of limits.payload"
    );
    let send = "(call $send (i32.const 1024) (i32.const 13) (i32.const 0) (i32.const 1))";
    let text = refusal(
        &format!("{} {send}", format!("(drop {send})").repeat(4)),
        ctx(),
        "x",
    )
    .await;
    assert_eq!(
        text,
        "this call has published 4 messages, as many as limits.publishes allows"
    );
}

/// Sets a timer named by the payload.
const AFTER: &str = "(call $after (local.get $payload) (local.get $payload_len) (i64.const 5) (i32.const 256)) (call $said)";

#[tokio::test]
async fn timers_are_counted_over_calls_and_freed_when_due() {
    let mut guest = instance(&guest(AFTER), ctx()).await;
    for name in ["a", "b", "a"] {
        let (back, effects) = guest.call(message(name)).await;
        let expected = TimerChange::After {
            name: name.to_owned(),
            delay: Duration::from_millis(5),
        };
        assert_eq!(effects.unwrap().timers, [expected]);
        guest = back.unwrap();
    }

    let (back, outcome) = guest.call(message("c")).await;
    let text = "the service has 2 timers, as many as limits.timers allows";
    assert_eq!(outcome, Err(Fault::Refused(text.to_owned())));
    let (mut back, due) = (back, |name: &str| DueTimer {
        name: name.to_owned(),
        count: 1,
    });
    // both are free after this, and `tick` sets `t`
    for name in ["a", "b"] {
        (back, _) = back.unwrap().call(Call::Tick(due(name))).await;
    }
    let (_, outcome) = back.unwrap().call(message("c")).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn timers_of_a_failed_call_do_not_count() {
    let body = format!("(drop {AFTER}) (call $error (i32.const 1052) (i32.const 15))");
    let body = body
        .replace("(call $said)", "")
        .replace("(drop (call $after", "(call $after")
        .replace("(i32.const 256)) )", "(i32.const 256))");
    let mut guest = instance(&guest(&body), ctx()).await;
    for name in ["a", "b", "c", "d"] {
        let (back, outcome) = guest.call(message(name)).await;
        assert_eq!(outcome, Err(Fault::Refused("it did not work".to_owned())));
        guest = back.unwrap();
    }
    let (guest, ticked) = guest
        .call(Call::Tick(DueTimer {
            name: "x".to_owned(),
            count: 1,
        }))
        .await;

    assert!(
        ticked.is_ok() && guest.is_some(),
        "none of the four timers may count"
    );
}

#[tokio::test]
async fn subscriptions_are_counted_once_each() {
    let body = "(call $subscribe (local.get $payload) (local.get $payload_len) (i32.const 0) (i32.const 0) (i32.const 0) \
                (i32.const 256)) (call $said)";
    let mut guest = instance(&guest(body), ctx()).await;
    for (filter, fine) in [
        ("a", true),
        ("b/#", true),
        ("a", true),
        ("c", false),
        ("a/#/b", false),
    ] {
        let (back, outcome) = guest.call(message(filter)).await;
        assert_eq!(outcome.is_ok(), fine, "{filter}: {outcome:?}");
        guest = back.unwrap();
    }
}

#[tokio::test]
async fn the_configuration_is_the_services_section() {
    let body = "(call $get (i32.const 256)) \
                (call $send (i32.const 1024) (i32.const 13) (i32.load (i32.const 256)) (i32.load (i32.const 260)))";
    let (_, effects) = outcome(body).await;
    assert_eq!(
        &*effects.unwrap().publishes[0].message.payload,
        br#"{"a":1}"#
    );
}

#[tokio::test]
async fn the_current_message_is_known_in_handle() {
    let body = "(call $current (i32.const 256)) \
                (call $send (i32.const 1024) (i32.const 13) (i32.load (i32.const 260)) (i32.load (i32.const 264)))";
    let (_, effects) = outcome(body).await;
    assert_eq!(
        &*effects.unwrap().publishes[0].message.payload,
        b"service/echo/echo"
    );
}
