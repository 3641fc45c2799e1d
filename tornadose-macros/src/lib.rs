//! The attributes of `tornadose` and `tornadose-test`. They are documented at their re-exports.
//!
//! An attribute on a type runs `args` (what was written) → `model` (what is checked) → `expand`, or `stub` after a
//! mistake. `attribute` has the steps that both attributes share.

use proc_macro::TokenStream;

mod attribute;
mod store;
mod subscriber;
mod raw_option;
mod value;
mod literals;
mod origin;
mod helper_attrs;
mod generics;
mod diagnostics;
mod runtime;
mod spans;
mod test;
#[cfg(test)]
mod expansions;

use crate::store::StoreAttribute;
use crate::subscriber::SubscriberAttribute;

/// Documented at its re-export, `tornadose_test::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(arguments.into(), item.into()).into()
}

/// Documented at its re-export, `tornadose::store`.
#[proc_macro_attribute]
pub fn store(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::attach::<StoreAttribute>(&arguments.into(), &item.into()).into()
}

/// Documented at its re-export, `tornadose::subscriber`.
#[proc_macro_attribute]
pub fn subscriber(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::attach::<SubscriberAttribute>(&arguments.into(), &item.into()).into()
}

/// The private derive of `#[store]`.
#[proc_macro_derive(__Store, attributes(__store, key, latest, queue))]
pub fn derive_store(item: TokenStream) -> TokenStream {
    attribute::derive::<StoreAttribute>(item.into()).into()
}

/// The private derive of `#[subscriber]`.
#[proc_macro_derive(__Subscriber, attributes(__subscriber, key, param, query, header, cookie, depot))]
pub fn derive_subscriber(item: TokenStream) -> TokenStream {
    attribute::derive::<SubscriberAttribute>(item.into()).into()
}
