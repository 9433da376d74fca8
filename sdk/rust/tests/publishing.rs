//! Messages that services publish, requests, kept state and outcomes, as the host gets them.

#![allow(missing_docs, clippy::unwrap_used)]

use miqro_sdk::prelude::*;
use miqro_sdk::test::{LogLine, TestHost};
use serde::{Deserialize, Serialize};

#[derive(Default)]
struct Values {
    stopped: bool,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Place {
    lat: f64,
    name: String,
}

#[service]
impl Values {
    #[handle("values")]
    fn values(&mut self) -> Result {
        publish("text", "bar")?;
        publish("bytes", &b"\xff\x00"[..])?;
        publish("yes", true)?;
        publish("no", false)?;
        publish("none", ())?;
        publish("nothing", None::<f64>)?;
        publish("int", -7)?;
        publish("float", 1.234_567_891)?;
        publish(
            "map",
            json!({"x": 1.234_567_891, "a": [true, null, {"b": 2.0}]}),
        )?;
        publish("list", vec![1.0, 2.55555])?;
        publish(
            "struct",
            Json(&Place {
                lat: 48.0,
                name: "ü".to_owned(),
            }),
        )?;

        publish_json("json", "quoted")
    }

    #[handle("keys")]
    fn keys(&mut self) -> Result {
        let tree = json!({"door": {"front": true, "back": null}, "speed": 12.345_678, "list": [1, 2.0], "a+b": "x"});
        message("can").qos(1).retain().send_keys(&tree)?;
        message("home").global().send_keys(&json!({"x": 1}))?;
        publish_json_keys("", &json!({"top": {"deep": 1}}))
    }

    #[handle("changed")]
    fn changed(&mut self, value: &str) -> Result {
        message("always").only_if_changed().send(value)?;
        message("mixed").only_if_changed().send(value)?;
        message("mixed")
            .only_if_changed_within(Duration::from_secs(5))
            .send(value)?;
        message("within")
            .only_if_changed_within(Duration::from_secs(5))
            .send(value)
            .map(drop)
    }

    #[handle("token")]
    fn token(&mut self) -> Result {
        let sent = message("important").qos(2).send(1)?;
        let plain = message("plain").send(1)?;
        assert!(sent.is_some() && plain.is_none());
        state::set("waiting", &sent)
    }

    #[handle("ask")]
    fn ask(&mut self, timeout: u64) -> Result {
        let answer = request("heater/get")
            .global()
            .timeout(Duration::from_millis(timeout))
            .send("state")?;
        publish("answer", answer.text()?)
    }

    #[handle("keep/+")]
    fn keep(&mut self, value: &str, name: &str) -> Result {
        state::set_path(&["kept", name], value)?;
        if value == "bad" {
            Err(Error::new("bad"))
        } else {
            Ok(())
        }
    }

    #[connected]
    fn connected(&mut self, session_present: bool) -> Result {
        publish("connected", session_present)
    }

    #[disconnected]
    fn disconnected(&mut self) {
        warn!("gone");
    }

    #[delivered]
    fn delivered(&mut self, token: Token, outcome: DeliveryOutcome) -> Result {
        let waiting: Option<Token> = state::get("waiting")?;
        publish(
            "known",
            waiting == Some(token) && matches!(outcome, DeliveryOutcome::Delivered),
        )
    }

    #[config_changed]
    fn changed_config(&mut self) -> Result {
        match config::get::<u8>("json_float_precision")? {
            Some(9) => Err(Error::new("nine is too much")),
            _ => Ok(()),
        }
    }

    #[start]
    fn begin(&mut self) {
        let me = config::me();
        info!("here is {}", me.name; below = me.base_topic);
    }

    #[stop]
    fn end(&mut self) -> Result {
        self.stopped = true;
        publish("bye", ())
    }
}

fn values() -> TestHost<Values> {
    let mut host = TestHost::setup()
        .name("values")
        .grant("heater/#")
        .grant("home/#")
        .start()
        .unwrap();

    host.expect_next("connected", false);
    host
}

#[test]
fn values_are_converted_as_miqro_does() {
    let mut host = values();
    host.send("values", "").unwrap();
    host.expect_next("text", "bar");
    host.expect_next("bytes", &b"\xff\x00"[..]);
    host.expect_next("yes", "1");
    host.expect_next("no", "0");
    host.expect_next("none", "");
    host.expect_next("nothing", "");
    host.expect_next("int", "-7");
    host.expect_next("float", "1.2346");
    host.expect_next("map", r#"{"x": 1.2346, "a": [true, null, {"b": 2.0}]}"#);
    host.expect_next("list", "[1.0, 2.5556]");
    host.expect_next("struct", r#"{"lat": 48.0, "name": "\u00fc"}"#);
    host.expect_next("json", "\"quoted\"");
    host.expect_nothing();
}

#[test]
fn the_precision_of_floats_is_the_sections() {
    let mut host = values();
    host.change_config(json!({"json_float_precision": 2}))
        .unwrap();
    host.send("values", "").unwrap();
    assert_eq!(host.last("float").as_deref(), Some("1.23"));
    assert_eq!(
        host.change_config(json!({"json_float_precision": 9})),
        Err("nine is too much".to_owned())
    );
    host.send("values", "").unwrap();
    assert_eq!(
        host.last("float").as_deref(),
        Some("1.23"),
        "a refused section does not apply"
    );
}

#[test]
fn key_fan_out_honours_qos_retain_and_global() {
    let mut host = values();
    host.send("keys", "").unwrap();
    for (topic, payload) in [
        ("can/door/front", "1"),
        ("can/door/back", ""),
        ("can/speed", "12.3457"),
        ("can/list", "[1, 2.0]"),
        ("can/a_b", "x"),
    ] {
        let sent = host.expect_next(topic, payload);
        assert!(sent.qos == 1 && sent.retain && !sent.global);
    }

    assert!(host.expect_next("home/x", "1").global);
    host.expect_next("top/deep", "1");
    host.expect_nothing();
}

#[test]
fn unchanged_messages_are_left_out_until_the_session_is_lost() {
    let mut host = values();
    let count = |host: &TestHost<Values>, topic: &str| {
        host.sent()
            .iter()
            .filter(|sent| sent.topic == topic)
            .count()
    };

    host.send("changed", "a").unwrap();
    host.send("changed", "a").unwrap();
    assert_eq!((count(&host, "always"), count(&host, "within")), (1, 1));
    assert_eq!(count(&host, "mixed"), 1, "both kinds on one topic");
    host.advance(Duration::from_secs(5)).unwrap();
    host.send("changed", "a").unwrap();
    assert_eq!((count(&host, "always"), count(&host, "within")), (1, 2));
    host.connect(false).unwrap();
    host.send("changed", "a").unwrap();
    assert_eq!((count(&host, "always"), count(&host, "within")), (2, 3));
}

#[test]
fn a_token_names_the_message_that_was_delivered() {
    let mut host = values();
    host.send("token", "").unwrap();
    let token = host.expect_next("important", "1").token.unwrap();
    host.skip();
    host.deliver(token, DeliveryOutcome::Delivered).unwrap();
    host.expect_next("known", true);
}

/// Asks as soon as it runs.
mod at_once {
    use miqro_sdk::prelude::*;

    #[derive(Default)]
    pub(crate) struct AsksAtOnce;

    #[service]
    impl AsksAtOnce {
        #[every("1h")]
        fn ask(&mut self) -> Result {
            let answer = request("oracle").send("?")?;
            publish("weather", answer.text()?)
        }
    }
}

#[test]
fn loops_ask_at_the_start_and_after_a_restart() {
    let silent = TestHost::<at_once::AsksAtOnce>::start();
    assert_eq!(silent.err().as_deref(), Some("no answer came in time"));

    let setup = TestHost::<at_once::AsksAtOnce>::setup();
    let setup = setup.answer(|request| {
        Ok(Response {
            payload: request.topic.clone().into_bytes(),
            properties: None,
        })
    });

    let mut host = setup.start().unwrap();
    host.expect_next("weather", "oracle");
    let mut host = host.restart().unwrap();
    host.expect_next("weather", "oracle");
    let mut host = host.swap::<at_once::AsksAtOnce>().unwrap();
    host.expect_next("weather", "oracle");
    host.expect_nothing();
}

#[test]
fn requests_are_answered_by_the_test() {
    let mut host = values();
    assert_eq!(
        host.send("ask", "500"),
        Err("no answer came in time".to_owned())
    );
    host.answer(|request| {
        Ok(Response {
            payload: request.payload.to_ascii_uppercase(),
            properties: None,
        })
    });

    host.send("ask", "500").unwrap();
    host.expect_next("answer", "STATE");
    let request = host.requests().pop().unwrap();
    assert_eq!(
        (
            request.topic.as_str(),
            request.global,
            request.timeout.as_millis()
        ),
        ("heater/get", true, 500)
    );
}

#[test]
fn state_is_kept_when_the_call_ends_well_and_outlives_the_service() {
    let mut host = values();
    host.send("keep/a", "1").unwrap();
    host.send("keep/b", "bad").unwrap_err();
    let host = host.restart().unwrap();
    assert_eq!(host.state("kept"), Some(json!({"a": "1"})));
}

#[test]
fn moments_of_life_are_reported() {
    let mut host = values();
    host.disconnect().unwrap();
    host.connect(true).unwrap();
    host.expect_next("connected", true);
    let log: Vec<LogLine> = host.log();
    assert_eq!(log[0].message, "here is values");
    assert_eq!(
        log[0].fields,
        [("below".to_owned(), "service/values/".to_owned())]
    );
    assert_eq!(log[1].message, "gone");
    host.stop().unwrap();
}

/// Floats that must not be written, in each way in which the SDK turns numbers into payloads, JSON or state.
#[test]
fn a_number_that_is_not_finite_is_refused_wherever_it_is_written() {
    let place = Place {
        lat: f64::NAN,
        name: String::new(),
    };
    let map = std::collections::BTreeMap::from([("room".to_owned(), f32::INFINITY)]);
    let of = |value: f64| format!("expected a finite number, found {value}");
    let ways: [(Result, String); 13] = [
        (publish("x", f64::NAN), of(f64::NAN)),
        (publish("x", f32::NEG_INFINITY), of(f64::NEG_INFINITY)),
        (publish("x", Some(f64::INFINITY)), of(f64::INFINITY)),
        (publish("x", vec![1.0, f64::NAN]), of(f64::NAN)),
        (publish("x", &[f64::NAN][..]), of(f64::NAN)),
        (publish("x", map), format!("room: {}", of(f64::INFINITY))),
        (publish("x", Json(&place)), format!("lat: {}", of(f64::NAN))),
        (
            publish_json("x", &[Some(&place)]),
            format!("lat: {}", of(f64::NAN)),
        ),
        (
            publish_json_keys("x", &place),
            format!("lat: {}", of(f64::NAN)),
        ),
        (message("x").retain().send(f64::NAN).map(drop), of(f64::NAN)),
        (request("x").send(f64::NAN).map(drop), of(f64::NAN)),
        (state::set("x", &place), format!("lat: {}", of(f64::NAN))),
        (state::set_path(&["x", "y"], &f64::NAN), of(f64::NAN)),
    ];

    for (at, (way, error)) in ways.into_iter().enumerate() {
        assert_eq!(way.unwrap_err().to_string(), error, "{at}");
    }
    assert_eq!(state::get::<serde_json::Value>("x").unwrap(), None);
}
