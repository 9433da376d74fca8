//! Topic filters: whether a filter matches a topic, and the matches of its wildcards (MQTT 5, section 4.7).

/// Whether `filter` matches `topic`, exactly as MQTT says: `+` is one level (also an empty one), `a/#` matches `a` too,
/// and a wildcard in the first place matches no topic that begins with `$` (sections 4.7.1 and 4.7.2). A shared
/// subscription (`$share/<group>/<filter>`) matches what its filter matches.
///
/// ```
/// use miqro_sdk::topic::matches;
/// assert!(matches("lamp/+/set", "lamp/kitchen/set"));
/// assert!(matches("lamp/#", "lamp"));
/// assert!(!matches("#", "$SYS/broker/uptime"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    walk(filter, topic, |_, _| ())
}

/// Returns the matches of the `N` wildcards of `filter`: a level for each `+`, and the remainder for `#` (empty if
/// `a/#` met `a`). `None` if the filter does not match.
///
/// ```
/// use miqro_sdk::topic::captures;
/// assert_eq!(captures::<2>("lamp/+/#", "lamp/kitchen/set/now"), Some(["kitchen", "set/now"]));
/// assert_eq!(captures::<1>("lamp/#", "lamp"), Some([""]));
/// ```
pub fn captures<'t, const N: usize>(filter: &str, topic: &'t str) -> Option<[&'t str; N]> {
    let mut found = [""; N];
    let matched = walk(filter, topic, |at, text| {
        if let Some(place) = found.get_mut(at) {
            *place = text;
        }
    });
    matched.then_some(found)
}

/// The filter of a shared subscription without `$share/<group>/`; any other filter as it is.
pub(crate) fn without_share(filter: &str) -> &str {
    filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, rest)| rest)
}

fn walk<'t>(filter: &str, topic: &'t str, mut capture: impl FnMut(usize, &'t str)) -> bool {
    let filter = without_share(filter);
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut at = 0;
    let mut rest = Some(topic);
    for level in filter.split('/') {
        if level == "#" {
            capture(at, rest.unwrap_or_default());
            return true;
        }
        let Some(text) = rest else { return false };
        let (here, after) = text
            .split_once('/')
            .map_or((text, None), |(here, after)| (here, Some(after)));
        match level {
            "+" => {
                capture(at, here);
                at += 1;
            }
            _ if level == here => {}
            _ => return false,
        }

        rest = after;
    }

    rest.is_none()
}

/// Whether `filter` is a topic filter (MQTT 5, section 4.7.1): not empty, no control characters and
/// noncharacters, wildcards alone in their level, `#`
/// only at the end, and something after the group of a shared subscription.
pub const fn is_filter(filter: &str) -> bool {
    let bytes = filter.as_bytes();
    let mut at = 0;
    let mut level = 0;
    if bytes.is_empty() || bytes.len() > u16::MAX as usize {
        return false;
    }
    while at < bytes.len() {
        match bytes[at] {
            _ if is_forbidden(bytes, at) => return false,
            b'/' => level = at + 1,
            b'+' | b'#' => {
                let ends = at + 1 == bytes.len();
                if level != at || !(ends || (bytes[at] == b'+' && bytes[at + 1] == b'/')) {
                    return false;
                }
            }
            _ => {}
        }

        at += 1;
    }

    true
}

/// Whether `topic` is a topic name: not empty, without wildcards, control characters and noncharacters, at most 65,535 bytes.
pub fn is_topic(topic: &str) -> bool {
    let bytes = topic.as_bytes();
    let is_clean =
        (0..bytes.len()).all(|at| !matches!(bytes[at], b'+' | b'#') && !is_forbidden(bytes, at));
    !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && is_clean
}

/// Whether a character begins at `at` in these bytes of a text that MQTT says texts should not contain (MQTT 5, section 1.5.4): a
/// control character or a noncharacter.
const fn is_forbidden(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        0..=0x1F | 0x7F => true,
        0xC2 => bytes[at + 1] <= 0x9F,
        0xEF => matches!(
            (bytes[at + 1], bytes[at + 2]),
            (0xB7, 0x90..=0xAF) | (0xBF, 0xBE..=0xBF)
        ),
        0xF0..=0xF4 => {
            bytes[at + 1] & 0x0F == 0x0F && bytes[at + 2] == 0xBF && bytes[at + 3] >= 0xBE
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_specification_says() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "sport/tennis/player1/#",
                &["sport/tennis/player1", "sport/tennis/player1/ranking"],
                &["sport/tennis"],
            ),
            (
                "sport/#",
                &["sport", "sport/", "sport/a/b"],
                &["sports", "/sport"],
            ),
            ("#", &["a", "/", "a/$SYS"], &["$SYS", "$SYS/a"]),
            ("sport/+", &["sport/"], &["sport", "sport/a/b"]),
            ("+", &["a"], &["/finance", "a/", "$a"]),
            ("+/+", &["/finance", "a/"], &["finance", "$SYS/a"]),
            (
                "+/tennis/#",
                &["a/tennis", "/tennis", "a/tennis/b"],
                &["tennis", "$a/tennis"],
            ),
            ("$SYS/#", &["$SYS", "$SYS/a"], &["SYS"]),
            ("a//b", &["a//b"], &["a/b"]),
            ("a/+/b", &["a//b", "a/x/b"], &["a/b"]),
            ("$share/group/a/+", &["a/b"], &["$share/group/a/b"]),
        ];

        for (filter, yes, no) in cases {
            yes.iter()
                .for_each(|topic| assert!(matches(filter, topic), "{filter} and {topic}"));
            no.iter()
                .for_each(|topic| assert!(!matches(filter, topic), "{filter} but {topic}"));
        }
    }

    #[test]
    fn captures_are_the_levels_and_the_remainder() {
        assert_eq!(captures("a/+/+/#", "a/b//c/d"), Some(["b", "", "c/d"]));
        assert_eq!(captures("+/x", "$a/x"), None::<[&str; 1]>);
        assert_eq!(captures("a", "a"), Some([]));
    }

    #[test]
    fn invalid_filters_are_refused() {
        for text in [
            "",
            "a#",
            "a/#/b",
            "a+",
            "+a",
            "++",
            "a\0",
            "a\tb",
            "\u{85}",
            "\u{fdd0}",
            "\u{ffff}",
            "\u{1fffe}",
            "\u{10ffff}",
        ] {
            assert!(!is_filter(text), "{text}");
        }

        for text in ["#", "+", "+/#", "a/+/b/#", "/", "$share/g/a"] {
            assert!(is_filter(text), "{text}");
        }
        assert!(!is_topic("a/+") && !is_topic("") && is_topic("a//b"));
    }
}
