//! Literals in expansions.

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;

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
