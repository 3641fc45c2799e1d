//! Expands to `impl Serialize` for the struct of the key. Serde's own derive takes the path of serde as a text, in which
//! `$crate` cannot be written.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Ident;
use syn::ext::IdentExt;

use super::key_struct::key_name;
use super::model::Key;
use crate::runtime::Runtime;
use crate::spans::{generated_span, hygienic_ident, respanned, self_ident, type_span};

/// Returns the impl. Each field is written under its name, as the message's own attribute tells serde to write its
/// value.
pub(super) fn serialize_key(rt: &Runtime, name: &Ident, keys: &[Key]) -> TokenStream {
    let (key, count) = (key_name(name).to_string(), keys.len());
    let (serializer, state) = (serializer(name), hygienic_ident("fields", name.span()));
    let fields = keys.iter().map(|key| {
        let at = generated_span(type_span(&key.ty));
        let (this, field) = (self_ident(at), respanned(&key.name, at));
        serialize_part(rt, key, quote_spanned!(at=> &#this.#field), &state)
    });
    let body = quote! {
        #[allow(unused_imports)]
        use #rt::NotSerialized as _;
        let mut #state = #rt::Serializer::serialize_struct(#serializer, #key, #count)?;
        #(#fields)*
        #rt::SerializeStruct::end(#state)
    };
    serialize_impl(rt, name, &body)
}

/// Returns the statement that writes the value of a field, which is a reference, under the field's name.
pub(super) fn serialize_part(rt: &Runtime, field: &Key, value: impl ToTokens, state: &Ident) -> TokenStream {
    let Key { name, ty, serialize_with } = field;
    let (text, at) = (name.unraw().to_string(), generated_span(type_span(ty)));
    let here = rt.at(at);
    let Some(function) = serialize_with else {
        // The trait's method takes the place of the struct's where the type does not implement `Serialize`.
        return quote_spanned!(at=> #here::KeyPart(#value).serialize_part(&mut #state, #text)?;);
    };
    let (wrapper, serializer) = (hygienic_ident("SerializeWith", at), hygienic_ident("serializer", at));
    let value = quote!(&{
        struct #wrapper<'field>(&'field #ty);
        impl #rt::Serialize for #wrapper<'_> {
            fn serialize<__S: #rt::Serializer>(
                &self,
                #serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #function(self.0, #serializer)
            }
        }
        #wrapper(#value)
    });
    quote_spanned!(at=> #here::SerializeStruct::serialize_field(&mut #state, #text, #value)?;)
}

/// Returns the impl with this body.
pub(super) fn serialize_impl(rt: &Runtime, name: &Ident, body: &TokenStream) -> TokenStream {
    let (key, serializer) = (key_name(name), serializer(name));
    quote! {
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications)]
        impl #rt::Serialize for #key {
            fn serialize<__S: #rt::Serializer>(
                &self,
                #serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #body
            }
        }
    }
}

fn serializer(name: &Ident) -> Ident {
    hygienic_ident("serializer", name.span())
}
