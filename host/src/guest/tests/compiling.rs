//! Tests of the way from bytes to components: kinds of files, the contract, the compile cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

const OK: &str = "(call $ok)";

fn faults(text: &str) -> Vec<String> {
    match engine().compile(&wat::parse_str(text).unwrap()) {
        Err(ComponentError::Contract(faults)) => faults.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_whole_contract_is_accepted_and_described() {
    let described = engine().describe(&guest(OK));
    let component = described.component.unwrap();
    assert_eq!(
        component.exports.names().collect::<Vec<_>>(),
        ["start", "stop"]
    );
    assert_eq!(
        component.miqro,
        ["config", "log", "messaging", "timers"].map(|name| format!("miqro:service/{name}@0.1.0"))
    );
    assert_eq!(component.wasi, [""; 0]);
}

#[test]
fn peers_reserve_their_contracts_and_not_their_namespaces() {
    let found = faults(
        r#"(component
            (import "wasmcloud:devices/lamp@1.0.0" (instance (export "f" (func))))
            (import "spin:washer/drum" (instance (export "f" (func))))
            (import "wasmcloud:messaging/consumer@0.1.0" (instance (export "f" (func)))))"#,
    );

    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        found[2],
        "import \"wasmcloud:messaging/consumer@0.1.0\" is not offered; this host offers wasmcloud:messaging/consumer@0.2.0, wasmcloud:messaging/types@0.2.0"
    );
}

#[test]
fn all_missing_exports_are_reported_at_once() {
    let found = faults(
        r#"(component
            (import "miqro:service/messaging@0.1.0" (instance
                (export "publish" (func (param "topic" string)))
                (export "shout" (func))))
            (import "miqro:service/timers@0.2.0" (instance (export "cancel" (func (param "name" string)))))
            (import "miqro:service/clock@0.1.0" (instance (export "get" (func))))
            (import "wasi:nn/types@0.2.0" (instance (export "f" (func))))
            (import "wasi:keyvalue/store@0.3.0" (instance (export "f" (func))))
            (import "wasi:cli/environment@0.3.0" (instance (export "f" (func))))
            (import "other" (func))
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func (export "tick") (canon lift (core func $m "f"))))"#,
    );

    let expected = [
        "export \"handle\" is missing; it must be `export handle: func(topic: string, payload: list<u8>) -> result<_, string>`",
        "export \"tick\" is `func()`; it must be `export tick: func() -> result<_, string>`",
        "import \"miqro:service/messaging@0.1.0\": \"publish\" is `func(string)`; it must be `publish: func(topic: string, payload: list<u8>, options: option<publish-options>) -> result<option<delivery-token>, messaging-error>`",
        "import \"miqro:service/messaging@0.1.0\": there is no \"shout\"; there are publish, request, subscribe, unsubscribe, current-message",
        "import \"miqro:service/timers@0.2.0\": this host offers version 0.1.0",
        "import \"miqro:service/clock@0.1.0\" is not offered; of miqro:service@0.1.0 there are messaging, timers, config, state, log",
        "import \"wasi:nn/types@0.2.0\" is not offered; of WASI there are cli, clocks, filesystem, http, io, random, sockets",
        "import \"wasi:keyvalue/store@0.3.0\" is not offered; this host offers wasi:keyvalue/store@0.2.0-draft, wasi:keyvalue/store@0.2.0-draft2",
        "import \"wasi:cli/environment@0.3.0\": this host offers version 0.2 of WASI",
        "import \"other\" is not offered; a service may import interfaces of miqro:service@0.1.0 and wasi 0.2 only",
    ];

    for fault in expected {
        assert!(
            found.iter().any(|found| found == fault),
            "missing: {fault}\nin: {found:#?}"
        );
    }

    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn files_that_are_no_component_are_named_with_advice() {
    let files: [(&[u8], &str); 9] = [
        (
            b"",
            "an empty file, not a component: perhaps a build or copy that has not finished",
        ),
        (
            b"\0asm\x01\0\0\0",
            "a core module, not a component: build it for the target wasm32-wasip2",
        ),
        (
            b"\0asm\x0d\0",
            "broken WebAssembly, not a component: it is cut off",
        ),
        (
            b"<!DOCTYPE html><html>",
            "an HTML page, not a component: perhaps a download",
        ),
        (
            b"  (component)",
            "WebAssembly text, not a component: translate it",
        ),
        (
            b"\x7fELF\x02\x01\x01",
            "an ELF file, not a component: it is built for this machine",
        ),
        (b"\x1f\x8b\x08\0", "a gzip file, not a component: unpack"),
        (
            b"#!/bin/sh\n",
            "a script, not a component: give the .wasm file",
        ),
        (
            "Größe: 1\n".as_bytes(),
            "text, not a component: give the .wasm file",
        ),
    ];

    for (bytes, expected) in files {
        let text = engine().describe(bytes).to_string();
        assert!(text.starts_with(&format!("this is {expected}")), "{text}");
    }
    assert_eq!(
        engine().describe(&[1, 2, 0, 255]).to_string(),
        "this is an unknown kind of file, not a component"
    );
}

#[test]
fn compiled_code_is_refused() {
    let other = wasmtime::Engine::default();
    let compiled = other.precompile_component(&guest(OK)).unwrap();
    assert_eq!(FileKind::of(&compiled), FileKind::Precompiled);
    assert!(matches!(
        engine().compile(&compiled),
        Err(ComponentError::NotAComponent(FileKind::Precompiled))
    ));
}

#[test]
fn a_cut_off_component_is_invalid() {
    let bytes = guest(OK);
    for end in [8, 20, bytes.len() / 2, bytes.len() - 1] {
        let outcome = engine().compile(&bytes[..end]);
        assert!(
            matches!(
                outcome,
                Err(ComponentError::Invalid(_) | ComponentError::Contract(_))
            ),
            "{end}: {outcome:?}"
        );
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(entries(&entry.path())),
            false => files.push(entry.path()),
        }
    }

    files
}

#[tokio::test]
async fn compiled_code_is_reused_and_broken_entries_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("cache");
    let bytes = guest(
        "(call $send (i32.const 1024) (i32.const 13) (local.get $payload) (local.get $payload_len))",
    );
    let mut outcomes = Vec::new();
    for expected in [(0, 1), (1, 0), (0, 1)] {
        let engine = cached_engine(&dir);
        let component = engine.compile(&bytes).unwrap();
        assert_eq!(engine.cache_use(), expected);
        let guest = component.instantiate(Arc::new(ctx())).await.unwrap();
        outcomes.push(guest.call(message("x")).await.1.unwrap());
        if expected == (1, 0) {
            for entry in entries(&dir) {
                let half = fs::read(&entry).unwrap();
                fs::write(&entry, &half[..half.len() / 2]).unwrap();
            }
        }
    }

    assert!(
        outcomes
            .iter()
            .all(|effects| *effects == outcomes[0] && effects.publishes.len() == 1)
    );
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let options = EngineOptions {
        cache_dir: Some(dir.path().to_owned()),
        ..EngineOptions::default()
    };
    let error = Engine::new(options).map(drop).unwrap_err().to_string();
    assert!(
        error.contains(&dir.path().display().to_string())
            && error.contains("others can write to it"),
        "{error}"
    );
}

#[test]
fn a_file_in_place_of_the_cache_is_a_named_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = EngineOptions {
        cache_dir: Some(file.path().to_owned()),
        ..EngineOptions::default()
    };
    let error = Engine::new(options).map(drop).unwrap_err().to_string();
    assert!(
        error.contains(&file.path().display().to_string()),
        "{error}"
    );
}
