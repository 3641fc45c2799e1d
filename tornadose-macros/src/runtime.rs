//! The one place that spells where expansions find the library.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

/// Names the module that exports what expansions name, `::tornadose::__private` unless the user gave `crate = …`.
#[derive(Clone)]
pub(crate) struct Runtime {
    library: Option<Path>,
}

impl Runtime {
    pub(crate) fn new(library: Option<Path>) -> Self {
        Self { library }
    }

    /// The same path, so that an error in what follows it is told at `span` and not at the whole attribute.
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
