//! Machine: what a file is. In: its bytes. Out: a description for `miqro-host check`: component or not, contract fulfilled or
//! not, what it imports; and what to do where it is no component. Owns nothing.

use std::fmt;

use crate::config::NEEDS;
use crate::guest::component::{ComponentError, Exports};
use crate::guest::engine::Engine;

/// What bytes are, by their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    CoreModule,
    /// WebAssembly with a version that nobody knows, or cut off in its header.
    BrokenWasm,
    /// Code that wasmtime has compiled already.
    Precompiled,
    /// WebAssembly's text format.
    WasmText,
    /// An ELF executable or library.
    Elf,
    /// A gzip file.
    Gzip,
    /// A zip file.
    Zip,
    /// An HTML page.
    Html,
    /// A script that starts with `#!`.
    Script,
    /// Other text.
    Text,
    /// Nothing at all.
    Empty,
    /// Something else.
    Unknown,
}

impl Kind {
    /// Looks at the beginning of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Self::Component,
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Self::CoreModule,
            [0, b'a', b's', b'm', ..] => Self::BrokenWasm,
            // compiled code is an ELF file too
            _ if wasmtime::Engine::detect_precompiled(bytes).is_some() => Self::Precompiled,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            [b'#', b'!', ..] => Self::Script,
            _ => Self::of_text(bytes),
        }
    }

    fn of_text(bytes: &[u8]) -> Self {
        let start = &bytes[..bytes.len().min(512)];
        if start.contains(&0)
            || start
                .utf8_chunks()
                .next()
                .is_none_or(|chunk| chunk.valid().len() + 3 < start.len())
        {
            return Self::Unknown;
        }
        let text = String::from_utf8_lossy(start)
            .trim_start()
            .to_ascii_lowercase();
        match &*text {
            text if text.starts_with("(component") || text.starts_with("(module") => Self::WasmText,
            text if text.starts_with("<!doctype html") || text.starts_with("<html") => Self::Html,
            _ => Self::Text,
        }
    }

    /// What to do with it, to follow a sentence; empty where there is nothing to advise.
    pub fn advice(self) -> &'static str {
        match self {
            Self::CoreModule => {
                ": build it for the target wasm32-wasip2 (`cargo build --target wasm32-wasip2`), or make a component of it \
                 with `wasm-tools component new`"
            }
            Self::BrokenWasm => ": it is cut off or damaged; build it again",
            Self::Precompiled => {
                ": compiled code is not accepted, because it cannot be checked; give the component that it was made of, the \
                 host keeps compiled code itself"
            }
            Self::WasmText => ": translate it with `wasm-tools parse`",
            Self::Elf => ": it is built for this machine; build it for the target wasm32-wasip2",
            Self::Gzip | Self::Zip => ": unpack it first",
            Self::Html => ": a download that ended in an error page, perhaps",
            Self::Script | Self::Text => ": give the .wasm file that is built from it",
            Self::Empty => ": a build or copy that has not ended yet, perhaps",
            Self::Component | Self::Unknown => "",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "a component",
            Self::CoreModule => "a core module",
            Self::BrokenWasm => "broken WebAssembly",
            Self::Precompiled => "code compiled by wasmtime",
            Self::WasmText => "WebAssembly text",
            Self::Elf => "an ELF file",
            Self::Gzip => "a gzip file",
            Self::Zip => "a zip file",
            Self::Html => "an HTML page",
            Self::Script => "a script",
            Self::Text => "text",
            Self::Empty => "an empty file",
            Self::Unknown => "an unknown kind of file",
        })
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its size in bytes.
    pub bytes: usize,
    /// What it is by its beginning.
    pub kind: Kind,
    /// What it offers and uses, or why it cannot run here.
    pub contract: Result<Contract, ComponentError>,
}

/// What a component that fulfils the contract offers and uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Which optional exports it has.
    pub exports: Exports,
    /// The interfaces of `miqro:service` that it imports.
    pub miqro: Vec<String>,
    /// The interfaces of WASI that it imports.
    pub wasi: Vec<String>,
}

impl Contract {
    /// Lines of `miqro.yml` that would grant the service `name` what its component imports; empty when it imports nothing that needs
    /// a grant. Importing is not using: many a component imports more than it uses, because its language's library does.
    pub fn grants(&self, name: &str) -> String {
        let imports = |prefix: &str| {
            self.miqro
                .iter()
                .chain(&self.wasi)
                .any(|import| import.starts_with(prefix))
        };
        let lines: String = (NEEDS.iter().filter(|(import, ..)| imports(import)))
            .map(|(import, key, example)| {
                format!("\n      {key}: {example}  # {import}{}", condition(key))
            })
            .collect();
        if lines.is_empty() {
            lines
        } else {
            format!("services:\n  {name}:\n    grants:{lines}")
        }
    }
}

/// What the example of a grant does not say.
fn condition(key: &str) -> &'static str {
    match key {
        "publish" | "subscribe" => ", for topics outside of its own",
        "directories" => "; to write there: write: true",
        _ => "",
    }
}

impl Engine {
    /// Says what `bytes` are, and whether they fulfil the contract. Compiles them if they are a component, so it blocks.
    pub fn describe(&self, bytes: &[u8]) -> Description {
        let contract = self.compile(bytes).map(|component| {
            let (miqro, wasi) = component
                .imports()
                .iter()
                .cloned()
                .partition(|name| name.starts_with("miqro:"));
            Contract {
                exports: component.exports(),
                miqro,
                wasi,
            }
        });
        Description {
            bytes: bytes.len(),
            kind: Kind::of(bytes),
            contract,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contract = match &self.contract {
            Ok(contract) => contract,
            Err(error) => return write!(f, "{error}"),
        };
        writeln!(
            f,
            "a component of {} bytes that fulfils the contract miqro:service",
            self.bytes
        )?;
        let optional: String = contract
            .exports
            .names()
            .map(|name| format!(", {name}"))
            .collect();
        writeln!(f, "exports: handle, tick{optional}")?;
        writeln!(f, "imports of miqro: {}", or_none(&contract.miqro))?;
        write!(f, "imports of WASI: {}", or_none(&contract.wasi))
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
