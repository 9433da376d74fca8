//! A filter that is none.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[handle("lamp/#/set")]
    fn lamp(&mut self) {}
}

fn main() {}
