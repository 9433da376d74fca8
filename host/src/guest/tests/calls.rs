//! Tests of the outcome of calls: effects, and each kind of fault.

use super::*;
use crate::effects::TimerChange;
use crate::message::SubscriptionChange;

/// Publishes the payload to `echo_response`.
const ECHO: &str =
    "(call $send (i32.const 1024) (i32.const 13) (local.get $payload) (local.get $payload_len))";

fn echoed(payload: &'static str) -> Effects {
    let topic = Topic::new("service/echo/echo_response").unwrap();
    Effects {
        publishes: vec![Message::new(topic, payload, Qos::AtMostOnce, false).into()],
        ..Effects::default()
    }
}

#[tokio::test]
async fn a_message_becomes_effects_call_after_call() {
    let mut guest = instance(&guest(ECHO), ctx()).await;
    for payload in ["one", "two", ""] {
        let (back, effects) = guest.call(message(payload)).await;
        assert_eq!(effects.unwrap(), echoed(payload));
        guest = back.unwrap();
    }
}

#[tokio::test]
async fn start_stop_and_tick_have_effects_too() {
    let guest = instance(&guest(ECHO), ctx()).await;
    let (guest, started) = guest.call(Call::Start).await;
    let [SubscriptionChange::Subscribe(subscription)] = &started.unwrap().subscriptions[..] else {
        panic!("start did not subscribe")
    };
    assert_eq!(
        (subscription.filter.as_str(), subscription.qos),
        ("service/echo/in", Qos::AtLeastOnce)
    );
    let due = DueTimer {
        name: "a".to_owned(),
        count: 2,
    };
    let (guest, ticked) = guest.unwrap().call(Call::Tick(due)).await;
    let timer = TimerChange::After {
        name: "t".to_owned(),
        delay: Duration::from_millis(1),
    };
    assert_eq!(
        ticked.unwrap().timers,
        [timer],
        "the guest saw one due timer"
    );
    let (_, stopped) = guest.unwrap().call(Call::Stop).await;
    assert_eq!(
        stopped.unwrap().publishes[0].message.topic.as_str(),
        "service/echo/bye"
    );
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
    let Err(Fault::Trapped { reason, .. }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.contains("unreachable"), "{reason}");
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline_and_yields_until_then() {
    let guest = instance(&guest("(loop $ever (br $ever)) (call $ok)"), ctx()).await;
    let mut call = std::pin::pin!(guest.call(message("x")));
    let mut yields = 0;
    let (guest, outcome) = std::future::poll_fn(|cx| {
        let polled = call.as_mut().poll(cx);
        yields += u32::from(polled.is_pending());
        polled
    })
    .await;
    assert!(guest.is_none());
    assert!(
        matches!(outcome, Err(Fault::Deadline { limit, .. }) if limit == Duration::from_millis(200)),
        "{outcome:?}"
    );
    assert!(
        yields >= 5,
        "it held its thread for too long: {yields} yields in 200 ms"
    );
}

#[tokio::test]
async fn memory_beyond_the_limit_is_a_fault_that_names_it() {
    let body = "(drop (memory.grow (i32.const 256))) (call $ok)";
    let mut small = ctx();
    Arc::make_mut(&mut small.config).limits.memory.bytes = 1 << 20;
    let (dead, outcome) = instance(&guest(body), small).await.call(message("x")).await;
    assert!(dead.is_none());
    let Err(Fault::Memory { wanted, limit, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((wanted, limit), (257 * 65_536, 1 << 20));
}

#[tokio::test]
async fn table_and_instance_limits_are_named_faults() {
    let grown = include_str!("guest.wat")
        .replace(
            "(; handle ;)",
            "(drop (table.grow $t (ref.null func) (i32.const 100))) (call $ok)",
        )
        .replace("(global $count", "(table $t 1 funcref) (global $count");

    let grown = wat::parse_str(grown).unwrap();
    let mut small = ctx();
    Arc::make_mut(&mut small.config)
        .limits
        .memory
        .table_elements = 90;
    let (dead, outcome) = instance(&grown, small).await.call(message("x")).await;
    assert!(dead.is_none());
    let Err(
        fault @ Fault::Table {
            wanted: 101,
            limit: 90,
            pooled: false,
            ..
        },
    ) = outcome
    else {
        panic!("{outcome:?}")
    };

    assert_eq!(fault.kind().name(), "table");
    let mut few = ctx();
    Arc::make_mut(&mut few.config).limits.memory.instances = 1;
    let outcome = engine()
        .compile(&grown)
        .unwrap()
        .instantiate(Arc::new(few))
        .await
        .map(drop);

    let Err(Fault::Instances(what)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(what.contains("instance count too high"), "{what}");
}

#[tokio::test]
async fn a_guest_that_starts_too_large_makes_no_instance() {
    let component = engine().compile(&guest(ECHO)).unwrap();
    let mut tiny = ctx();
    Arc::make_mut(&mut tiny.config).limits.memory.bytes = 1_000;
    let outcome = component.instantiate(Arc::new(tiny)).await.map(drop);
    assert!(
        matches!(
            outcome,
            Err(Fault::Memory {
                wanted: 65_536,
                limit: 1_000,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn recursion_without_end_is_a_stack_overflow() {
    let (guest, outcome) = outcome("(drop (call $recurse (i32.const 0))) (call $ok)").await;
    assert!(guest.is_none());
    let Err(Fault::StackOverflow { backtrace }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        backtrace.starts_with(" (in recurse < recurse"),
        "{backtrace}"
    );
}

#[tokio::test]
async fn the_backtrace_of_a_trap_names_functions() {
    let (_, outcome) = outcome("unreachable").await;
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.starts_with("the guest trapped: ") && text.contains("unreachable"),
        "{text}"
    );
    assert!(text.ends_with(')') && text.contains(" (in "), "{text}");
}

#[tokio::test]
async fn a_component_that_does_not_fit_the_pool_runs_on_demand() {
    let large = guest(&format!("{ECHO} drop (call $ok)")); // compiles, so the text below is the only difference
    assert!(engine().compile(&large).is_ok());
    let text = include_str!("guest.wat")
        .replace("(; handle ;)", ECHO)
        .replace("(global $count", "(table 30000 funcref) (global $count");
    let (_, effects) = instance(&wat::parse_str(text).unwrap(), ctx())
        .await
        .call(message("x"))
        .await;
    assert_eq!(effects.unwrap(), echoed("x"));
}

#[tokio::test]
async fn wasi_gives_nothing() {
    let bytes = wat::parse_str(include_str!("wasi.wat")).unwrap();
    let (_, outcome) = instance(&bytes, ctx()).await.call(message("x")).await;
    // no variables, no arguments, no directories, and an error: 1, access-denied
    assert_eq!(outcome, Err(Fault::Refused("00011".to_owned())));
}

#[tokio::test]
async fn a_waiting_host_call_ends_at_the_deadline() {
    let bytes = wat::parse_str(include_str!("sleep.wat")).unwrap();
    let started = std::time::Instant::now();
    let (guest, outcome) = instance(&bytes, ctx()).await.call(message("x")).await;
    assert!(guest.is_none());
    assert!(
        matches!(outcome, Err(Fault::Deadline { .. })),
        "{outcome:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "the guest slept for an hour"
    );
}
