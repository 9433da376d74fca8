//! The keys of `serve` and `call` for the reference.

use crate::config::key::Key;

use super::{CALL, SERVE};

/// The keys for the reference.
pub(in crate::config) fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "serve",
            "The typed interfaces of the component that are served: see [typed services](typed-services.md). `[]`: none. An item is \
             the name of an interface, or a section.",
            "list of interfaces and sections",
        )
        .default("all that it exports, without those of `miqro` and `wasi`")
        .example(SERVE)
        .keys(serve_keys()),
        Key::new(
            "call",
            "The interfaces that the component imports and that are called over the network. An item is the name of an interface, \
             or a section.",
            "list of interfaces and sections",
        )
        .example(CALL)
        .keys(call_keys()),
    ]
}

fn serve_keys() -> Vec<Key> {
    let own = vec![
        Key::new(
            "void_answer",
            "The answer of an operation without a result: `0`, `null` or none. Peers differ: those of C++ send none, and Python's \
             wait for one.",
            "`zero`, `null`, `none`",
        )
        .default("`zero`")
        .example("\"null\""),
        Key::new(
            "share",
            "The group of providers that share the calls, as in a shared subscription; without it, each provider gets all of \
             them.",
            "text",
        )
        .example("climate"),
    ];

    [network_keys(), own].concat()
}

fn call_keys() -> Vec<Key> {
    let own = vec![
        Key::new(
            "deadline",
            "How long a call waits for its answer, and a first read of a property for its value.",
            "duration, 1ms to 1d",
        )
        .default("`30s`")
        .example("2s"),
        Key::new(
            "awaits_void",
            "Whether an operation without a result waits for an answer. Providers of C++ send none.",
            "`true`, `false`",
        )
        .default("`true`")
        .example("false"),
        Key::new(
            "local",
            "Whether calls to a service of this host skip the broker.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
    ];

    [network_keys(), own].concat()
}

fn network_keys() -> Vec<Key> {
    vec![
        Key::new(
            "interface",
            "The interface; without a version, any version.",
            "name of an interface",
        )
        .example("'io:world/hello@1.0.0'"),
        Key::new(
            "signals",
            "The interface with its signals: imported by the component that serves it, exported by the one that calls it.",
            "name of an interface",
        )
        .default("the interface with `-signals` at the end, if there is one")
        .example("'io:world/hello-signals'"),
        Key::new("module", "The first part of the topics.", "text")
            .default("the package with dots: `io.world`")
            .example("io.world"),
        Key::new("name", "The second part of the topics.", "text")
            .default("the interface in upper camel case: `Hello`")
            .example("Hello"),
        Key::new(
            "names",
            "Spellings of members, fields, cases and flags that are not in lower camel case: the name in WIT with the spelling.",
            "section",
        )
        .example("{just-said: JUST_SAID}"),
        Key::new(
            "enums",
            "Numbers of the cases of enumerations that do not count from 0: the name in WIT with a list.",
            "section",
        )
        .example("{when: [1, 2, 4]}"),
        Key::new(
            "operations",
            "Functions `get-x` and `set-x` that are operations and not the property `x`.",
            "list of names",
        )
        .example("[get-older]"),
        Key::new(
            "qos",
            "The QoS of properties, of requests to set them, of signals and of calls. An answer has the QoS of its call.",
            "number, 0 to 2",
        )
        .default("`1`")
        .example("2"),
    ]
}
