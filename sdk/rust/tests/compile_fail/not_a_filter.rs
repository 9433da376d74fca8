//! A filter that is not valid.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[handle("lamp/#/set")]
    fn lamp(&mut self) {}
}

fn main() {}
