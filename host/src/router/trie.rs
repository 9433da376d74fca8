//! Finds the filters that match a topic.
//!
//! Nodes lie in one vector and are walked by a loop, not by recursion: a filter of 30,000 levels costs time, not stack.

use std::collections::HashMap;

/// A level with more children than this gets a hash table; below, comparing is faster than hashing.
const MAX_LIST: usize = 8;

const ROOT: usize = 0;

/// Patterns with their values.
#[derive(Debug)]
pub struct Trie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Node<T> {
    /// Children for a level as it is written.
    exact: Children,
    /// The child for `+`.
    plus: Option<usize>,
    /// Values of patterns that continue with `#` here: they match this level and everything below.
    rest: Vec<T>,
    /// Values of patterns that end here.
    here: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            exact: Children::default(),
            plus: None,
            rest: Vec::new(),
            here: Vec::new(),
        }
    }
}

impl<T> Node<T> {
    fn is_unused(&self) -> bool {
        self.exact.is_empty() && self.plus.is_none() && self.rest.is_empty() && self.here.is_empty()
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
        }
    }
}

impl<T: PartialEq> Trie<T> {
    /// Adds `value` under `pattern`, a valid filter without `$share/<group>/`.
    pub fn insert(&mut self, pattern: &str, value: T) {
        let mut at = ROOT;
        for level in pattern.split('/') {
            if level == "#" {
                self.nodes[at].rest.push(value);
                return;
            }
            at = self.child_or_new(at, level);
        }

        self.nodes[at].here.push(value);
    }

    /// Removes `value` from `pattern`; whether it was there.
    pub fn remove(&mut self, pattern: &str, value: &T) -> bool {
        let mut path = Vec::new();
        let mut at = ROOT;
        for level in pattern.split('/').filter(|level| *level != "#") {
            path.push((at, level));
            match self.child(at, level) {
                Some(child) => at = child,
                None => return false,
            }
        }

        let ends_in_rest = pattern == "#" || pattern.ends_with("/#");
        let values = if ends_in_rest {
            &mut self.nodes[at].rest
        } else {
            &mut self.nodes[at].here
        };
        let Some(position) = values.iter().position(|held| held == value) else {
            return false;
        };
        values.swap_remove(position);
        self.prune(at, path);
        true
    }

    /// Calls `visit` once for each value whose pattern matches `topic` (MQTT 5, section 4.7). Allocates only where a level
    /// matches both as written and by `+`.
    pub fn matches<'a>(&'a self, topic: &str, mut visit: impl FnMut(&'a T)) {
        // section 4.7.2: a filter that starts with a wildcard does not match a topic that starts with `$`
        let system = topic.starts_with('$');
        let mut open: Vec<(usize, Option<&str>)> = Vec::new();
        let mut next = Some((ROOT, Some(topic)));
        while let Some((at, left)) = next {
            let node = &self.nodes[at];
            let wild = !(system && at == ROOT);
            if wild {
                node.rest.iter().for_each(&mut visit);
            }
            let Some(left) = left else {
                node.here.iter().for_each(&mut visit);
                next = open.pop();
                continue;
            };
            let (level, below) = first_level(left);
            let exact = node.exact.get(level);
            let plus = if wild { node.plus } else { None };
            next = match (exact, plus) {
                (Some(exact), Some(plus)) => {
                    open.push((plus, below));
                    Some((exact, below))
                }
                (Some(child), None) | (None, Some(child)) => Some((child, below)),
                (None, None) => open.pop(),
            };
        }
    }

    /// Whether it holds no pattern.
    pub fn is_empty(&self) -> bool {
        self.nodes[ROOT].is_unused()
    }

    fn child(&self, at: usize, level: &str) -> Option<usize> {
        if level == "+" {
            self.nodes[at].plus
        } else {
            self.nodes[at].exact.get(level)
        }
    }

    fn child_or_new(&mut self, at: usize, level: &str) -> usize {
        if let Some(child) = self.child(at, level) {
            return child;
        }
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        });
        if level == "+" {
            self.nodes[at].plus = Some(child);
        } else {
            self.nodes[at].exact.insert(level, child);
        }
        child
    }

    /// Frees the node `at` and those above it that hold nothing any more.
    fn prune(&mut self, mut at: usize, mut path: Vec<(usize, &str)>) {
        while self.nodes[at].is_unused()
            && let Some((parent, level)) = path.pop()
        {
            self.free.push(at);
            if level == "+" {
                self.nodes[parent].plus = None;
            } else {
                self.nodes[parent].exact.remove(level);
            }
            at = parent;
        }
    }
}

/// The first level of `topic`, and the rest after its slash: `None` at the end, `Some("")` for an empty last level.
fn first_level(topic: &str) -> (&str, Option<&str>) {
    match topic.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&topic[..slash], Some(&topic[slash + 1..])),
        None => (topic, None),
    }
}

/// The children of a node, by level.
#[derive(Debug)]
enum Children {
    Few(Vec<(Box<str>, usize)>),
    Many(HashMap<Box<str>, usize>),
}

impl Default for Children {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Children {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(table) => table.is_empty(),
        }
    }

    fn get(&self, level: &str) -> Option<usize> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(name, _)| **name == *level)
                .map(|(_, child)| *child),
            Self::Many(table) => table.get(level).copied(),
        }
    }

    /// `level` must not be there yet.
    fn insert(&mut self, level: &str, child: usize) {
        match self {
            Self::Few(list) if list.len() == MAX_LIST => {
                let mut table: HashMap<Box<str>, usize> =
                    std::mem::take(list).into_iter().collect();
                table.insert(level.into(), child);
                *self = Self::Many(table);
            }
            Self::Few(list) => list.push((level.into(), child)),
            Self::Many(table) => {
                table.insert(level.into(), child);
            }
        }
    }

    fn remove(&mut self, level: &str) {
        match self {
            Self::Few(list) => list.retain(|(name, _)| **name != *level),
            Self::Many(table) => {
                table.remove(level);
                if table.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::topic::{Filter, Topic};
    use proptest::prelude::*;

    fn found(trie: &Trie<usize>, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        trie.matches(topic, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    fn nodes_in_use<T>(trie: &Trie<T>) -> usize {
        trie.nodes.len() - trie.free.len()
    }

    #[test]
    fn keeps_values_of_one_pattern_apart() {
        let mut trie = Trie::default();
        trie.insert("a/+", 1);
        trie.insert("a/+", 2);
        assert_eq!(found(&trie, "a/b"), [1, 2]);
        assert!(!trie.remove("a/+", &3));
        assert!(!trie.remove("a/b", &1));
        assert!(!trie.remove("a/+/#", &1));
        assert!(trie.remove("a/+", &1));
        assert_eq!(found(&trie, "a/b"), [2]);
        assert!(trie.remove("a/+", &2));
        assert!(trie.is_empty());
    }

    #[test]
    fn the_longest_filter_needs_no_stack() {
        let deep = "+/".repeat(32_767) + "#";
        let mut trie = Trie::default();
        trie.insert(&deep, 1);
        trie.insert(&"a/".repeat(32_767), 2);
        assert_eq!(found(&trie, &"a/".repeat(32_767)), [1, 2]);
        assert!(trie.remove(&deep, &1) && trie.remove(&"a/".repeat(32_767), &2));
        assert_eq!((trie.is_empty(), nodes_in_use(&trie)), (true, 1));
    }

    #[test]
    fn many_children_are_found_and_forgotten() {
        let mut trie = Trie::default();
        for number in 0..1000 {
            trie.insert(&format!("service/{number}/#"), number);
        }
        for number in 0..1000 {
            assert_eq!(found(&trie, &format!("service/{number}/echo")), [number]);
            assert!(trie.remove(&format!("service/{number}/#"), &number));
            assert_eq!(found(&trie, &format!("service/{number}/echo")), [0; 0]);
        }
        assert_eq!((trie.is_empty(), nodes_in_use(&trie)), (true, 1));
    }

    fn any_filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["", "a", "b", "c", "$s", "+", "+"]);
        (prop::collection::vec(level, 0..4), any::<bool>())
            .prop_map(|(mut levels, rest)| {
                levels.extend(rest.then_some("#"));
                levels.join("/")
            })
            .prop_filter("empty", |text| !text.is_empty())
    }

    fn any_topic() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["", "a", "b", "c", "$s"]);
        let levels = prop::collection::vec(level, 1..5);
        levels
            .prop_map(|levels| levels.join("/"))
            .prop_filter("empty", |text| !text.is_empty())
    }

    fn check(
        trie: &Trie<usize>,
        filters: &[Option<String>],
        topics: &[String],
    ) -> Result<(), TestCaseError> {
        for text in topics {
            let topic = Topic::new(text.clone()).unwrap();
            let matching = |(_, pattern): &(usize, &Option<String>)| {
                pattern
                    .as_ref()
                    .is_some_and(|pattern| Filter::new(pattern).unwrap().matches(&topic))
            };
            let expected: Vec<usize> = filters
                .iter()
                .enumerate()
                .filter(matching)
                .map(|(value, _)| value)
                .collect();

            prop_assert_eq!(found(trie, text), expected, "{}", text);
        }

        Ok(())
    }

    proptest! {
        #[test]
        fn finds_exactly_the_matching_filters_while_they_are_removed(
            filters in prop::collection::vec(any_filter(), 0..40),
            topics in prop::collection::vec(any_topic(), 1..12),
            order in any::<prop::sample::Index>(),
        ) {
            let mut trie = Trie::default();
            for (value, pattern) in filters.iter().enumerate() {
                trie.insert(pattern, value);
            }
            let mut filters: Vec<Option<String>> = filters.into_iter().map(Some).collect();
            check(&trie, &filters, &topics)?;
            let first = if filters.is_empty() { 0 } else { order.index(filters.len()) };
            for turn in 0..filters.len() {
                let value = (first + turn) % filters.len();
                let pattern = filters[value].take().unwrap();
                prop_assert!(trie.remove(&pattern, &value));
                prop_assert!(!trie.remove(&pattern, &value));
                check(&trie, &filters, &topics)?;
            }

            prop_assert_eq!((trie.is_empty(), nodes_in_use(&trie)), (true, 1));
        }
    }
}
