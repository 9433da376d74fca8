//! Interfaces that a service serves, and interfaces that it calls, without a host.

#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use miqro_sdk::test::TestHost;

mod greeter {
    use miqro_sdk::prelude::*;

    miqro_sdk::interfaces!("../../guests/hello/wit", "io:world/hello-service@1.0.0");

    pub(crate) use types::{Message, When};

    #[derive(Default)]
    pub(crate) struct Greeter {
        last: String,
    }

    #[service]
    impl Greeter {}

    #[serve]
    impl hello::Guest for Greeter {
        fn get_last(&mut self) -> Message {
            let content = self.last.clone();
            Message { content }
        }

        fn set_last(&mut self, last: Message) {
            self.last = last.content;
        }

        fn say(&mut self, msg: Message, when: When) -> i32 {
            hello_signals::just_said(&msg);
            // publishing works as in every other method
            let published = publish("said", msg.content.as_str());
            self.last = msg.content;
            i32::from(when == When::Now && published.is_ok())
        }
    }

    pub(crate) use hello_signals::stub as signals;

    /// Says something as a caller would.
    pub(crate) fn say(host: &mut miqro_sdk::test::TestHost<Greeter>, content: &str) -> i32 {
        let content = content.to_owned();
        host.serve(|greeter| greeter.say(Message { content }, When::Now))
    }
}

mod caller {
    use miqro_sdk::prelude::*;

    miqro_sdk::interfaces!("../../guests/hello/wit", "io:world/hello-client@1.0.0");

    pub(crate) use types::{Message, When};

    #[derive(Default)]
    pub(crate) struct Caller;

    #[service]
    impl Caller {
        #[handle("say")]
        fn say(&mut self, content: &str) -> Result {
            let message = Message {
                content: content.to_owned(),
            };
            publish("said", hello::say(&message, When::Now))
        }
    }

    #[serve]
    impl hello_signals::Guest for Caller {
        fn just_said(&mut self, msg: Message) {
            info!("heard {}", msg.content);
        }
    }

    pub(crate) use hello::stub;
}

#[test]
fn methods_serve_an_interface_and_its_signals_reach_the_test() {
    let mut host = TestHost::<greeter::Greeter>::start().unwrap();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let signals = Rc::clone(&heard);
    greeter::signals::just_said(move |message| signals.borrow_mut().push(message.content.clone()));

    assert_eq!(greeter::say(&mut host, "hi"), 1);
    host.expect_next("said", "hi");
    assert_eq!(*heard.borrow(), ["hi"]);
    assert_eq!(host.serve(|greeter| greeter.get_last()).content, "hi");

    host.serve(|greeter| {
        greeter.set_last(greeter::Message {
            content: "other".to_owned(),
        });
    });
    assert_eq!(host.serve(|greeter| greeter.get_last()).content, "other");
}

#[test]
fn signals_that_nobody_awaits_are_no_fault() {
    let mut host = TestHost::<greeter::Greeter>::start().unwrap();
    assert_eq!(greeter::say(&mut host, "hi"), 1);
}

#[test]
fn called_functions_are_answered_by_the_test() {
    let mut host = TestHost::<caller::Caller>::start().unwrap();
    caller::stub::say(|message, _when| message.content.len() as i32);

    host.send("say", "four").unwrap();
    host.expect_next("said", "4");

    host.serve(|caller| {
        caller.just_said(caller::Message {
            content: "hi".to_owned(),
        });
    });
    assert_eq!(host.log().last().unwrap().message, "heard hi");
}

#[test]
#[should_panic(expected = "no answer to hello::say; give one to hello::stub::say")]
fn call_without_an_answer_fails_the_test() {
    let mut host = TestHost::<caller::Caller>::start().unwrap();
    let _ = host.send("say", "four");
}
