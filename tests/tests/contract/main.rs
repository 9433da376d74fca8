//! The contract between host and guest: every function of `wit/service.wit` has a case here that runs a real guest on the real
//! host and a real broker, and a function without one fails the last test.

/// Names the cases of functions of the contract. Each case is an async function of the module; each becomes a test.
macro_rules! cases {
    ($($function:literal: $($case:ident),+;)+) => {
        /// The functions that have cases here.
        pub const COVERED: &[&str] = &[$($function),+];

        mod case {
            $($(
                #[tokio::test]
                async fn $case() -> anyhow::Result<()> {
                    super::$case().await
                }
            )+)+
        }
    };
}

mod config;
mod current_message;
mod log;
mod publish;
mod service;
mod stage;
mod subscribe;
mod timers;

use std::collections::BTreeSet;

use anyhow::Result;
use miqro_tests::place;
use wit_parser::{Resolve, WorldItem};

const COVERED: [&[&str]; 7] = [
    config::COVERED,
    current_message::COVERED,
    log::COVERED,
    publish::COVERED,
    service::COVERED,
    subscribe::COVERED,
    timers::COVERED,
];

#[test]
fn every_function_of_the_contract_has_a_case() -> Result<()> {
    let covered: BTreeSet<String> = COVERED.concat().into_iter().map(str::to_owned).collect();
    let functions = functions()?;
    assert!(functions.len() > 10, "the contract has more functions than {functions:?}");
    let without: Vec<_> = functions.difference(&covered).collect();
    assert!(without.is_empty(), "functions without a case: {without:?}");
    let unknown: Vec<_> = covered.difference(&functions).collect();
    assert!(unknown.is_empty(), "cases of functions that the contract does not have: {unknown:?}");
    Ok(())
}

/// The functions of all worlds and interfaces of the contract, as in `messaging.publish` and `handle`.
fn functions() -> Result<BTreeSet<String>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(place::project().join("wit"))?;
    let mut found = BTreeSet::new();
    for (interface, id) in &resolve.packages[package].interfaces {
        found.extend(resolve.interfaces[*id].functions.keys().map(|function| format!("{interface}.{function}")));
    }
    for id in resolve.packages[package].worlds.values() {
        let world = &resolve.worlds[*id];
        for item in world.imports.values().chain(world.exports.values()) {
            if let WorldItem::Function(function) = item {
                found.insert(function.name.clone());
            }
        }
    }
    Ok(found)
}
