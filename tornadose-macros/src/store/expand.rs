//! Expands to `impl Message` and the struct of the key. It cannot fail, because the model is checked.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, Visibility};

use super::key_json::serialize_key;
use super::model::{Key, Model, Shape, Style, Variant};
use super::retention::Retention;
use crate::literals::usize_literal;
use crate::spans::{hygienic_ident, self_ident, type_span};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { name, runtime: rt, channel, .. } = model;
    let keys = model.keys();
    let key_struct = key_struct(name, &model.visibility, keys);
    let serialize_key = (!keys.is_empty()).then(|| serialize_key(rt, name, keys));
    let key_type = if keys.is_empty() { quote!(#rt::NoKey) } else { key_name(name).into_token_stream() };
    let no_queue = (!model.has_queue()).then(|| {
        quote!(
            const HAS_QUEUE: ::core::primitive::bool = false;
        )
    });
    let no_latest = (!model.has_latest()).then(|| {
        quote!(
            const HAS_LATEST: ::core::primitive::bool = false;
        )
    });
    let capacity = model.capacity.map(|count| {
        let count = usize_literal(count);
        quote!(const CAPACITY: ::core::primitive::usize = #count;)
    });
    let memory = model.memory.map(|bytes| {
        let bytes = usize_literal(bytes);
        quote!(const MEMORY: ::core::primitive::usize = #bytes;)
    });
    let max_key = model.max_key.map(|bytes| {
        let bytes = usize_literal(bytes);
        quote!(const MAX_KEY: ::core::primitive::usize = #bytes;)
    });
    let key = key(model);
    let retention = retention(model);
    let this = self_ident(name.span());
    // A type that does not implement `Serialize` is reported at its name.
    let here = rt.at(name.span());
    let event = quote_spanned!(name.span()=> #here::Event::json::<#name>(#this));

    quote! {
        #key_struct
        #serialize_key

        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #rt::Message for #name {
            type Key = #key_type;
            #no_queue
            #no_latest
            #capacity
            #memory
            #max_key
            const CHANNEL: &'static ::core::primitive::str = #channel;

            fn key(&self) -> Self::Key {
                #key
            }
            fn retention(&self) -> #rt::Retention {
                #retention
            }
            fn event(&self) -> ::core::result::Result<#rt::Event, #rt::EncodeError> {
                #event
            }
        }
    }
}

/// Returns the struct of the key, which the keys of subscribers are checked against, or `None` without keys.
pub(super) fn key_struct(name: &Ident, visibility: &Visibility, keys: &[Key]) -> Option<TokenStream> {
    if keys.is_empty() {
        return None;
    }
    let doc = format!("The key of a [`{name}`]: a connection receives the messages whose key equals its own.");
    let key = key_name(name);
    let fields = keys.iter().map(|Key { name, ty, .. }| {
        let doc = format!("The message's `{name}`.");
        quote!(#[doc = #doc] #visibility #name: #ty)
    });
    Some(quote! {
        #[doc = #doc]
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            ::core::cmp::PartialEq,
            ::core::cmp::Eq,
            ::core::hash::Hash,
        )]
        #visibility struct #key {
            #(#fields,)*
        }
    })
}

pub(super) fn key_name(name: &Ident) -> Ident {
    format_ident!("{}Key", name.unraw(), span = name.span())
}

fn key(model: &Model) -> TokenStream {
    let rt = &model.runtime;
    if model.keys().is_empty() {
        return quote!(#rt::NoKey);
    }
    let key = key_name(&model.name);
    match &model.shape {
        Shape::Struct { keys, .. } => {
            let fields = keys.iter().map(|Key { name, ty, .. }| {
                let at = type_span(ty);
                let this = self_ident(at);
                let value = quote_spanned!(at=> ::core::clone::Clone::clone(&#this.#name));
                quote!(#name: #value)
            });
            quote!(#key { #(#fields,)* })
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().map(|Variant { name, keys, .. }| {
                let bindings = keys.iter().map(|key| (key, binding(key)));
                let patterns = bindings.clone().map(|(Key { name, .. }, binding)| quote!(#name: #binding));
                let fields = bindings.map(|(Key { name, ty, .. }, binding)| {
                    let value = quote_spanned!(type_span(ty)=> ::core::clone::Clone::clone(#binding));
                    quote!(#name: #value)
                });
                quote!(Self::#name { #(#patterns,)* .. } => #key { #(#fields,)* })
            });
            quote!(match self { #(#arms,)* })
        }
    }
}

fn binding(key: &Key) -> Ident {
    hygienic_ident(&key.name.unraw().to_string(), type_span(&key.ty))
}

fn retention(model: &Model) -> TokenStream {
    let rt = &model.runtime;
    let variant_of = |retention| match retention {
        Retention::Latest => quote!(#rt::Retention::Latest),
        Retention::Queue => quote!(#rt::Retention::Queue),
    };
    let variants = match &model.shape {
        Shape::Struct { retention, .. } => return variant_of(*retention),
        Shape::Enum(variants) => variants,
    };
    let arms: Vec<TokenStream> = [Retention::Latest, Retention::Queue]
        .into_iter()
        .filter_map(|retention| {
            let with_retention = variants.iter().filter(|variant| variant.retention == retention);
            let patterns: Vec<_> = with_retention.map(pattern).collect();
            let retention = variant_of(retention);
            (!patterns.is_empty()).then(|| quote!(#(#patterns)|* => #retention))
        })
        .collect();
    match arms.as_slice() {
        [_, _] => quote!(match self { #(#arms,)* }),
        _ => variant_of(variants.first().map_or(Retention::Queue, |variant| variant.retention)),
    }
}

fn pattern(Variant { name, fields, .. }: &Variant) -> TokenStream {
    match fields {
        Style::Unit => quote!(Self::#name),
        Style::Tuple => quote!(Self::#name(..)),
        Style::Named => quote!(Self::#name { .. }),
    }
}
