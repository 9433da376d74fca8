//! YAML: anchors, merge keys, tags, bounds; and that its values are those that serde_yaml reads, an independent reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{problems, quiet, warnings};
use crate::config::{Config, Selection};

/// The free part of a service whose section is `text`, in flow style.
fn free(text: &str) -> Value {
    quiet(&format!("services: {{echo: {text}}}")).services[0]
        .config
        .json
        .clone()
}

#[test]
fn free_values_become_json() {
    let json = free(
        "{a: 1, b: -2.5, c: true, d: null, e: [x, '1', {f: ~}], 1: one, true: yes!, ~: n, g: 18446744073709551615}",
    );
    let expected = json!({"a": 1, "b": -2.5, "c": true, "d": null, "e": ["x", "1", {"f": null}],
        "1": "one", "true": "yes!", "~": "n", "g": 18_446_744_073_709_551_615u64});
    assert_eq!(json, expected);
}

#[test]
fn values_outside_json_are_refused() {
    assert!(
        problems("services: {echo: {a: .nan}}")
            .contains("1: services.echo.a: JSON, which the service gets, has no .nan")
    );
    assert!(problems("services: {echo: {a: [1, -.inf]}}").contains("services.echo.a[1]: "));
    assert!(
        problems("services: {echo: {a: 99999999999999999999}}")
            .contains("does not fit into 64 bits")
    );
    assert!(
        problems("services: {echo: {a: !celsius 3}}").contains("services.echo.a: the tag !celsius")
    );
    assert!(
        problems("services: {echo: {a: {b: !python/object:os.system [x]}}}")
            .contains("the tag !python/object:os.system")
    );
    assert!(
        problems("services: {echo: !section {a: 1}}").contains("services.echo: the tag !section")
    );
    assert!(problems("services: {echo: {[a]: 1}}").contains("a list or section cannot be a key"));
    assert!(
        problems("services: {echo: {a: !!int x}}").contains("is not of the type of its tag !!int")
    );
    assert_eq!(
        free("{a: !!str 1, b: !!int '2', c: ! 3, d: !!map {}, e: !!float 1}"),
        json!({"a": "1", "b": 2, "c": "3", "d": {}, "e": 1})
    );
}

#[test]
fn words_that_miqro_read_otherwise_give_a_warning() {
    let warnings = warnings(
        "services:\n  echo:\n    a: yes\n    b: [off, 'off']\n    c: 0123\n    d: 1_000\n    e: noon\n",
    );
    let lines: Vec<&str> = warnings.lines().collect();
    assert_eq!(lines.len(), 4, "{warnings}");
    assert!(
        lines[0]
            .starts_with("miqro.yml:3: services.echo.a: yes is text here and was `true` in MIQRO"),
        "{warnings}"
    );
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let config = quiet(
        "x-small: &small {memory: 4MiB, mailbox: 5}\nx-big: &big {mailbox: 6, timers: 7}\nservices:\n  a: {limits: *small}\n  b: {limits: {<<: *small, mailbox: 9}}\n  c: {limits: {timers: 1, <<: [*small, *big]}, name: &n text, same: *n}\n",
    );
    let limits: Vec<_> = config
        .services
        .iter()
        .map(|s| {
            (
                s.limits.memory.bytes >> 20,
                s.limits.mailbox.messages,
                s.limits.total.timers,
            )
        })
        .collect();

    assert_eq!(limits, [(4, 5, 1000), (4, 9, 1000), (4, 5, 1)]);
    assert_eq!(
        config.services[2].config.json,
        json!({"name": "text", "same": "text"})
    );
    assert!(problems("services: {a: {b: {<<: 5}}}").contains("<< takes a section"));
    assert!(problems("services: {a: {'<<': kept}}").contains("the key << cannot be put in quotes"));
    assert!(problems("services: {a: &a {b: *a}}").contains("the value that it is part of"));
}

#[test]
fn texts_that_stand_for_too_much_are_refused_quickly() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![alias; 9].join(", ")));
    }
    assert!(problems(&bomb).contains("more than 100000 values, aliases included"));
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let deep = |levels: usize| [open.repeat(levels), close.repeat(levels)].concat();
        assert!(
            problems(&deep(65)).contains("nested more than 64 levels deep"),
            "{open}"
        );
        // whichever comes first, the parser's own bound or ours
        assert!(problems(&deep(20_000)).lines().count() == 1, "{open}");
    }

    assert!(problems("a: 1\n---\nb: 2\n").contains("a second YAML document"));
}

#[test]
fn files_from_other_systems_are_read() {
    let config = quiet(
        "\u{feff}# über\r\nlog_level: DEBUG\r\nservices:\r\n  echo: {text: \"größer\",\r\n    list: [\r\n      1,\r\n    ]}\r\n",
    );
    assert_eq!(
        config.services[0].config.json,
        json!({"text": "größer", "list": [1]})
    );
}

/// JSON as it may stand in a section; keys that are for the host are left out by their capital letter.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["\\PC{0,12}", "[a-z0-9_.:#'\" \n\t-]{0,16}", any::<String>()]
        .prop_map(without_old_breaks)
        .boxed();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |x| x.is_finite())
            .prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];

    leaf.prop_recursive(4, 32, 6, move |inner| {
        let key = text.clone().prop_map(|key| format!("K{key}"));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// serde_yaml writes YAML 1.1, where these characters break lines; in YAML 1.2 they are ordinary ones.
fn without_old_breaks(text: String) -> String {
    text.replace(['\u{85}', '\u{2028}', '\u{2029}'], "-")
}

/// The members of sections that are free for the guest.
pub(super) fn any_section() -> impl Strategy<Value = Value> {
    prop::collection::vec(
        ("K\\PC{0,8}".prop_map(without_old_breaks), any_json()),
        0..4,
    )
    .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Pieces of YAML in any order.
fn any_yaml() -> impl Strategy<Value = String> {
    let pieces = [
        "broker", "services", "host", "embedded", "tls", "auth", "echo", "limits", "call", ": ",
        ":", "\n", "\n  ", "\n    ", "- ", "? ", "[", "]", "{", "}", ", ", "&a ", "*a", "<<",
        "!!int ", "!x ", "5s", "1", "null", "'", "\"", "|", ">", "#", " ", "\t", "---", "...",
        "%YAML", "\u{85}", "é", "\0",
    ];

    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in any_yaml(), noise: String) {
        for text in [text, noise] {
            let _ = Config::read(&text, None, Selection::All);
        }
    }

    #[test]
    fn no_damaged_sample_makes_the_loader_panic(at in 0usize..6000, length in 0usize..40, put in any_yaml()) {
        let sample = include_str!("../../../../miqro.yml");
        let cut = |at: usize| (0..=at.min(sample.len())).rev().find(|at| sample.is_char_boundary(*at)).unwrap_or(0);
        let damaged = [&sample[..cut(at)], &put, &sample[cut(at + length)..]].concat();
        let _ = Config::read(&damaged, None, Selection::All);
    }

    #[test]
    fn values_are_those_that_were_written(section in any_section()) {
        let text = serde_yaml::to_string(&json!({"services": {"echo": &section}})).unwrap();
        let loaded = Config::read(&text, None, Selection::All);
        let config = loaded.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?.config;
        prop_assert_eq!(&config.services[0].config.json, &section, "{}", text);
    }
}
