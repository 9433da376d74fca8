//! A handler without a service.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[handle("lamp")]
    fn lamp() {}
}

fn main() {}
