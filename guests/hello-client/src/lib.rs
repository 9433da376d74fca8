//! A caller of the interface `Hello` of ApiGear's example. Messages below its base topic become calls, and their results are
//! published there: `say` becomes `said`, `get` becomes `last`, `set` sets the property, and each signal becomes `heard`.

wit_bindgen::generate!({
    path: ["../../wit", "../hello/wit"],
    inline: "package guest:hello-client;
        world guest { include miqro:service/service-with-lifecycle@0.1.0; include io:%world/hello-client@1.0.0; }",
    world: "guest:hello-client/guest",
    generate_all,
});

use exports::io::world::hello_signals;
use io::world::hello;
use io::world::types::{Message, When};
use miqro::service::messaging;

struct Client;
export!(Client);

impl hello_signals::Guest for Client {
    fn just_said(msg: Message) {
        // a signal has no answer that could carry an error
        let _ = publish("heard", &msg.content);
    }
}

impl Guest for Client {
    fn start() -> Result<(), String> {
        ["say", "get", "set"].iter().try_for_each(|topic| {
            messaging::subscribe(topic, None).map_err(|error| error.to_string())
        })
    }

    fn handle(topic: String, payload: Vec<u8>) -> Result<(), String> {
        let content = String::from_utf8(payload).map_err(|error| error.to_string())?;
        match topic.as_str() {
            "say" => publish(
                "said",
                &hello::say(&Message { content }, When::Now).to_string(),
            ),
            "get" => publish("last", &hello::get_last().content),
            "set" => {
                hello::set_last(&Message { content });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

fn publish(topic: &str, text: &str) -> Result<(), String> {
    messaging::publish(topic, text.as_bytes(), None)
        .map(drop)
        .map_err(|error| error.to_string())
}
