//! The interface `Hello` of ApiGear's example, served: `say` keeps the message as the property `last`, and emits `just-said`.

use miqro_sdk::prelude::*;

miqro_sdk::interfaces!("wit", "io:world/hello-service@1.0.0");

use types::{Message, When};

#[derive(Default)]
struct Hello {
    last: String,
    said: i32,
}

#[service]
impl Hello {}

#[serve]
impl hello::Guest for Hello {
    fn get_last(&mut self) -> Message {
        Message {
            content: self.last.clone(),
        }
    }

    fn set_last(&mut self, last: Message) {
        self.last = last.content;
    }

    /// Says a message, unless `when` is never; returns the number of messages that were said.
    fn say(&mut self, msg: Message, when: When) -> i32 {
        if when != When::Never {
            hello_signals::just_said(&msg);
            self.said += 1;
            self.last = msg.content;
        }
        self.said
    }
}

#[cfg(test)]
mod tests;
