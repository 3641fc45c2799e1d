//! Collects the mistakes in one item, so that all are told at once. What is a mistake is decided elsewhere.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far. It must be reported: to drop it with mistakes in it is a bug of ours.
#[derive(Default)]
pub(crate) struct Mistakes {
    found: Vec<syn::Error>,
}

impl Mistakes {
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new(span, message));
    }

    /// Underlines all of the tokens.
    pub(crate) fn on(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// The mistakes as `compile_error!`s, in the order in which they were found; `None` when there are none.
    pub(crate) fn report(mut self) -> Option<TokenStream> {
        let found = std::mem::take(&mut self.found);
        (!found.is_empty()).then(|| found.iter().map(syn::Error::to_compile_error).collect())
    }
}

impl Drop for Mistakes {
    fn drop(&mut self) {
        debug_assert!(std::thread::panicking() || self.found.is_empty(), "mistakes were found and not reported");
    }
}

/// The only word within two edits of what was written.
pub(crate) fn meant<'a>(written: &str, words: &[&'a str]) -> Option<&'a str> {
    let limit = written.chars().count().saturating_sub(1).min(2);
    words
        .iter()
        .map(|word| (edits(written, word), *word))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// How many characters must be put in, taken out or changed (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, left) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (column, right) in to.iter().enumerate() {
            let changed = corner + usize::from(left != *right);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn listed(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{edits, listed, meant};

    #[test]
    fn a_word_is_meant_when_two_edits_make_it() {
        let words = ["latest", "queue", "capacity", "keep_alive", "sse", "ws"];
        for (written, word) in [
            ("capcity", Some("capacity")),
            ("keepalive", Some("keep_alive")),
            ("latset", Some("latest")),
            ("see", Some("sse")),
            ("w", None),
            ("es", Some("ws")),
            ("redis", None),
            ("", None),
        ] {
            assert_eq!(meant(written, &words), word, "{written}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn words_are_listed_as_a_sentence() {
        assert_eq!(listed(&[], "and"), "");
        assert_eq!(listed(&["a"], "and"), "`a`");
        assert_eq!(listed(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
