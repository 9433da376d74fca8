//! The guests of the project as tests use them: the files that `make guests` has built, also in
//! further versions.

use anyhow::{Context, Result, ensure};

use crate::place;

/// The version that stands in the guests `contract-lifecycle` and `contract-swap`.
pub const FIRST_VERSION: &str = "version-0000000001";

/// The component of the guest `name`.
///
/// # Errors
/// When it is not built.
pub fn component(name: &str) -> Result<Vec<u8>> {
    let file = place::project()
        .join("guests")
        .join(name)
        .with_extension("wasm");
    std::fs::read(&file)
        .with_context(|| format!("{} is not there: run `make guests`", file.display()))
}

/// Another component that does the same as `component`: it has one more custom section, with `mark` in it.
pub fn marked(component: &[u8], mark: u8) -> Vec<u8> {
    // section 0 (custom) of six bytes: a name of four, and the mark
    [component, &[0, 6, 4, b'm', b'a', b'r', b'k', mark]].concat()
}

/// Another component that does the same as `component` and takes seconds to compile: it has one more core module, with
/// `functions` different functions of some kilobytes each, of which no instance is made. At most 8192 functions.
pub fn large(component: &[u8], functions: usize) -> Vec<u8> {
    let bodies: Vec<u8> = (0..functions).flat_map(function).collect();
    let count = leb128(functions);
    let kinds = [count.clone(), vec![0; functions]].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &kinds),
        section(10, &[count, bodies].concat()),
    ]
    .concat();
    [component.to_vec(), section(1, &module)].concat()
}

/// A function with its size: an i32 from an i32, by its number and a thousand multiplications and additions with changing numbers.
fn function(number: usize) -> Vec<u8> {
    let [low, high] = [number as u8 | 0x80, (number >> 7) as u8 & 0x3f];
    let mut body = vec![0, 0x20, 0, 0x41, low, high, 0x6a];
    for number in 0..1_000 {
        body.extend([0x41, number as u8 & 0x3f | 1, 0x6c, 0x20, 0, 0x6a]);
    }
    body.push(0x0b);
    [leb128(body.len()), body].concat()
}

/// A section of a component or module.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb128(content.len()).as_slice(), content].concat()
}

/// A number as WebAssembly writes it.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 & 0x7f | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The guest `contract-lifecycle` with another version, as it says it itself.
///
/// # Errors
/// When the guest is not built or its version is not found.
pub fn lifecycle(number: u32) -> Result<Vec<u8>> {
    versioned("contract-lifecycle", number)
}

/// The guest `contract-swap` with another version, as it says it itself.
///
/// # Errors
/// When the guest is not built or its version is not found.
pub fn swap(number: u32) -> Result<Vec<u8>> {
    versioned("contract-swap", number)
}

fn versioned(guest: &str, number: u32) -> Result<Vec<u8>> {
    let mut bytes = component(guest)?;
    let old = FIRST_VERSION.as_bytes();
    let new = version(number);
    let places: Vec<usize> = (0..bytes.len() - old.len())
        .filter(|at| bytes[*at..].starts_with(old))
        .collect();
    ensure!(!places.is_empty(), "{guest} has no {FIRST_VERSION} in it");
    for at in places {
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    Ok(bytes)
}

/// How [`lifecycle`] writes a version.
pub fn version(number: u32) -> String {
    format!("version-{number:010}")
}
