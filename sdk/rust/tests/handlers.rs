//! Handlers, annotated and added at run time.

#![allow(missing_docs, clippy::unwrap_used)]

use miqro_sdk::prelude::*;
use miqro_sdk::test::TestHost;

#[derive(Default)]
struct House {
    refuse: bool,
}

#[service]
impl House {
    #[handle("lamp/+/set")]
    fn first(&mut self, on: bool, lamp: &str) -> Result {
        publish("first", format!("{lamp} {on}"))
    }

    #[handle("lamp/+/set", qos = 2)]
    #[handle("lamp/all")]
    fn second(&mut self) -> Result {
        publish("second", ())
    }

    #[handle("tree/+/#")]
    fn tree(&mut self, payload: &[u8], branch: u8, rest: String) -> Result {
        publish("tree", format!("{branch} {rest} {}", payload.len()))
    }

    #[handle("zigbee/#", global)]
    fn zigbee(
        &mut self,
        Json(value): Json<serde_json::Value>,
        message: &Message<'_>,
        rest: &str,
    ) -> Result {
        publish(
            "zigbee",
            format!(
                "{rest} {} {} {}",
                value["x"],
                message.is_retained(),
                message.qos()
            ),
        )
    }

    #[handle("fragile")]
    fn fragile(&mut self) -> Result {
        publish("half", "done")?;
        if self.refuse {
            Err(Error::new("not today"))
        } else {
            Ok(())
        }
    }

    #[handle("add/+")]
    fn add(&mut self, what: &str, _topic: &str) -> Result<()> {
        let what = what.to_owned();
        handler("extra").call(move |_: &mut House, message| {
            publish("extra_seen", format!("{what} {}", message.text()?))
        })?;
        if self.refuse {
            Err(Error::new("not today"))
        } else {
            Ok(())
        }
    }

    #[fallback]
    fn other(&mut self, payload: String, message: &Message<'_>) -> Result {
        publish("other", format!("{} {payload}", message.topic()))
    }
}

fn house() -> TestHost<House> {
    TestHost::setup()
        .name("house")
        .grant("zigbee/#")
        .start()
        .unwrap()
}

#[test]
fn several_handlers_on_one_topic_all_run_in_order_of_declaration() {
    let mut host = house();
    host.send("lamp/kitchen/set", "on").unwrap();
    host.expect_next("first", "kitchen true");
    host.expect_next("second", "");
    host.expect_nothing();
}

#[test]
fn one_method_may_carry_two_annotations() {
    let mut host = house();
    host.send("lamp/all", "").unwrap();
    host.expect_next("second", "");
    host.expect_nothing();
}

#[test]
fn captures_are_levels_and_the_remainder() {
    let mut host = house();
    host.send("tree/7/a/b", "xy").unwrap();
    host.expect_next("tree", "7 a/b 2");
    host.send("tree/7", "").unwrap();
    host.expect_next("tree", "7  0");
}

#[test]
fn properties_of_the_current_message_are_reachable() {
    let mut host = house();
    host.message("zigbee/door")
        .global()
        .retained()
        .qos(2)
        .send("{\"x\": 1}")
        .unwrap();

    host.expect_next("zigbee", "door 1 true 2");
}

#[test]
fn a_payload_that_cannot_be_read_is_a_counted_warning_and_no_retry() {
    let mut host = house();
    host.send("lamp/kitchen/set", "warm").unwrap();
    host.expect_next("second", ""); // the others run all the same
    host.send_global("zigbee/door", "no json").unwrap();
    host.send("tree/many/x", "").unwrap();
    host.expect_nothing();
    assert_eq!(counters().decode_errors, 3);
    assert_eq!(
        host.log()
            .iter()
            .filter(|line| line.message.starts_with("cannot read a message"))
            .count(),
        3
    );
}

#[test]
fn effects_of_a_call_that_fails_are_dropped() {
    let mut host = house();
    host.service().refuse = true;
    assert_eq!(host.send("fragile", ""), Err("not today".to_owned()));
    host.expect_nothing();
    host.send("add/x", "a").unwrap_err();
    host.send("extra", "").unwrap_err(); // neither subscribed nor handled
    host.service().refuse = false;
    host.message("fragile").attempt(2).send("").unwrap();
    host.expect_next("half", "done");
}

#[test]
fn handlers_are_added_and_removed_at_run_time() {
    let mut host = house();
    host.send("add/x", "a").unwrap();
    host.send("add/x", "b").unwrap();
    host.send("extra", "hi").unwrap();
    host.expect_next("extra_seen", "a hi");
    host.expect_next("extra_seen", "b hi");
    host.expect_nothing();
}

#[test]
fn the_fallback_gets_what_no_handler_takes() {
    let mut host = house();
    host.service();
    miqro_sdk::subscribe("more/#", false, 1).unwrap();
    host.send("lamp/all", "").unwrap(); // ends a call, and so commits the subscription
    host.skip();
    host.send("more/of/it", "text").unwrap();
    host.expect_next("other", "more/of/it text");
}

#[test]
fn filters_match_exactly_as_mqtt_says() {
    let mut host = house();
    assert!(host.send("lamp/set", "on").is_err());
    assert!(host.send("lamp/a/b/set", "on").is_err());
    host.send_global("zigbee", "{}").unwrap(); // a/# is a as well
    host.expect_next("zigbee", " null false 0");
}

#[test]
fn one_filter_is_subscribed_once_with_the_highest_qos() {
    let host = house();
    let own: Vec<String> = host
        .subscriptions()
        .into_iter()
        .filter(|filter| filter.ends_with("+/set"))
        .collect();
    assert_eq!(own, ["service/house/lamp/+/set"]);
}

#[derive(Default)]
struct Removes {
    id: Option<miqro_sdk::HandlerId>,
}

#[service]
impl Removes {
    #[handle("toggle")]
    fn toggle(&mut self) -> Result {
        match self.id.take() {
            Some(id) => id.remove::<Self>(),
            None => {
                self.id = Some(handler("x").call(|_: &mut Self, _| publish("x_seen", ()))?);
                Ok(())
            }
        }
    }
}

#[test]
fn a_removed_handler_ends_its_subscription() {
    let mut host = TestHost::<Removes>::start().unwrap();
    host.send("toggle", "").unwrap();
    host.send("x", "").unwrap();
    host.expect_next("x_seen", "");
    host.send("toggle", "").unwrap();
    assert!(host.send("x", "").is_err());
    host.send("toggle", "").unwrap();
    host.send("x", "").unwrap();
    host.expect_next("x_seen", "");
}

#[derive(Default)]
struct Both;

#[service]
impl Both {
    #[handle("x")]
    fn own(&mut self) -> Result {
        publish("own", ())
    }
    #[handle("x", global)]
    fn foreign(&mut self) -> Result {
        publish("foreign", ())
    }
    #[handle("service/+/x", global)]
    fn any_service(&mut self, _: &[u8], service: &str) -> Result {
        publish("any", service)
    }
}

#[test]
fn relative_and_full_topics_are_told_apart() {
    let mut host = TestHost::<Both>::setup()
        .grant("x")
        .grant("service/+/x")
        .start()
        .unwrap();
    host.send_global("x", "").unwrap();
    host.expect_next("foreign", "");
    host.expect_nothing();
    host.send("x", "").unwrap();
    host.expect_next("own", "");
    host.expect_next("any", "test");
    host.expect_nothing();
}

#[test]
fn a_topic_outside_takes_a_grant() {
    let error = TestHost::<Both>::start().err().unwrap();
    assert!(error.starts_with("denied: x takes a grant"), "{error}");
}

#[test]
fn handlers_and_loops_of_one_service_are_not_those_of_another() {
    use miqro_sdk::Service;
    assert_eq!(Both::HANDLERS.len(), 3);
    assert_eq!(Removes::HANDLERS.len(), 1);
    let mut host = TestHost::<Removes>::start().unwrap();
    assert!(host.send("lamp/all", "").is_err());
    assert!(host.timers().is_empty());
}

#[test]
fn a_payload_may_be_anything_and_space_is_not_stripped() {
    let mut host = house();
    host.send("tree/1/x", &b"\xff\xfe \n"[..]).unwrap();
    host.expect_next("tree", "1 x 4");
}

/// Counts, and hands its count over; a count above 2 is too much for it.
#[derive(Default)]
struct Count(u32);

#[service]
impl Count {
    #[handle("count")]
    fn count(&mut self) -> Result {
        self.0 += 1;
        publish("counted", self.0)
    }

    #[save]
    fn save(&self) -> Result<u32> {
        publish("saved", self.0)?;
        if self.0 == 0 {
            Err(Error::new("nothing counted"))
        } else {
            Ok(self.0)
        }
    }

    #[load]
    fn load(&mut self, count: u32) -> Result {
        publish("loaded", count)?;
        self.0 = count;
        if count > 2 {
            Err(Error::new("too many"))
        } else {
            Ok(())
        }
    }
}

#[test]
fn saved_state_is_loaded_by_the_next_version() {
    let mut host = TestHost::<Count>::start().unwrap();
    host.send("count", "").unwrap();
    host.expect_next("counted", 1);
    let mut host = host.swap::<Count>().unwrap();
    host.expect_next("loaded", 1);
    host.send("count", "").unwrap();
    host.expect_next("counted", 2);
    host.send("count", "").unwrap();
    host.expect_next("counted", 3);
    assert_eq!(host.swap::<Count>().err().unwrap(), "too many");
    let host = TestHost::<Count>::start().unwrap();
    assert_eq!(host.swap::<Count>().err().unwrap(), "nothing counted");
}
