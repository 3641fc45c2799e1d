//! The attributes of `tornadose` and `tornadose-test`. They are documented at their re-exports.

use proc_macro::TokenStream;

mod test;

/// Documented at its re-export, `tornadose_test::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(arguments.into(), item.into()).into()
}

/// Documented at its re-export, `tornadose::store`.
#[proc_macro_attribute]
pub fn store(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Documented at its re-export, `tornadose::subscriber`.
#[proc_macro_attribute]
pub fn subscriber(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// The private derive behind `#[store]`.
#[proc_macro_derive(__Store, attributes(__store, key, latest, queue))]
pub fn derive_store(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// The private derive behind `#[subscriber]`.
#[proc_macro_derive(__Subscriber, attributes(__subscriber, key, param, query, header, cookie, depot))]
pub fn derive_subscriber(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
