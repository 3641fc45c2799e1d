//! Makes a generic item concrete for its stub: generics are a mistake, but rustc is to have nothing to add.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ConstParam, GenericParam, Generics, TypeParam};

/// The generics of a type with every lifetime `'static` and every parameter fit for a store: what to put behind `impl`, and
/// behind the type's name.
pub(crate) fn concrete(generics: &Generics) -> (TokenStream, TokenStream) {
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
