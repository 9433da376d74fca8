//! Large components are compiled by another process, which hands the code over in the compile cache.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::{DirEntryExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use miqro_host::guest::{Engine, EngineOptions};
use tempfile::TempDir;

const HOST: &str = env!("CARGO_BIN_EXE_miqro-host");

/// A guest whose file is too large to be compiled by the host itself, because of a custom section.
fn large_guest() -> Vec<u8> {
    padded_guest(b'x')
}

/// The same with another custom section, and with some hundred functions besides.
fn padded_guest(padding: u8) -> Vec<u8> {
    let mut text =
        include_str!("../src/guest/tests/guest.wat").replace("(; handle ;)", "i32.const 0");
    let functions: String = (0..300)
        .map(|number| format!("(func (result i32) i32.const {number})"))
        .collect();
    text.insert_str(
        text.rfind(')').unwrap(),
        &format!("(core module {functions})"),
    );
    let mut bytes = wat::parse_str(text).unwrap();
    let padding = vec![padding; 2 << 20];
    // section 0, the length of the rest in LEB128, and an empty name
    let mut length = padding.len() + 1;
    bytes.push(0);
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.push(0);
    bytes.extend(padding);
    bytes
}

fn options(compiler: &Path, cache: &TempDir) -> EngineOptions {
    let cache_dir = cache.path().join("compiled");
    EngineOptions {
        cache_dir: Some(cache_dir),
        compiler: Some(compiler.to_owned()),
        services: 1,
        ..EngineOptions::default()
    }
}

/// A program in the place of `miqro-host`.
fn program(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("compiler");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_large_component_is_found_in_the_cache_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(options(Path::new(HOST), &folder)).unwrap();
    engine.compile(&large_guest()).unwrap();
    assert_eq!(
        engine.cache_use(),
        (1, 0),
        "the other process has compiled it"
    );
}

#[test]
fn the_command_warms_the_cache_of_a_host() {
    let folder = tempfile::tempdir().unwrap();
    compile_in_one_thread(&folder, &large_guest());
    let options = EngineOptions {
        compiler: None,
        ..options(Path::new(HOST), &folder)
    };
    let engine = Engine::new(options).unwrap();
    engine.compile(&large_guest()).unwrap();
    assert_eq!(engine.cache_use(), (1, 0));
}

/// The files with compiled functions, by their inodes.
fn function_files(folder: &TempDir) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(folder.path().join("compiled/functions")).unwrap();
    files
        .map(|file| file.unwrap())
        .map(|file| (file.path(), file.ino()))
        .collect()
}

/// Compiles in one thread: with several, the keys of functions depend on their order.
fn compile_in_one_thread(folder: &TempDir, component: &[u8]) {
    let file = folder.path().join("large.wasm");
    fs::write(&file, component).unwrap();
    let status = Command::new(HOST)
        .env("RAYON_NUM_THREADS", "1")
        .arg("compile")
        .arg(&file)
        .arg("--cache-dir")
        .arg(folder.path().join("compiled"))
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn functions_are_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    compile_in_one_thread(&folder, &large_guest());
    let first = function_files(&folder);
    assert_eq!(first.len(), 1);

    // functions that were compiled would be in another file
    compile_in_one_thread(&folder, &padded_guest(b'y'));
    assert_eq!(function_files(&folder), first);

    // one that is not whole is left out
    fs::write(&first[0].0, "a part").unwrap();
    compile_in_one_thread(&folder, &padded_guest(b'z'));
    assert_ne!(function_files(&folder), first);

    // and the host finds all three
    let engine = Engine::new(options(Path::new(HOST), &folder)).unwrap();
    for padding in [b'x', b'y', b'z'] {
        engine.compile(&padded_guest(padding)).unwrap();
    }
    assert_eq!(engine.cache_use(), (3, 0));
}

#[test]
fn a_compiler_that_is_killed_refuses_the_component() {
    let folder = tempfile::tempdir().unwrap();
    let killed = program(&folder, "cat > /dev/null; echo no memory >&2; kill -9 $$");
    let engine = Engine::new(options(&killed, &folder)).unwrap();
    let error = engine.compile(&large_guest()).map(drop).unwrap_err();
    let said = "the component cannot be compiled: the compiler ended by signal 9, with at most 2048 MiB of memory: no memory";
    assert_eq!(error.to_string(), said);
}

#[test]
fn a_compiler_that_takes_too_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let slow = program(&folder, "exec sleep 600");
    let options = EngineOptions {
        compile_timeout: std::time::Duration::from_millis(50),
        ..options(&slow, &folder)
    };
    let error = Engine::new(options)
        .unwrap()
        .compile(&large_guest())
        .map(drop)
        .unwrap_err();
    let said =
        "the component cannot be compiled: compiling took longer than the 50ms of compile_timeout";
    assert_eq!(error.to_string(), said);
}

#[test]
fn an_invalid_component_is_named_by_the_host_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = large_guest();
    broken.truncate(broken.len() - 1);
    let engine = Engine::new(options(Path::new(HOST), &folder)).unwrap();
    let error = engine.compile(&broken).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("the component is not valid: "), "{error}");
    assert_eq!(
        engine.cache_use(),
        (0, 0),
        "the host does not compile it again"
    );
}

#[test]
fn the_host_compiles_itself_when_no_process_starts() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let engine = Engine::new(options(&missing, &folder)).unwrap();
    engine.compile(&large_guest()).unwrap();
    assert_eq!(engine.cache_use(), (0, 1));
}

#[test]
fn code_in_the_cache_needs_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(options(Path::new(HOST), &folder)).unwrap();
    assert!(engine.find_compiled(&large_guest()).unwrap().is_none());
    engine.compile(&large_guest()).unwrap();

    let killed = program(&folder, "kill -9 $$");
    let engine = Engine::new(options(&killed, &folder)).unwrap();
    assert!(engine.find_compiled(&large_guest()).unwrap().is_some());
    let mut compiles = false;
    engine
        .compile_with(&large_guest(), || compiles = true)
        .unwrap();
    assert!(!compiles);
}

#[test]
fn components_of_the_same_bytes_share_their_code_while_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(options(Path::new(HOST), &folder)).unwrap();
    let first = engine.compile(&large_guest()).unwrap();
    let second = engine.compile(&large_guest()).unwrap();
    assert_eq!(
        engine.cache_use(),
        (1, 0),
        "the second has the code of the first"
    );

    drop(first);
    let third = engine.compile(&large_guest()).unwrap();
    assert_eq!(engine.cache_use(), (1, 0), "the second still has it");
    drop((second, third));
    engine.compile(&large_guest()).unwrap();
    assert_eq!(engine.cache_use(), (2, 0), "it was given up");
}
