//! Tests of topics and filters, against the specification's examples and against slow references written from its text.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn matches_as_the_examples_of_the_specification_say() {
    // sections 4.7.1.2, 4.7.1.3, 4.7.2 and 4.7.3
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "sport/tennis/player1/#",
            &[
                "sport/tennis/player1",
                "sport/tennis/player1/ranking",
                "sport/tennis/player1/score/wimbledon",
            ],
            &[
                "sport/tennis",
                "sport/tennis/player10",
                "sport/tennis/player2/ranking",
            ],
        ),
        (
            "sport/#",
            &["sport", "sport/", "sport/a/b"],
            &["sports", "/sport"],
        ),
        (
            "#",
            &["a", "/", "a/b/c", "/finance", "a$b", "a/$SYS"],
            &["$SYS", "$SYS/a"],
        ),
        (
            "sport/tennis/+",
            &["sport/tennis/player1", "sport/tennis/"],
            &["sport/tennis/player1/ranking"],
        ),
        ("sport/+", &["sport/"], &["sport", "sport/a/b"]),
        ("+", &["a"], &["/finance", "a/", "$a"]),
        (
            "+/+",
            &["/finance", "a/", "/"],
            &["finance", "$SYS/a", "a/b/c"],
        ),
        ("/+", &["/finance", "/"], &["finance", "a/b"]),
        (
            "+/tennis/#",
            &["a/tennis", "/tennis", "a/tennis/b"],
            &["tennis", "$a/tennis"],
        ),
        (
            "+/monitor/Clients",
            &["a/monitor/Clients"],
            &["$SYS/monitor/Clients"],
        ),
        (
            "$SYS/#",
            &["$SYS", "$SYS/", "$SYS/monitor/Clients"],
            &["SYS", "$SYS2"],
        ),
        (
            "$SYS/monitor/+",
            &["$SYS/monitor/Clients"],
            &["$SYS/monitor"],
        ),
        ("+/+/#", &["a/b", "a/", "a/b/c", "//"], &["a", "$a/b"]),
        ("a//b", &["a//b"], &["a/b", "a///b", "a/x/b"]),
        ("a/+/b", &["a//b", "a/x/b"], &["a/b"]),
        (
            "ACCOUNTS",
            &["ACCOUNTS"],
            &["Accounts", "ACCOUNTS/", "/ACCOUNTS"],
        ),
        ("Accounts payable", &["Accounts payable"], &["Accounts"]),
        ("$share/group/a/+", &["a/b"], &["$share/group/a/b", "a"]),
        ("$share/group/#", &["a"], &["$SYS/a"]),
        ("$share/group/$SYS/#", &["$SYS/a"], &["a"]),
    ];

    for (pattern, yes, no) in cases {
        yes.iter().for_each(|text| {
            assert!(
                filter(pattern).matches(&topic(text)),
                "{pattern} and {text}"
            )
        });

        no.iter().for_each(|text| {
            assert!(
                !filter(pattern).matches(&topic(text)),
                "{pattern} but {text}"
            )
        });
    }
}

#[test]
fn refuses_what_is_no_topic_and_says_why() {
    let longest = "x".repeat(MAX_TOPIC_BYTES);
    assert!(Topic::new(longest.clone()).is_ok());
    assert!(Filter::new(&longest).is_ok());
    assert_eq!(
        Topic::new(format!("{longest}x")),
        Err(TopicError::TooLong(MAX_TOPIC_BYTES + 1))
    );
    assert_eq!(
        Filter::new(&format!("{longest}x")),
        Err(TopicError::TooLong(MAX_TOPIC_BYTES + 1))
    );
    assert_eq!(Topic::new(""), Err(TopicError::Empty));
    assert_eq!(Filter::new(""), Err(TopicError::Empty));
    assert_eq!(
        Topic::new("a\0"),
        Err(TopicError::Character("a\0".to_owned(), '\0'))
    );
    assert_eq!(
        Topic::new("a/+"),
        Err(TopicError::Wildcard("a/+".to_owned()))
    );
    assert_eq!(Topic::new("a#"), Err(TopicError::Wildcard("a#".to_owned())));
    for text in [
        "sport/tennis#",
        "sport/tennis/#/ranking",
        "sport+",
        "a/b+/c",
        "##",
        "++",
        "#/a",
        "$share/g/a+",
    ] {
        assert_eq!(
            Filter::new(text),
            Err(TopicError::Misplaced(text.to_owned()))
        );
    }

    for text in [
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
    ] {
        assert_eq!(Filter::new(text), Err(TopicError::Share(text.to_owned())));
    }

    for text in [
        "/",
        "//",
        " ",
        "$share",
        "$shared/+/a",
        "$share/g//",
        "ä/水/+",
    ] {
        assert!(Filter::new(text).is_ok(), "{text}");
    }
}

#[test]
fn a_grant_covers_no_more_than_it_matches() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "a/#",
            &["a", "a/b", "a/+", "a/#", "a/+/#", "$share/g/a/#"],
            &["#", "+", "+/b", "b", "aa"],
        ),
        ("a/+", &["a/b", "a/+", "a/"], &["a", "a/#", "a/b/c", "+/+"]),
        ("#", &["#", "+", "+/#", "a/#", "/"], &["$SYS", "$SYS/#"]),
        ("+/#", &["#", "+/#", "a"], &["$SYS/#"]),
        ("+/+/#", &["+/+", "a/b/#"], &["#", "+/#", "a/#"]),
        ("$SYS/#", &["$SYS", "$SYS/+"], &["#", "+"]),
        ("/+/#", &["/#", "/+", "//"], &["#", "+/#"]),
    ];

    for (grant, yes, no) in cases {
        yes.iter()
            .for_each(|text| assert!(filter(grant).covers(&filter(text)), "{grant} and {text}"));
        no.iter()
            .for_each(|text| assert!(!filter(grant).covers(&filter(text)), "{grant} but {text}"));
    }
}

#[test]
fn a_base_topic_puts_services_below_itself() {
    let base = BaseTopic::of_service("echo").unwrap();
    assert_eq!(base, BaseTopic::new("service/echo/").unwrap());
    assert_eq!(base.topic("a/b").unwrap(), topic("service/echo/a/b"));
    assert_eq!(base.filter("+/#").unwrap(), filter("service/echo/+/#"));
    assert_eq!(
        base.filter("$share/g/+").unwrap(),
        filter("$share/g/service/echo/+")
    );
    for text in [
        "$share/g/",
        "$share/g",
        "$share/",
        "$share//a",
        "$share/+/a",
    ] {
        assert_eq!(
            base.filter(text)
                .map_err(|error| matches!(error, TopicError::Share(_))),
            Err(true),
            "{text}"
        );
    }

    assert_eq!(base.relative(&topic("service/echo/a/b")), Some("a/b"));
    assert_eq!(base.relative(&topic("service/echo/")), None);
    assert_eq!(base.relative(&topic("service/echo2")), None);
    assert_eq!(base.topic(""), Err(TopicError::Empty));
    assert_eq!(base.filter(""), Err(TopicError::Empty));
    assert!(base.topic("+").is_err() && base.filter("a+").is_err());
    assert!(BaseTopic::of_service("a/+").is_err());
}

/// The rules as section 4.7 tells them, level by level.
fn matches_by_the_book(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        // "the multi-level wildcard represents the parent and any number of child levels"
        (["#"], _) | ([], []) => true,
        (["+", below @ ..], [_, rest @ ..]) => matches_by_the_book(below, rest),
        ([wanted, below @ ..], [level, rest @ ..]) => {
            wanted == level && matches_by_the_book(below, rest)
        }
        _ => false,
    }
}

fn reference(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    // "MUST NOT match topic filters starting with a wildcard with topic names beginning with a $" (4.7.2)
    let hidden = topic[0].starts_with('$') && ["#", "+"].contains(&filter[0]);
    !hidden && matches_by_the_book(&filter, &topic)
}

/// A filter as section 4.7.1 allows it, by each wildcard's neighbours.
fn is_valid_by_the_book(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let bounded = |at: usize| {
        let before = at == 0 || chars[at - 1] == '/';
        let after = at + 1 == chars.len() || chars[at + 1] == '/';
        before && after
    };
    let fits = |(at, char): (usize, &char)| match char {
        '+' => bounded(at),
        '#' => bounded(at) && at + 1 == chars.len(),
        '\0' => false,
        _ => true,
    };

    !chars.is_empty() && chars.iter().enumerate().all(fits)
}

const LEVELS: [&str; 5] = ["", "a", "b", "ab", "$s"];

/// Every topic of up to five of these levels: more, and other, levels than any filter below has.
static TOPICS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut all: Vec<String> = LEVELS.iter().map(|level| (*level).to_owned()).collect();
    let mut longest = all.clone();
    for _ in 1..5 {
        longest = longest
            .iter()
            .flat_map(|start| LEVELS.map(|level| format!("{start}/{level}")))
            .collect();
        all.extend_from_slice(&longest);
    }

    all.retain(|text| !text.is_empty());
    all
});

fn any_topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop::sample::select(LEVELS.to_vec()), 1..6);
    levels
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |text| !text.is_empty())
}

fn any_filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["", "a", "b", "$s", "+", "+", "+"]);
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, rest)| {
            levels.extend(rest.then_some("#"));
            levels.join("/")
        })
        .prop_filter("empty", |text| !text.is_empty())
}

proptest! {
    #[test]
    fn matches_like_the_reference(pattern in any_filter(), text in any_topic()) {
        prop_assert_eq!(filter(&pattern).matches(&topic(&text)), reference(&pattern, &text));
    }

    #[test]
    fn sharing_does_not_change_what_matches(pattern in any_filter(), text in any_topic()) {
        let shared = filter(&format!("$share/g/{pattern}"));
        prop_assert_eq!(shared.pattern(), &pattern);
        prop_assert_eq!(shared.matches(&topic(&text)), reference(&pattern, &text));
    }

    #[test]
    fn covers_exactly_what_it_matches_of_all_topics(grant in any_filter(), wanted in any_filter()) {
        let all = TOPICS.iter().all(|text| !reference(&wanted, text) || reference(&grant, text));
        prop_assert_eq!(filter(&grant).covers(&filter(&wanted)), all);
    }

    #[test]
    fn accepts_exactly_the_valid_filters(text in "[ab/+#$\\x00]{0,7}") {
        prop_assert_eq!(Filter::new(&text).is_ok(), is_valid_by_the_book(&text), "{}", text);
    }

    #[test]
    fn a_topic_is_a_filter_without_wildcards(text in "[ab/+#$\\x00]{0,7}") {
        let plain = is_valid_by_the_book(&text) && !text.contains(['+', '#']);
        prop_assert_eq!(Topic::new(text.clone()).is_ok(), plain);
        prop_assert!(!plain || filter(&text).matches(&topic(&text)));
    }

    #[test]
    fn relative_undoes_the_base(base in "[a-c]{1,3}(/[a-c]{0,2}){0,2}", text in any_topic()) {
        let base = BaseTopic::new(&base).unwrap();
        let full = base.topic(&text).unwrap();
        prop_assert_eq!(base.relative(&full), Some(text.as_str()));
    }
}

#[test]
fn discouraged_characters_are_refused_in_own_topics_only() {
    for bad in [
        "a\tb",
        "a\n",
        "\u{1}",
        "a/\u{85}",
        "\u{fffe}",
        "x\u{10ffff}",
        "\u{fdd0}",
    ] {
        let wrong = |error: TopicError| matches!(error, TopicError::Character(..));
        assert!(Topic::new(bad).is_err_and(wrong), "{bad:?}");
        assert!(Filter::new(bad).is_err_and(wrong), "{bad:?}");
        assert!(Filter::new(&format!("$share/{bad}/x")).is_err(), "{bad:?}");
        assert!(BaseTopic::new(bad).is_err_and(wrong), "{bad:?}");
        assert!(
            BaseTopic::new("base").unwrap().topic(bad).is_err_and(wrong),
            "{bad:?}"
        );
        assert_eq!(Topic::from_received(bad).unwrap().as_str(), bad);
    }

    for bad in ["", "a\0", "a/#", "+"] {
        assert!(Topic::from_received(bad).is_err(), "{bad:?}");
    }
    assert!(Topic::new("a/".repeat(MAX_LEVELS - 1) + "b").is_ok());
    assert_eq!(
        Topic::new("a/".repeat(MAX_LEVELS) + "b"),
        Err(TopicError::Deep(MAX_LEVELS + 1))
    );
    assert!(Topic::from_received("a/".repeat(MAX_LEVELS) + "b").is_ok());
}

#[test]
fn the_brokers_own_topics_are_no_base_topic() {
    for reserved in ["$SYS", "$SYS/", "$SYS/broker", "$share", "$share/group"] {
        assert!(
            BaseTopic::new(reserved).is_err_and(|error| matches!(error, TopicError::Reserved(_))),
            "{reserved}"
        );
    }

    assert!(BaseTopic::new("$aws/things/lamp").is_ok());
}
