//! Suggestions: the accepted word that somebody probably meant.

/// The accepted word that `written` is most likely a slip of.
pub(super) fn nearest<'a>(
    written: &str,
    accepted: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = normalize(written);
    accepted
        .into_iter()
        .map(|word| (distance(&written, &normalize(word)), word))
        .filter(|(distance, word)| *distance <= if word.chars().count() > 4 { 2 } else { 1 })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The word without case and separators: `keepAlive` and `keep-alive` are slips of `keepalive`.
fn normalize(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number of letters that have to be added, dropped, changed or swapped with their neighbour (the Damerau-Levenshtein
/// distance, in which no part is changed twice).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();

    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }

        before = std::mem::replace(&mut row, next);
    }

    row[b.len()]
}
