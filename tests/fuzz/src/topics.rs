//! Topics and filters: the filter, the routes and the words of the specification have to agree, and
//! a filter that is said to cover another has to cover it.

use miqro_host::router::trie::Trie;
use miqro_host::topic::{BaseTopic, Filter, Topic};

/// Takes the lines of `bytes` as topics, as filters and as a base topic.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let lines: Vec<&str> = text.split('\n').take(12).collect();
    let topics: Vec<Topic> = lines
        .iter()
        .filter_map(|line| Topic::new(line.to_string()).ok())
        .collect();
    let filters: Vec<Filter> = lines
        .iter()
        .filter_map(|line| Filter::new(line).ok())
        .collect();
    let mut trie = Trie::default();
    for (number, filter) in filters.iter().enumerate() {
        trie.insert(filter.pattern(), number);
    }
    for topic in &topics {
        let mut routed = Vec::new();
        trie.matches(topic.as_str(), |number| routed.push(*number));
        routed.sort_unstable();
        let expected: Vec<usize> = (0..filters.len())
            .filter(|number| specified(filters[*number].pattern(), topic.as_str()))
            .collect();
        assert_eq!(routed, expected, "routes of {topic:?} among {filters:?}");
        let matching: Vec<usize> = (0..filters.len())
            .filter(|number| filters[*number].matches(topic))
            .collect();
        assert_eq!(
            matching, expected,
            "filters that match {topic:?} among {filters:?}"
        );
    }

    for (wide, narrow) in filters
        .iter()
        .flat_map(|wide| filters.iter().map(move |narrow| (wide, narrow)))
    {
        if wide.covers(narrow) {
            let escaped = topics
                .iter()
                .find(|topic| narrow.matches(topic) && !wide.matches(topic));
            assert!(
                escaped.is_none(),
                "{wide:?} covers {narrow:?}, but not {escaped:?}"
            );
        }
    }

    if let Some(base) = lines.first().and_then(|line| BaseTopic::new(line).ok()) {
        below(&base, &lines);
    }
    for (number, filter) in filters.iter().enumerate() {
        assert!(
            trie.remove(filter.pattern(), &number),
            "{filter:?} was there"
        );
    }

    assert!(trie.is_empty(), "something is left");
}

/// Checks that a topic made below a base topic is found below it again.
fn below(base: &BaseTopic, lines: &[&str]) {
    for line in lines {
        if let Ok(topic) = base.topic(line) {
            assert_eq!(base.relative(&topic), Some(*line), "below {base:?}");
        }
        // whatever it says to a filter, it does not panic
        let _ = base.filter(line);
    }
}

/// Whether a filter matches, as MQTT 5 says in section 4.7.
fn specified(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut pattern = pattern.split('/');
    let mut topic = topic.split('/');
    loop {
        match (pattern.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}
