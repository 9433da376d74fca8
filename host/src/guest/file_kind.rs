//! Kinds of files, recognised by their first bytes, so that an error can say what a file is instead of a component.

use std::fmt;

use wasmtime::Engine;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    CoreModule,
    /// WebAssembly of an unknown version, or cut off in its header.
    BrokenWasm,
    /// Code that wasmtime has already compiled.
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
    /// An empty file.
    Empty,
    /// Any other file.
    Unknown,
}

impl FileKind {
    /// The kind of a file with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Self::Component,
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Self::CoreModule,
            [0, b'a', b's', b'm', ..] => Self::BrokenWasm,
            // compiled code is an ELF file too
            _ if Engine::detect_precompiled(bytes).is_some() => Self::Precompiled,
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

    /// Advice on how to get a component, as the end of a sentence; empty where there is none.
    pub fn advice(self) -> &'static str {
        match self {
            Self::CoreModule => {
                ": build it for the target wasm32-wasip2 (`cargo build --target wasm32-wasip2`), or with `miqro-host build`, \
                 which makes a component of it"
            }
            Self::BrokenWasm => ": it is cut off or damaged; build it again",
            Self::Precompiled => {
                ": compiled code is not accepted, because it cannot be checked; give the component it was made from: the \
                 host keeps compiled code itself"
            }
            Self::WasmText => ": translate it with `wasm-tools parse`",
            Self::Elf => ": it is built for this machine; build it for the target wasm32-wasip2",
            Self::Gzip | Self::Zip => ": unpack it first",
            Self::Html => ": perhaps a download that ended in an error page",
            Self::Script | Self::Text => ": give the .wasm file that is built from it",
            Self::Empty => ": perhaps a build or copy that has not finished",
            Self::Component | Self::Unknown => "",
        }
    }
}

impl fmt::Display for FileKind {
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
