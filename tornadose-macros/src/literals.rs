//! Numbers in expansions.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ExprPath;

use crate::spans::{generated_local_span, hygienic_ident, path_span, respanned_tokens};

/// A number of messages, connections or keys.
#[derive(Clone)]
pub(crate) enum Count {
    Number(u64),
    /// The path of a constant.
    Const(ExprPath),
}

impl Count {
    /// Returns the number as a `usize`. Of a constant with another type, rustc reports that at its path.
    pub(crate) fn to_usize(&self) -> TokenStream {
        match self {
            Self::Number(number) => usize_literal(*number).into_token_stream(),
            Self::Const(path) => {
                let last = path_span(&path.path);
                let (at, count) = (generated_local_span(last), hygienic_ident("count", last));
                let path = respanned_tokens(path, at);
                quote_spanned!(at=> { let #count: ::core::primitive::usize = #path; #count })
            }
        }
    }
}

/// Returns the number as a `usize` with its suffix. The number may exceed the `usize` of the compiling machine.
pub(crate) fn usize_literal(number: u64) -> Literal {
    let text = format!("{number}usize");
    let mut literal = text.parse().unwrap_or_else(|_| Literal::u64_suffixed(number));
    literal.set_span(Span::call_site());
    literal
}

/// Returns the `Duration` in seconds if they are whole, else in milliseconds.
pub(crate) fn duration(milliseconds: u64) -> TokenStream {
    if milliseconds.is_multiple_of(1000) {
        let seconds = Literal::u64_suffixed(milliseconds / 1000);
        quote!(::core::time::Duration::from_secs(#seconds))
    } else {
        let milliseconds = Literal::u64_suffixed(milliseconds);
        quote!(::core::time::Duration::from_millis(#milliseconds))
    }
}
