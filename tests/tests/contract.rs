//! The contract between host and guest: every function of `wit/service.wit` has a case here that runs a real guest on the real
//! host and a real broker, and a function without one fails the last test.

/// Names the cases of functions of the contract. Each case is an async function of the module; each becomes a test.
macro_rules! cases {
    ($($function:literal: $($case:ident),+;)+) => {
        /// The functions that have cases here.
        pub(crate) const COVERED: &[&str] = &[$($function),+];

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
mod connection;
mod current_message;
mod hand_over;
mod log;
mod publish;
mod request;
mod service;
mod stage;
mod state;
mod subscribe;
mod timers;

use std::collections::BTreeSet;

use anyhow::Result;
use miqro_tests::place;

const COVERED: [&[&str]; 11] = [
    config::COVERED,
    connection::COVERED,
    current_message::COVERED,
    hand_over::COVERED,
    log::COVERED,
    publish::COVERED,
    request::COVERED,
    service::COVERED,
    state::COVERED,
    subscribe::COVERED,
    timers::COVERED,
];

#[test]
fn every_function_of_the_contract_has_a_case() -> Result<()> {
    let covered: BTreeSet<String> = COVERED.concat().into_iter().map(str::to_owned).collect();
    let functions = functions()?;
    assert!(
        functions.len() > 10,
        "the contract has more functions than {functions:?}"
    );
    let without: Vec<_> = functions.difference(&covered).collect();
    assert!(without.is_empty(), "functions without a case: {without:?}");
    let unknown: Vec<_> = covered.difference(&functions).collect();
    assert!(
        unknown.is_empty(),
        "cases of functions that the contract does not have: {unknown:?}"
    );
    Ok(())
}

/// The functions of all worlds and interfaces of the contract, as in `messaging.publish` and `handle`.
pub(crate) fn functions() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(place::project().join("wit/service.wit"))?;
    let mut found = BTreeSet::new();
    let mut prefix = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["interface", name, "{"] => prefix = format!("{name}."),
            ["world", _, "{"] => prefix.clear(),
            ["export" | "import", name, function, ..] | [name, function, ..]
                if function.starts_with("func(") =>
            {
                found.insert(format!("{prefix}{}", name.trim_end_matches(':')));
            }
            _ => assert!(
                line.trim_start().starts_with("//") || !line.contains("func("),
                "not understood: {line}"
            ),
        }
    }

    Ok(found)
}
