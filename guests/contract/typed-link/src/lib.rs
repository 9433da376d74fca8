//! A link of a chain for the tests of typed services: it serves an interface and calls the same one of the next link.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    inline: "package miqro:typed-link;
        world typed-link {
            include miqro:service/service@0.1.0;
            include test:chain/chain-link@1.0.0;
        }",
    world: "miqro:typed-link/typed-link",
    generate_all,
});

use std::cell::RefCell;
use std::collections::BTreeMap;

use exports::test::chain::link as served;
use test::chain::link as next;

thread_local! {
    static KEPT: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

struct Link;
export!(Link);

impl served::Guest for Link {
    fn follow(text: String) -> Result<String, String> {
        let mut rest = text.chars();
        if rest.next().is_none() {
            return Ok("the end".to_owned());
        }
        next::follow(rest.as_str())
    }

    fn put(name: String, content: Vec<u8>) -> Result<(), String> {
        match name.strip_prefix("next/") {
            Some(name) => next::put(name, &content),
            None => {
                KEPT.with_borrow_mut(|kept| kept.insert(name, content));
                Ok(())
            }
        }
    }

    fn take(name: String) -> Result<Vec<u8>, String> {
        match name.strip_prefix("next/") {
            Some(name) => next::take(name),
            None => KEPT
                .with_borrow_mut(|kept| kept.remove(&name))
                .ok_or_else(|| format!("there is no {name}")),
        }
    }

    fn clear() {
        let forgotten = KEPT.take();
        if !forgotten.is_empty() {
            next::clear();
        }
    }
}

impl Guest for Link {
    fn handle(_topic: String, _payload: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }
}
