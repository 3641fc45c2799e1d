//! The bounds of what `#[subscriber]` names: the type of its store, and its keys. Expansions check them by the traits
//! here, so that rustc reports a mistake once, in their words.
//!
//! Each trait has a second implementation that never applies, see [`never`](crate::message::never).

use std::collections::{BTreeSet, BinaryHeap, HashSet, LinkedList, VecDeque};
use std::sync::Arc;

use crate::message::never::{Never, Unimplemented};
use crate::message::{Message, NoKey};
use crate::store::Store;

/// A type that `store = …` may name. Every [`Message`] is one.
///
/// An expansion reaches the store, the message and the key of the type through this trait alone. Other bounds on the type
/// would each report a type that is not a message again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message of a store",
    label = "not a message",
    note = "put `#[store(latest)]` or `#[store(queue)]` on `{Self}`"
)]
pub trait StoredMessage {
    /// The type itself.
    type Message: Message<Key = Self::Key>;
    /// The key of the message.
    type Key;
    /// The store of the message.
    type Store;
}

#[diagnostic::do_not_recommend]
impl<M: Message> StoredMessage for M {
    type Message = M;
    type Key = M::Key;
    type Store = Store<M>;
}

#[diagnostic::do_not_recommend]
impl<T> StoredMessage for T
where
    Never<T>: Unimplemented,
{
    type Message = <Never<T> as Unimplemented>::Message;
    type Key = <<Never<T> as Unimplemented>::Message as Message>::Key;
    type Store = Store<<Never<T> as Unimplemented>::Message>;
}

/// The message of `store = …`.
pub type MessageOf<M> = <M as StoredMessage>::Message;

/// The store of `store = …`.
pub type StoreOf<M> = <M as StoredMessage>::Store;

/// The key of the message of `store = …`.
pub type MessageKey<M> = <M as StoredMessage>::Key;

/// The type of a `#[key]` field of a subscriber, which is the type `K` that the key has in the message.
#[diagnostic::on_unimplemented(
    message = "this `#[key]` is a `{K}` in the message, not a `{Self}`",
    label = "expected `{K}`",
    note = "a connection has one value of each key; for several write `#[keys(…)]` and a list"
)]
pub trait MatchingKey<K> {
    /// Clones the value.
    fn clone_key(&self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: Clone> MatchingKey<K> for K {
    fn clone_key(&self) -> K {
        self.clone()
    }
}

#[diagnostic::do_not_recommend]
impl<K: Clone> MatchingKey<Never<K>> for K {
    fn clone_key(&self) -> Never<K> {
        Never::new()
    }
}

/// The type of a `#[key]` field that is a list, which is the type `K` that the key has in the message.
#[diagnostic::on_unimplemented(
    message = "this `#[key]` is a `{K}` in the message, not a `{Self}`: did you mean `#[keys]`?",
    label = "expected `{K}`",
    note = "`#[keys(…)]` with the name of the message's `#[key]` receives every key of the list"
)]
pub trait MatchingListKey<K> {
    /// Clones the value.
    fn clone_key(&self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: Clone> MatchingListKey<K> for K {
    fn clone_key(&self) -> K {
        self.clone()
    }
}

#[diagnostic::do_not_recommend]
impl<K: Clone> MatchingListKey<Never<K>> for K {
    fn clone_key(&self) -> Never<K> {
        Never::new()
    }
}

/// The type of the values of a `#[keys]` field, which is the type `K` that the key has in the message.
#[diagnostic::on_unimplemented(
    message = "the key is a `{K}` in the message, and this `#[keys]` is a list of `{Self}`",
    label = "expected a list of `{K}`",
    note = "give the list the type that the `#[key]` has in the message"
)]
pub trait ListedKey<K> {
    /// Clones the value.
    fn clone_key(&self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: Clone> ListedKey<K> for K {
    fn clone_key(&self) -> K {
        self.clone()
    }
}

#[diagnostic::do_not_recommend]
impl<K: Clone> ListedKey<Never<K>> for K {
    fn clone_key(&self) -> Never<K> {
        Never::new()
    }
}

/// The type of a `#[keys]` field: a list, a set or an array.
#[diagnostic::on_unimplemented(
    message = "`#[keys]` needs a list, and `{Self}` is not one",
    label = "not a list",
    note = "write `Vec<…>` with the type of the message's `#[key]`, or `#[key]` for one value"
)]
pub trait KeyList {
    /// The type of its values.
    type Value;

    /// Returns the key of each value.
    fn map_values<K>(&self, key: impl FnMut(&Self::Value) -> K) -> Vec<K>;
}

macro_rules! key_list {
    ($([$($parameters:tt)*] $list:ty;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T, $($parameters)*> KeyList for $list {
            type Value = T;

            fn map_values<K>(&self, key: impl FnMut(&T) -> K) -> Vec<K> {
                self.iter().map(key).collect()
            }
        }
    )*};
}

key_list! {
    [] Vec<T>;
    [] [T];
    [const N: usize] [T; N];
    [] VecDeque<T>;
    [] LinkedList<T>;
    [] BinaryHeap<T>;
    [] BTreeSet<T>;
    [S] HashSet<T, S>;
}

#[diagnostic::do_not_recommend]
impl<L: KeyList> KeyList for Option<L> {
    type Value = L::Value;

    fn map_values<K>(&self, key: impl FnMut(&L::Value) -> K) -> Vec<K> {
        self.as_ref().map_or_else(Vec::new, |list| list.map_values(key))
    }
}

#[diagnostic::do_not_recommend]
impl<L: KeyList + ?Sized> KeyList for Box<L> {
    type Value = L::Value;

    fn map_values<K>(&self, key: impl FnMut(&L::Value) -> K) -> Vec<K> {
        L::map_values(self, key)
    }
}

#[diagnostic::do_not_recommend]
impl<L: KeyList + ?Sized> KeyList for Arc<L> {
    type Value = L::Value;

    fn map_values<K>(&self, key: impl FnMut(&L::Value) -> K) -> Vec<K> {
        L::map_values(self, key)
    }
}

/// The key of a message without a key, which is the only one that a subscriber without `#[key]` and `all_keys` has.
#[diagnostic::on_unimplemented(
    message = "the message has the key `{Self}`, and this connection has no `#[key]`",
    label = "its key is `{Self}`",
    note = "give the struct the fields of `{Self}`, each with `#[key]`, or add `all_keys` to receive every key"
)]
#[doc(hidden)]
pub trait NoKeyNeeded {
    /// Returns the key.
    fn no_key() -> Self;
}

#[diagnostic::do_not_recommend]
impl NoKeyNeeded for NoKey {
    fn no_key() -> Self {
        Self
    }
}
