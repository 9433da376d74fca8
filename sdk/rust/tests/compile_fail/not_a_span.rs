//! A period that is not valid.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[every("10 seconds")]
    fn lamp(&mut self) {}
}

fn main() {}
