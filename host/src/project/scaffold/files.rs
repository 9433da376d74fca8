//! The files of new projects: those of the SDKs, which are copied, and those of the templates, which are filled in.

use super::Language;

/// A file of a project: its path and its text.
pub(super) type File = (&'static str, &'static str);

/// Files of a folder of the repository, for a folder of a project.
macro_rules! files {
    ($from:literal => $to:literal: $($path:literal),+ $(,)?) => {
        &[$((
            concat!($to, $path),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $from, $path)),
        )),+]
    };
}

/// Includes a file of the repository whose name in a project is another one.
macro_rules! file {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path))
    };
}

pub(super) const README: &str = file!("templates/common/README.md");

const COMMON: &[File] = &[
    ("scenario.yml", file!("templates/common/scenario.yml")),
    (
        ".gitignore",
        "*.wasm\n*.log\nbuild/\n.venv/\nnode_modules/\n__pycache__/\ntarget/\n",
    ),
];

/// The exports of a service whose language has no macros for them.
const WORLD: &[File] = &[("wit/app.wit", file!("templates/common/app.wit"))];

const CONTRACT: &[File] = files!("wit/" => "wit/": "service.wit");

const PYTHON: &[File] = files!("templates/python/" => "": "app.py", "test_app.py", "pyproject.toml", "requirements.txt");

const PYTHON_SDK: &[File] = files!(
    "sdk/python/miqro_sdk/" => "miqro_sdk/":
    "__init__.py",
    "_convert.py",
    "_errors.py",
    "_host.py",
    "_logger.py",
    "_loop.py",
    "_messages.py",
    "_path_state.py",
    "_registry.py",
    "_service.py",
    "_topics.py",
    "_world.py",
    "ha_sensors/__init__.py",
    "ha_sensors/_climate.py",
    "ha_sensors/_device.py",
    "ha_sensors/_entity.py",
    "ha_sensors/_kinds.py",
    "http/__init__.py",
    "http/_exchange.py",
    "http/_outgoing.py",
    "http/_response.py",
    "http/exceptions.py",
    "log.py",
    "state.py",
    "testing/__init__.py",
    "testing/bindings.py",
    "timers.py",
);

/// The interfaces of WASI that a world of Python may import.
const PYTHON_WIT: &[File] =
    files!("sdk/python/wit/" => "wit/deps/": "wasi-http.wit", "wasi-io.wit");

const JAVASCRIPT: &[File] = &[
    ("src/app.js", file!("templates/js/app.js")),
    ("src/greeting.js", file!("templates/js/greeting.js")),
    (
        "test/greeting.test.js",
        file!("templates/js/greeting.test.js"),
    ),
    ("package.json", file!("templates/js/package.json")),
];

const TYPESCRIPT: &[File] = &[
    ("src/app.ts", file!("templates/ts/app.ts")),
    ("src/greeting.ts", file!("templates/ts/greeting.ts")),
    (
        "test/greeting.test.ts",
        file!("templates/ts/greeting.test.ts"),
    ),
    ("package.json", file!("templates/ts/package.json")),
    ("tsconfig.json", file!("templates/ts/tsconfig.json")),
];

const JS_SDK: &[File] = files!(
    "sdk/js/" => "miqro-sdk/":
    "README.md",
    "bytes.js",
    "index.d.ts",
    "index.js",
    "package.json",
    "registry.js",
    "service.d.ts",
    "service.js",
);

const C: &[File] =
    files!("templates/c/" => "": "app.c", "greeting.h", "test_greeting.c", "requirements.txt");

const CPP: &[File] = files!("templates/cpp/" => "": "app.cpp", "greeting.hpp", "test_greeting.cpp");

const CPP_TOOLS: &[File] = files!("templates/c/" => "": "requirements.txt");

const C_SDK: &[File] = files!("sdk/c/" => "": "miqro.h");

const GO: &[File] = &[
    ("main.go", file!("templates/go/main.go.template")),
    ("greeting.go", file!("templates/go/greeting.go.template")),
    ("main_test.go", file!("templates/go/main_test.go.template")),
    ("go.mod", file!("templates/go/go.mod.template")),
    ("requirements.txt", file!("templates/go/requirements.txt")),
];

const GO_SDK: &[File] =
    files!("sdk/go/" => "miqro/": "contract_native.go", "contract_wasip1.go", "miqro.go");

const RUST: &[File] = &[
    ("src/lib.rs", file!("templates/rust/lib.rs")),
    ("Cargo.toml", file!("templates/rust/Cargo.toml.template")),
];

const RUST_SDK: &[File] = files!(
    "sdk/rust/" => "miqro-sdk/":
    "Cargo.toml",
    "README.md",
    "src/clock.rs",
    "src/component.rs",
    "src/config.rs",
    "src/counters.rs",
    "src/decode.rs",
    "src/encode.rs",
    "src/error.rs",
    "src/finite.rs",
    "src/handlers.rs",
    "src/home_assistant/announcement.rs",
    "src/home_assistant/check.rs",
    "src/home_assistant/classes.rs",
    "src/home_assistant/classes.txt",
    "src/home_assistant/component.rs",
    "src/home_assistant/device.rs",
    "src/home_assistant/entity.rs",
    "src/home_assistant/kinds.rs",
    "src/home_assistant/mod.rs",
    "src/home_assistant/rules.rs",
    "src/home_assistant/schema.rs",
    "src/home_assistant/schema.txt",
    "src/home_assistant/value.rs",
    "src/host.rs",
    "src/host/http.rs",
    "src/http.rs",
    "src/json.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/message.rs",
    "src/messaging.rs",
    "src/registry.rs",
    "src/request.rs",
    "src/runtime.rs",
    "src/service.rs",
    "src/span.rs",
    "src/state.rs",
    "src/streams/branches.rs",
    "src/streams/mod.rs",
    "src/streams/operator.rs",
    "src/streams/operators.rs",
    "src/streams/reading.rs",
    "src/streams/window.rs",
    "src/test/host.rs",
    "src/test/imports.rs",
    "src/test/mod.rs",
    "src/test/setup.rs",
    "src/test/timers.rs",
    "src/test/world.rs",
    "src/timers.rs",
    "src/topic.rs",
);

const RUST_BINDINGS: &[File] = files!("sdk/rust/bindings/" => "miqro-sdk/bindings/": "Cargo.toml", "src/lib.rs", "wit/service.wit");

const RUST_MACROS: &[File] = files!(
    "sdk/rust/macros/" => "miqro-sdk/macros/":
    "Cargo.toml",
    "src/annotation.rs",
    "src/expand.rs",
    "src/exports.rs",
    "src/interfaces.rs",
    "src/lib.rs",
    "src/method.rs",
    "src/serve.rs",
    "src/stub.rs",
    "wit/service.wit",
);

/// The parts of a project in `language` that are filled in.
pub(super) fn templates(language: Language) -> &'static [&'static [File]] {
    match language {
        Language::Rust => &[COMMON, RUST],
        Language::Python => &[COMMON, WORLD, PYTHON],
        Language::JavaScript => &[COMMON, WORLD, JAVASCRIPT],
        Language::TypeScript => &[COMMON, WORLD, TYPESCRIPT],
        Language::C => &[COMMON, WORLD, C],
        Language::Cpp => &[COMMON, WORLD, CPP],
        Language::Go => &[COMMON, WORLD, GO],
    }
}

/// The parts of a project in `language` that are copied: its SDK, and the contract for the tools that read it.
pub(super) fn copied(language: Language) -> &'static [&'static [File]] {
    match language {
        Language::Rust => &[RUST_SDK, RUST_BINDINGS, RUST_MACROS],
        Language::Python => &[CONTRACT, PYTHON_SDK, PYTHON_WIT],
        Language::JavaScript | Language::TypeScript => &[CONTRACT, JS_SDK],
        Language::C => &[CONTRACT, C_SDK],
        Language::Cpp => &[CONTRACT, C_SDK, CPP_TOOLS],
        Language::Go => &[CONTRACT, GO_SDK],
    }
}
