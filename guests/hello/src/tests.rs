//! The service without a host.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use miqro_sdk::test::TestHost;

use crate::types::{Message, When};
use crate::{Hello, hello_signals};

fn message(content: &str) -> Message {
    Message {
        content: content.to_owned(),
    }
}

#[test]
fn messages_are_said_unless_they_are_never_to_be() {
    let mut host = TestHost::<Hello>::start().unwrap();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let signals = Rc::clone(&heard);
    hello_signals::stub::just_said(move |msg| signals.borrow_mut().push(msg.content.clone()));

    assert_eq!(host.serve(|hello| hello.say(message("hi"), When::Now)), 1);
    assert_eq!(host.serve(|hello| hello.say(message("no"), When::Never)), 1);

    assert_eq!(*heard.borrow(), ["hi"]);
    assert_eq!(host.serve(|hello| hello.get_last()), message("hi"));
}
