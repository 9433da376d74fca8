//! A handler that takes more than its filter captures.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[handle("lamp/+")]
    fn lamp(&mut self, payload: &str, lamp: &str, more: &str) {}
}

fn main() {}
