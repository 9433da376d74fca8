//! A guest of Spin's MQTT trigger: passes a payload on to the topic of the configuration key `to`, with the topic that it came from.

wit_bindgen::generate!({ path: "../../../wit/peers", world: "spin-guest", generate_all });

use fermyon::spin::mqtt::{Connection, Qos};
use wasi::config0_2_0_rc_1::store as config;
use wasi::keyvalue0_2_0_draft2::store as keyvalue;

struct Trigger;
export!(Trigger);

impl Guest for Trigger {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        let other = |text: String| Error::Other(text);
        let to = config::get("to").map_err(|error| other(format!("{error:?}")))?;
        let to = to.ok_or_else(|| other("no key `to`".to_owned()))?;
        let bucket = keyvalue::open("default").map_err(|error| other(format!("{error:?}")))?;
        bucket
            .set("last", metadata.topic.as_bytes())
            .map_err(|error| other(format!("{error:?}")))?;

        let connection = Connection::open("mqtt://broker.example:1883", "user", "password", 30);
        let connection = connection.map_err(|error| other(format!("{error:?}")))?;
        let text = format!("{}: {}", metadata.topic, String::from_utf8_lossy(&message));
        connection
            .publish(&to, text.as_bytes(), Qos::ExactlyOnce)
            .map_err(|error| other(format!("{error:?}")))
    }
}
