//! The bounds of a `#[key]` field of a message. Expansions check them by one trait, so that rustc reports a type that
//! fails several once.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use serde::ser::{Serialize, SerializeStruct};

/// The type of a `#[key]` or `#[slot]` field of a message. `Send` and `Sync` are checked by
/// [`ThreadSafe`](crate::message::threads::ThreadSafe), as those of every field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a `#[key]` or a `#[slot]`",
    label = "lacks a trait",
    note = "a key or slot implements `Clone`, `Debug`, `Eq`, `Hash`, `Serialize`, `Send` and `Sync`"
)]
pub trait KeyField {
    /// Clones the value.
    #[must_use]
    fn clone_field(&self) -> Self;
    /// Whether the values are equal.
    fn eq_field(&self, other: &Self) -> bool;
    /// Hashes the value.
    fn hash_field<H: Hasher>(&self, hasher: &mut H);
    /// Returns the value in a form that can be printed.
    fn debug_field(&self) -> &dyn Debug;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Debug + Eq + Hash + 'static> KeyField for T {
    fn clone_field(&self) -> Self {
        self.clone()
    }
    fn eq_field(&self, other: &Self) -> bool {
        self == other
    }
    fn hash_field<H: Hasher>(&self, hasher: &mut H) {
        self.hash(hasher);
    }
    fn debug_field(&self) -> &dyn Debug {
        self
    }
}

/// The type of a `#[key]` field of a later variant, which is the type `K` that the key has in the first one.
#[diagnostic::on_unimplemented(
    message = "this `#[key]` is a `{K}` in the first variant, not a `{Self}`",
    label = "expected `{K}`",
    note = "every variant needs the same keys, of the same types"
)]
pub trait VariantKey<K> {
    /// Clones the value.
    fn clone_key(&self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: KeyField> VariantKey<K> for K {
    fn clone_key(&self) -> K {
        self.clone_field()
    }
}

/// The type of a `#[slot]` field of a tombstone, which is the type `K` that the slot has in the `latest` message.
#[diagnostic::on_unimplemented(
    message = "this `#[slot]` is a `{K}` in the `latest` message, not a `{Self}`",
    label = "expected `{K}`",
    note = "a tombstone has the slots of a `latest` variant, of the same types"
)]
pub trait TombstoneSlot<K> {
    /// Clones the value.
    fn clone_slot(&self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: KeyField> TombstoneSlot<K> for K {
    fn clone_slot(&self) -> K {
        self.clone_field()
    }
}

#[diagnostic::do_not_recommend]
impl<K: KeyField> TombstoneSlot<NoKeyType> for K {
    fn clone_slot(&self) -> NoKeyType {
        unreachable!("no slot has this type")
    }
}

/// No key has this type. Rustc would take a `K` that is not known yet for that of the only implementation.
#[derive(Debug)]
pub enum NoKeyType {}

#[diagnostic::do_not_recommend]
impl<K: KeyField> VariantKey<NoKeyType> for K {
    fn clone_key(&self) -> NoKeyType {
        unreachable!("no key has this type")
    }
}

/// A field of a key that is to be serialized.
///
/// A type without `Serialize` is reported by the message's own `derive(Serialize)`. The method of
/// [`NotSerialized`] is chosen then, so that the expansion does not report it again.
#[derive(Debug)]
pub struct KeyPart<'a, T>(pub &'a T);

impl<T: Serialize> KeyPart<'_, T> {
    /// Writes the field.
    ///
    /// # Errors
    ///
    /// The error of the serializer.
    pub fn serialize_part<S: SerializeStruct>(&self, fields: &mut S, name: &'static str) -> Result<(), S::Error> {
        fields.serialize_field(name, self.0)
    }
}

/// Takes the place of [`KeyPart::serialize_part`] for a type without `Serialize`.
pub trait NotSerialized {
    /// Does not compile where it is used: a message may implement `Serialize` by hand although its key does not.
    ///
    /// # Errors
    ///
    /// None.
    fn serialize_part<S: SerializeStruct>(&self, _: &mut S, _: &'static str) -> Result<(), S::Error> {
        const { panic!("the type of a `#[key]` does not implement `Serialize`") }
    }
}

impl<T> NotSerialized for KeyPart<'_, T> {}
