//! The path by which expansions name the library. No other file spells it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

/// The path of the module that exports what expansions name: `::tornadose::__private`, or below the user's `crate = …`.
#[derive(Clone)]
pub(crate) struct Runtime {
    library: Option<Path>,
}

impl Runtime {
    pub(crate) fn new(library: Option<Path>) -> Self {
        Self { library }
    }

    /// Returns the path at `span`, so that rustc reports errors in what follows there and not at the whole attribute.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let library = self.library.as_ref();
        let library = library.map_or_else(|| quote_spanned!(span=> ::tornadose), ToTokens::to_token_stream);
        quote_spanned!(span=> #library::__private)
    }
}

impl ToTokens for Runtime {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.at(Span::call_site()));
    }
}
