//! The word that was probably meant: the nearest by edit distance.

/// The candidate that `word` was probably meant to be; `None` when none is near.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Half of a short word may be wrong before it is another word; of a long one, a third.
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped, replaced or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut former = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        for (column, other) in to.iter().enumerate() {
            let diagonal = at(&last, column) + usize::from(letter != *other);
            let mut best = diagonal.min(left + 1).min(at(&last, column + 1) + 1);
            let swapped = column > 0 && former == Some(*other) && to.get(column - 1) == Some(&letter);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
            left = best;
        }
        before_last = std::mem::replace(&mut last, current);
        former = Some(letter);
    }
    at(&last, to.len())
}

fn at(row: &[usize], index: usize) -> usize {
    row.get(index).copied().unwrap_or(usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_added_dropped_replaced_and_swapped_cost_one_each() {
        let cases = [
            ("mode", "mode", 0),
            ("mdoe", "mode", 1),
            ("mod", "mode", 1),
            ("moode", "mode", 1),
        ];
        for (from, to, expected) in cases {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn the_nearest_word_is_found_and_a_strange_one_is_not_guessed() {
        let keys = ["mode", "value", "exception"];
        assert_eq!(nearest("mdoe", keys), Some("mode"));
        assert_eq!(nearest("Exceptions", keys), Some("exception"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("fullpass", ["fullPass"]), Some("fullPass"));
    }
}
