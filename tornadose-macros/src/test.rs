//! `#[tornadose_test::test]`: an async test on a paused clock.

use proc_macro2::TokenStream;

pub(crate) fn expand(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    item
}
