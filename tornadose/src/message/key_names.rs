//! The names of the fields of a key. Expansions of `#[subscriber]` check their `#[key]` fields against them at compile
//! time.

use std::marker::PhantomData;

use crate::message::NoKey;

/// A key whose fields are known by name: those of `#[store]`, and [`NoKey`].
// Documentation would list it among the traits of each key.
#[doc(hidden)]
pub trait NamedKey {
    /// The names of the fields.
    const FIELDS: &'static [&'static str];

    /// Whether the value of each field can be read from JSON.
    const IS_READABLE: &'static [bool];

    /// Reads a key from the JSON of the values of its fields, in order.
    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self>
    where
        Self: Sized;
}

impl NamedKey for NoKey {
    const FIELDS: &'static [&'static str] = &[];
    const IS_READABLE: &'static [bool] = &[];

    fn read(_: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        Some(Self)
    }
}

/// Selects the [`KeyNames`] of the key `K`.
#[derive(Debug)]
pub struct NamesOf<K>(PhantomData<K>);

impl<K: NamedKey> NamesOf<K> {
    /// The names.
    pub const NAMES: KeyNames = KeyNames(Some(K::FIELDS));
}

/// Takes the place of [`NamesOf::NAMES`] for a key that was written by hand. Rustc checks its fields, in words of its
/// own.
pub trait UnknownNames {
    /// No names.
    const NAMES: KeyNames = KeyNames(None);
}

impl<K> UnknownNames for NamesOf<K> {}

/// The names of the fields of a key, where they are known.
#[derive(Clone, Copy, Debug)]
pub struct KeyNames(Option<&'static [&'static str]>);

impl KeyNames {
    /// Fails to compile, at the caller, when the message has no key of this name.
    ///
    /// # Panics
    ///
    /// At compile time, as described.
    #[track_caller]
    pub const fn expect_known(self, name: &str) {
        let Some(names) = self.0 else { return };
        if contains(names, name) {
            return;
        }
        let text = Text::new().push("the message has no `#[key] ").push(name);
        let text = match names {
            [] => text.push("`, nor any other: write `#[param]` in place of `#[key]`"),
            [only] => text.push("`: its key is `").push(only).push("`"),
            _ => text.push("`: its keys are ").push_list(names),
        };
        panic!("{}", text.as_str())
    }

    /// Returns `true`. Fails to compile, at the caller, when the message has a key of another name.
    ///
    /// # Panics
    ///
    /// At compile time, as described.
    #[track_caller]
    #[must_use]
    pub const fn expect_only(self, known: &[&str]) -> bool {
        let Some(names) = self.0 else { return true };
        let mut index = 0;
        while index < names.len() {
            let name = names[index];
            if !contains(known, name) {
                let text = Text::new().push("the message has the key `").push(name);
                let text = text.push("` too: add the field `").push(name).push("` with `#[key]`");
                panic!("{}", text.as_str())
            }
            index += 1;
        }
        true
    }
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < names.len() {
        if is_same(names[index].as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A text that is put together at compile time. What does not fit is left out.
pub(super) struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    pub(super) const fn push(mut self, part: &str) -> Self {
        let part = part.as_bytes();
        if self.length + part.len() <= self.bytes.len() {
            let mut index = 0;
            while index < part.len() {
                self.bytes[self.length] = part[index];
                self.length += 1;
                index += 1;
            }
        }
        self
    }

    /// Appends the words as `` `a` and `b` ``.
    const fn push_list(mut self, words: &[&str]) -> Self {
        let mut index = 0;
        while index < words.len() {
            let separator = match words.len() - index {
                _ if index == 0 => "`",
                1 => "` and `",
                _ => "`, `",
            };
            self = self.push(separator).push(words[index]);
            index += 1;
        }
        self.push("`")
    }

    pub(super) const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "a `#[key]` of the message and one of the subscriber have different names",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyNames, NamesOf, Text, UnknownNames};
    use crate::message::NoKey;

    #[test]
    fn the_names_of_a_key_by_hand_are_unknown() {
        assert!(NamesOf::<NoKey>::NAMES.0.is_some_and(<[_]>::is_empty));
        assert!(NamesOf::<String>::NAMES.0.is_none());
        NamesOf::<String>::NAMES.expect_known("anything");
        assert!(NamesOf::<String>::NAMES.expect_only(&[]));
    }

    #[test]
    fn the_same_names_in_any_order_are_accepted() {
        let names = KeyNames(Some(&["tenant", "room"]));
        names.expect_known("room");
        assert!(names.expect_only(&["room", "tenant"]));
    }

    #[test]
    #[should_panic = "the message has no `#[key] rom`: its keys are `tenant`, `floor` and `room`"]
    fn an_unknown_name_is_reported_with_those_that_are_known() {
        KeyNames(Some(&["tenant", "floor", "room"])).expect_known("rom");
    }

    #[test]
    #[should_panic = "the message has the key `tenant` too: add the field `tenant` with `#[key]`"]
    fn a_missing_name_is_reported() {
        let _complete = KeyNames(Some(&["room", "tenant"])).expect_only(&["room"]);
    }

    #[test]
    fn a_text_leaves_out_what_does_not_fit() {
        let long = "x".repeat(1023);
        assert_eq!(Text::new().push(&long).push("äö").push("y").as_str(), format!("{long}y"));
    }
}
