//! The interface `Hello` of ApiGear's example, served: `say` keeps the message as the property `last`, and emits `just-said`.

wit_bindgen::generate!({
    path: ["../../wit", "wit"],
    inline: "package guest:hello;
        world guest { include miqro:service/service@0.1.0; include io:%world/hello-service@1.0.0; }",
    world: "guest:hello/guest",
    generate_all,
});

use std::cell::{Cell, RefCell};

use exports::io::world::hello;
use io::world::hello_signals;
use io::world::types::{Message, When};

struct Hello;
export!(Hello);

thread_local! {
    static LAST: RefCell<Message> = const { RefCell::new(Message { content: String::new() }) };
    static SAID: Cell<i32> = const { Cell::new(0) };
}

impl hello::Guest for Hello {
    fn get_last() -> Message {
        LAST.with_borrow(Clone::clone)
    }

    fn set_last(last: Message) {
        LAST.set(last);
    }

    /// Says a message, unless `when` is never; returns the number of messages that were said.
    fn say(msg: Message, when: When) -> i32 {
        if when != When::Never {
            SAID.set(SAID.get() + 1);
            hello_signals::just_said(&msg);
            LAST.set(msg);
        }
        SAID.get()
    }
}

impl Guest for Hello {
    fn handle(_topic: String, _payload: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }
}
