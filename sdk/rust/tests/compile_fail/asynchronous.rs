//! A method that cannot be called.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[every("10s")]
    async fn lamp(&mut self) {}
}

fn main() {}
