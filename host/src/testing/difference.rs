//! The difference between two lists, line by line.

/// Compares two lists. `Ok` when each entry of `expected` is the `found` one at its place; else the shortest difference: `-` before
/// entries that were expected and not found, `+` before those that were found and not expected.
pub(super) fn compare<E, F>(
    expected: &[E],
    found: &[F],
    same: impl Fn(&E, &F) -> bool,
    show: (impl Fn(&E) -> String, impl Fn(&F) -> String),
) -> Result<(), String> {
    // length[i][j]: the longest common part of expected[i..] and found[j..]
    let mut length = vec![vec![0_usize; found.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..found.len()).rev() {
            length[i][j] = if same(&expected[i], &found[j]) {
                length[i + 1][j + 1] + 1
            } else {
                length[i + 1][j].max(length[i][j + 1])
            };
        }
    }

    if length[0][0] == expected.len() && expected.len() == found.len() {
        return Ok(());
    }

    let (show_expected, show_found) = show;
    let mut lines = Vec::new();
    let mut i = 0;
    let mut j = 0;
    while i < expected.len() || j < found.len() {
        if i < expected.len() && j < found.len() && same(&expected[i], &found[j]) {
            lines.push(format!("  {}", show_found(&found[j])));
            i += 1;
            j += 1;
        } else if j == found.len() || (i < expected.len() && length[i + 1][j] >= length[i][j + 1]) {
            lines.push(format!("- {}", show_expected(&expected[i])));
            i += 1;
        } else {
            lines.push(format!("+ {}", show_found(&found[j])));
            j += 1;
        }
    }

    Err(lines.join("\n"))
}

/// The quality of service and the retained flag, where they are not the usual ones.
pub(super) fn marks(qos: u8, retain: bool) -> String {
    let qos = if qos == 0 {
        String::new()
    } else {
        format!(", qos {qos}")
    };
    let retain = if retain { ", retained" } else { "" };
    format!("{qos}{retain}")
}

/// A difference below its name.
pub(super) fn labelled(name: &str, outcome: Result<(), String>) -> Option<String> {
    let difference = outcome.err()?;
    Some(format!("{name}:\n{}", indent(&difference)))
}

/// Moves each line to the right.
pub(super) fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn difference(expected: &[u8], found: &[u8]) -> Result<(), String> {
        let show = |number: &u8| number.to_string();
        compare(expected, found, |a, b| a == b, (show, show))
    }

    #[test]
    fn equal_entries_stand_between_those_that_differ() {
        assert_eq!(difference(&[1, 2, 3], &[1, 2, 3]), Ok(()));
        let expected = "  1\n- 2\n+ 4\n  3\n+ 5".to_owned();
        assert_eq!(difference(&[1, 2, 3], &[1, 4, 3, 5]), Err(expected));
        assert_eq!(difference(&[], &[7]), Err("+ 7".to_owned()));
    }

    proptest! {
        #[test]
        fn a_difference_holds_both_lists(expected in prop::collection::vec(0..4_u8, 0..8), found in prop::collection::vec(0..4_u8, 0..8)) {
            match difference(&expected, &found) {
                Ok(()) => prop_assert_eq!(expected, found),
                Err(text) => {
                    let side = |mark: char| -> Vec<u8> {
                        let lines = text.lines().filter(|line| line.starts_with([' ', mark]));
                        lines.filter_map(|line| line[2..].parse().ok()).collect()
                    };
                    prop_assert_eq!(side('-'), expected);
                    prop_assert_eq!(side('+'), found);
                }
            }
        }
    }
}
