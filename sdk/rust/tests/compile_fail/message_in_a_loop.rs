//! A loop that wants a message.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[every("10s")]
    fn lamp(&mut self, message: &Message<'_>) {}
}

fn main() {}
