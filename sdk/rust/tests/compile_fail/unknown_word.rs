//! A word that no annotation knows.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Wrong;

#[service]
impl Wrong {
    #[handle("lamp", globally)]
    fn lamp(&mut self) {}
}

fn main() {}
