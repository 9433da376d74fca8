//! The difference between two configurations: the lines that are shown, and the actions that follow.

use super::quiet;
use crate::config::Difference;

fn difference(before: &str, after: &str) -> Difference {
    quiet(before).difference(&quiet(after))
}

fn names(services: &[crate::config::Service]) -> Vec<&str> {
    services
        .iter()
        .map(|service| service.name.as_str())
        .collect()
}

#[test]
fn the_same_text_changes_nothing() {
    let text =
        "broker: {host: b}\nauth: {username: a, password: p}\nservices: {echo: {x: [1, {y: 2}]}}";
    assert!(difference(text, text).is_empty());
}

#[test]
fn every_key_is_shown_with_both_values() {
    let change = difference(
        "broker: {host: b, keepalive: 60}\nservices: {echo: {x: 1, old: y}}",
        "broker: {host: c, keepalive: 60}\nlog_level: DEBUG\nservices: {echo: {x: 2, new: [1, 2]}}",
    );
    let expected = [
        "broker.host: \"b\" -> \"c\"",
        "log.level: \"INFO\" -> \"DEBUG\"",
        "services.echo.new: nothing -> [1,2]",
        "services.echo.old: \"y\" -> nothing",
        "services.echo.x: 1 -> 2",
    ];

    assert_eq!(change.lines, expected);
    assert!(change.connection && change.restart.is_empty());
}

#[test]
fn no_secret_is_shown_and_yet_its_change_is() {
    let change = difference(
        "broker: {host: b}\nauth: {username: anna, password: geheim1}",
        "broker: {host: b}\nauth: {username: anna, password: geheim2}",
    );
    assert_eq!(change.lines, ["auth.password: another secret (not shown)"]);
    assert!(change.connection);
}

#[test]
fn services_are_added_removed_and_changed() {
    let change = difference(
        "services: {a: {x: 1}, b: {x: 1}, c: {x: 1}, d: {log_level: INFO}}",
        "services: {a: {x: 1}, b: {x: 2}, d: {log_level: DEBUG}, e: {x: 1}}",
    );
    assert_eq!(
        (names(&change.changed), names(&change.added)),
        (vec!["b"], vec!["e"])
    );
    assert_eq!(change.removed, ["c"]);
    assert!(!change.connection);
}

#[test]
fn a_new_base_topic_removes_and_adds_the_service() {
    let change = difference(
        "services: {a: {x: 1}}",
        "services: {a: {x: 1, data_topic: b}}",
    );
    assert_eq!(
        (names(&change.added), change.removed, change.changed.len()),
        (vec!["a"], vec!["a".to_owned()], 0)
    );
}

#[test]
fn fixed_settings_need_a_restart() {
    let restart = |before, after| difference(before, after).restart.join(" ");
    assert_eq!(
        restart("", "broker: {embedded: {listen: 127.0.0.1:1884}}"),
        "broker.embedded.listen"
    );
    assert_eq!(
        restart("", "broker: {embedded: {data_dir: x}}"),
        "broker.embedded.data_dir"
    );
    assert_eq!(
        restart(
            "",
            "broker: {embedded: {users: [{username: a, password: b}]}}"
        ),
        "broker.embedded.users"
    );

    assert_eq!(
        restart("", "broker: {embedded: {limits: {connections: 9}}}"),
        "broker.embedded.limits"
    );
    assert_eq!(
        restart("cache_dir: a", "cache_dir: b\npresence_connections: 1"),
        "cache_dir presence_connections"
    );
    assert!(restart("", "broker: {host: b}").contains("embedded"));
    assert_eq!(
        restart(
            "broker: {host: a}",
            "broker: {host: b, keepalive: 9}\nstop_deadline: 1s"
        ),
        ""
    );

    assert_eq!(
        restart("broker: {host: a}", "broker: {host: a, protocol: 3.1.1}"),
        "broker.protocol"
    );
}
