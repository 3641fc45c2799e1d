//! Collects the mistakes in one item, so that all are reported at once, and words their messages.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far. Dropping it with mistakes in it, without [`report`](Self::report), panics in debug builds.
#[derive(Default)]
pub(crate) struct Mistakes {
    found: Vec<syn::Error>,
}

impl Mistakes {
    /// Adds a mistake at a span.
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new(span, message));
    }

    /// Adds a mistake that underlines all of the tokens.
    pub(crate) fn on(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// Returns the mistakes as `compile_error!`s in the order they were added, or `None` when there are none.
    pub(crate) fn report(mut self) -> Option<TokenStream> {
        let found = std::mem::take(&mut self.found);
        (!found.is_empty()).then(|| found.iter().map(syn::Error::to_compile_error).collect())
    }
}

impl Drop for Mistakes {
    fn drop(&mut self) {
        debug_assert!(std::thread::panicking() || self.found.is_empty(), "mistakes were added and not reported");
    }
}

/// Returns the words that a misspelt or half-typed one may stand for: those that begin with it, else the nearest within
/// two edits.
pub(crate) fn suggest<'a>(written: &str, words: &[&'a str]) -> Vec<&'a str> {
    let completed: Vec<&str> = words.iter().copied().filter(|word| word.starts_with(written)).collect();
    if !completed.is_empty() && !written.is_empty() {
        return completed;
    }
    let limit = written.chars().count().saturating_sub(1).min(2);
    words
        .iter()
        .map(|word| (edit_distance(written, word), *word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
        .into_iter()
        .collect()
}

/// The number of characters to insert, delete or change (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = index + 1;
        for (column, right) in to.iter().enumerate() {
            let changed = corner + usize::from(left != *right);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Joins words as `` `a`, `b` and `c` ``; `last` is the conjunction.
pub(crate) fn join_words(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{edit_distance, join_words, suggest};

    #[test]
    fn a_word_that_is_begun_or_within_two_edits_is_suggested() {
        let words = ["latest", "queue", "capacity", "keep_alive", "sse", "ws"];
        for (written, suggestions) in [
            ("capcity", &["capacity"][..]),
            ("keepalive", &["keep_alive"]),
            ("latset", &["latest"]),
            ("see", &["sse"]),
            ("es", &["ws"]),
            ("w", &["ws"]),
            ("ca", &["capacity"]),
            ("redis", &[]),
            ("", &[]),
        ] {
            assert_eq!(suggest(written, &words), suggestions, "{written}");
        }
        assert_eq!(suggest("s", &["sse", "store", "ws"]), ["sse", "store"]);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn words_are_joined_as_in_a_sentence() {
        assert_eq!(join_words(&[], "and"), "");
        assert_eq!(join_words(&["a"], "and"), "`a`");
        assert_eq!(join_words(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
