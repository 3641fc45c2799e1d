//! Generics of an item, which are a mistake: [`concretize`] lets the stub of a generic item compile nevertheless.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ConstParam, GenericParam, Generics, TypeParam};

/// Returns the generics that follow `impl` and those that follow the type's name. Every lifetime is `'static`, and every
/// type parameter has the bounds that a message needs.
pub(crate) fn concretize(generics: &Generics) -> (TokenStream, TokenStream) {
    let parameters = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(TypeParam { ident, bounds, .. }) => {
            Some(quote!(#ident: ::core::marker::Send + ::core::marker::Sync + 'static + #bounds))
        }
        GenericParam::Const(ConstParam { ident, ty, .. }) => Some(quote!(const #ident: #ty)),
    });
    let arguments = generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(_) => quote!('static),
        GenericParam::Type(TypeParam { ident, .. }) | GenericParam::Const(ConstParam { ident, .. }) => quote!(#ident),
    });
    (quote!(<#(#parameters),*>), quote!(<#(#arguments),*>))
}
