//! Versions of an interface: components that are built from several versions of a WIT package, compared by `miqro-host check` and by a
//! hot swap.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Mosquitto, host};
use serde_json::json;
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser_of_component::Resolve;

use super::{error, invoke};

/// The exports that every service has, each without an effect, and memory for arguments.
const COMMON: &str = r#"
    (memory (export "memory") 1)
    (func (export "handle") (param i32 i32 i32 i32) (result i32) i32.const 16)
    (func (export "tick") (result i32) i32.const 16)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)"#;

/// A function that returns the number of its order, which is its last parameter.
const PLACE: &str = r#"(func (export "test:shop/orders@VERSION#place") (param i32 i32 i32) (result i32) local.get 2)"#;
const CANCEL: &str =
    r#"(func (export "test:shop/orders@VERSION#cancel") (param i32) (result i32) i32.const 1)"#;

/// A version of the interface `orders`, and the functions of a module that implements it.
struct Version {
    number: &'static str,
    interface: &'static str,
    functions: &'static [&'static str],
}

const FIRST: Version = Version {
    number: "1.0.0",
    interface: "place: func(item: string, count: u8) -> u32;",
    functions: &[PLACE],
};

/// A wider parameter, and a further function.
const WIDER: Version = Version {
    number: "1.1.0",
    interface: "place: func(item: string, count: u32) -> u32; cancel: func(order: u32) -> bool;",
    functions: &[PLACE, CANCEL],
};

/// A result that old clients do not understand.
const OTHER_RESULT: Version = Version {
    number: "1.2.0",
    interface: "place: func(item: string, count: u8) -> bool;",
    functions: &[PLACE],
};

/// The same functions as the first one, of another major version.
const MAJOR: Version = Version {
    number: "2.0.0",
    ..FIRST
};

impl Version {
    /// A component that serves this version.
    fn component(&self) -> Result<Vec<u8>> {
        let Self {
            number, interface, ..
        } = self;
        let wit = format!(
            "package test:shop@{number};
            interface orders {{ {interface} }}
            world shop {{
                export orders;
                export handle: func(topic: string, payload: list<u8>) -> result<_, string>;
                export tick: func() -> result<_, string>;
            }}"
        );

        let functions = self.functions.concat().replace("VERSION", number);
        let mut module = wat::parse_str(format!("(module {COMMON} {functions})"))?;

        let mut resolve = Resolve::default();
        let package = resolve.push_str("shop.wit", &wit)?;
        let world = resolve.select_world(&[package], Some("shop"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .encode()
    }
}

/// Compares two versions by `miqro-host check`.
fn check(old: &Version, new: &Version) -> Result<Output> {
    let folder = TempDir::new()?;
    let file = |name: &str, version: &Version| -> Result<_> {
        let file = folder.path().join(name);
        std::fs::write(&file, version.component()?)?;
        Ok(file)
    };
    let old = file("old.wasm", old)?;
    let new = file("new.wasm", new)?;
    let mut command = host::command()?;
    command.arg("check").arg("--against").args([old, new]);
    Ok(command.output()?)
}

#[test]
fn check_accepts_a_compatible_version_and_names_what_others_break() -> Result<()> {
    let compatible = check(&FIRST, &WIDER)?;
    let text = String::from_utf8(compatible.stdout)?;
    ensure!(compatible.status.success(), "{text}");
    assert!(text.contains("it fulfils the interfaces of"), "{text}");

    let broken = [
        (&WIDER, &FIRST, "test:shop/orders@1.0.0 in place of"),
        (&FIRST, &OTHER_RESULT, "test:shop/orders@1.0.0, place"),
        (&FIRST, &MAJOR, "test:shop/orders@2.0.0 in place of"),
    ];
    for (old, new, expected) in broken {
        let found = check(old, new)?;
        let text = String::from_utf8(found.stdout)?;
        assert_eq!(found.status.code(), Some(1), "{text}");
        let mut lines = text.lines().filter(|line| line.starts_with("  - it "));
        assert!(lines.any(|line| line.contains(expected)), "{text}");
    }

    Ok(())
}

/// The hot swap makes the same check, and calls of old clients are answered by the compatible version.
#[tokio::test]
async fn swap_makes_the_same_check() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("shop.wasm");
    std::fs::write(&file, FIRST.component()?)?;
    let component = file.to_str().context("the path is not UTF-8")?;
    let host = Host::plain(broker.port())
        .top("services", json!({ "shop": { "component": component } }))
        .spawn()?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("answer/#", 1).await?;
    client.subscribe("service/shop/online", 1).await?;
    assert_eq!(client.expect("service/shop/online").await?.text(), "1");
    let order = |count: &str| {
        let mut message = invoke("", &format!("[\"tea\", {count}]"), "answer/x", b"1");
        message.topic = "test.shop/Orders/rpc/place".to_owned();
        message
    };

    client.send(order("3")).await?;
    assert_eq!(client.expect("answer/x").await?.text(), "3");
    client.send(order("300")).await?;
    let refused = client.expect("answer/x").await?;
    assert_eq!(error(&refused).0, "invalid-arguments");

    let replace = |version: &Version| -> Result<usize> {
        let line = host.output().lines().len();
        let new = folder.path().join("shop.new");
        std::fs::write(&new, version.component()?)?;
        std::fs::rename(new, &file)?;
        Ok(line)
    };

    let line = replace(&WIDER)?;
    host.output().says(line, "takes over").await?;
    for count in ["3", "300"] {
        client.send(order(count)).await?;
        assert_eq!(client.expect("answer/x").await?.text(), count);
    }
    assert_eq!(host.output().count("in place of test:shop"), 0);

    let line = replace(&MAJOR)?;
    let expected =
        "the new version exports test:shop/orders@2.0.0 in place of test:shop/orders@1.1.0";
    host.output().says(line, expected).await?;
    Ok(())
}
