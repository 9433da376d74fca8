//! Conditions, as services have them.

use crate::expression::{Expression, Scope};

fn holds(condition: &str, message: &str) -> Result<bool, String> {
    condition.parse::<Expression>()?.holds(&Scope::new(message))
}

#[test]
fn conditions_of_the_original_hold_as_in_python() {
    let cases = [
        ("is_on(value)", "ON", true),
        ("is_off(value)", "0", true),
        ("not value_json['contact']", "{\"contact\": false}", true),
        ("value == 'online'", "online", true),
        ("value_float < 2", "1.5", true),
        ("value_float < 2", "warm", false),
        ("value_float < 0 or value_float > 11", "12", true),
        ("value_float > -3", "-2", true),
        ("2 < value_float <= 5", "5", true),
        ("2 < value_float <= 5", "2", false),
        ("value_json.get('a') == 1", "{\"b\": 1}", false),
        (
            "value_json['a']['b'][1] == 'x'",
            "{\"a\": {\"b\": [0, \"x\"]}}",
            true,
        ),
        ("value_json.get('battery', 100) < 20", "{}", false),
        ("'smoke' in value_json", "{\"smoke\": true}", true),
        ("value not in 'abc'", "d", true),
        (
            "value.lower().startswith('al') and not value.endswith(\"m!\")",
            "ALARM",
            true,
        ),
        ("(1 + 2 * 3 - 4 / 2) % 3 == 2", "", true),
        (
            "-7 % 3 == 2 and abs(-1) == True and len(value) == 2",
            "ab",
            true,
        ),
        ("value_json is None", "null", true),
        ("value_json != None and value or value_float", "0", true),
        ("value_json and value_float", "0", false),
    ];

    for (condition, message, expected) in cases {
        let condition = condition.replace("{}", "None");
        assert_eq!(
            holds(&condition, message),
            Ok(expected),
            "{condition} of {message:?}"
        );
    }
}

#[test]
fn invalid_conditions_are_refused() {
    let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
    for wrong in [
        "",
        "value ==",
        "import os",
        "__import__('os')",
        "value.__class__",
        "open('x')",
        "1 2",
        "'x",
        "is_on()",
        "(1",
        "a",
        "1..2",
        "value[",
        "not",
        &deep,
    ] {
        assert!(wrong.parse::<Expression>().is_err(), "{wrong}");
    }
}

#[test]
fn unsupported_expressions_are_errors() {
    for (condition, message) in [
        ("value_json['a'] == 1", "{}"),
        ("value < 2", "1"),
        ("1 / value_float", "0"),
        ("float(value) > 1", "x"),
        ("value_json[0]", "[]"),
    ] {
        assert!(holds(condition, message).is_err(), "{condition}");
    }
}
