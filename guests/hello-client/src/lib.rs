//! A caller of the interface `Hello` of ApiGear's example. Messages below its base topic become calls, and their results are
//! published there: `say` becomes `said`, `get` becomes `last`, `set` sets the property, and each signal becomes `heard`.

use miqro_sdk::prelude::*;

miqro_sdk::interfaces!("../hello/wit", "io:world/hello-client@1.0.0");

use types::{Message, When};

#[derive(Default)]
struct Client;

#[service]
impl Client {
    #[handle("say")]
    fn say(&mut self, text: &str) -> Result {
        publish("said", hello::say(&message(text), When::Now))
    }

    #[handle("get")]
    fn get(&mut self) -> Result {
        publish("last", hello::get_last().content)
    }

    #[handle("set")]
    fn set(&mut self, text: &str) {
        hello::set_last(&message(text));
    }
}

#[serve]
impl hello_signals::Guest for Client {
    fn just_said(&mut self, msg: Message) {
        // a signal has no answer that could carry an error
        let _ = publish("heard", msg.content);
    }
}

fn message(content: &str) -> Message {
    Message {
        content: content.to_owned(),
    }
}
