//! Expands to `impl MessageSchema`, for a message that says `schema`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use super::model::{Key, Model, Shape};
use super::retention::Retention;
use crate::runtime::Runtime;
use crate::spans::{generated_span, hygienic_ident, type_span};
use crate::threads;

/// Returns the impl, or `None` for a message that is not described.
pub(super) fn message_schema(model: &Model) -> Option<TokenStream> {
    let Model { name, runtime: rt, .. } = model;
    if !model.has_schema {
        return None;
    }
    // A type that does not implement `JsonSchema` is reported at its name.
    let at = generated_span(name.span());
    let here = rt.at(at);
    let schemas = hygienic_ident("schemas", name.span());
    let names = event_names(model);
    let events = quote_spanned!(at=> <Self as #here::DescribeEvents>::events);
    let key = fields(rt, model.keys(), &schemas).map(|key| method(rt, "key_schema", &schemas, &key));
    let slot = slot(model, &schemas).map(|slot| method(rt, "slot_schema", &schemas, &slot));
    let bound = threads::bound(name, &model.unchecked, rt);
    Some(quote! {
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications)]
        impl #rt::MessageSchema for #name #bound {
            fn event_schemas(#schemas: &mut #rt::SchemaGenerator) -> #rt::Vec<#rt::EventSchema> {
                #events(#schemas, #names)
            }
            #key
            #slot
        }
    })
}

fn event_names(model: &Model) -> TokenStream {
    let rt = &model.runtime;
    let Shape::Enum(variants) = &model.shape else { return quote!(#rt::EventNames::Unnamed) };
    let named: Vec<&String> = variants.iter().filter_map(|variant| variant.event_name.as_ref()).collect();
    let has_unnamed = variants.iter().any(|variant| variant.unnamed);
    match (named.is_empty(), has_unnamed) {
        (true, true) => quote!(#rt::EventNames::Unnamed),
        (true, false) => quote!(#rt::EventNames::Converted),
        (false, _) => quote!(#rt::EventNames::Variants { named: &[#(#named),*], has_unnamed: #has_unnamed }),
    }
}

fn slot(model: &Model, schemas: &syn::Ident) -> Option<TokenStream> {
    let rt = &model.runtime;
    let variants = match &model.shape {
        Shape::Struct { slots, .. } => return fields(rt, slots, schemas),
        Shape::Enum(variants) => variants.iter().filter(|variant| variant.retention == Retention::Latest),
    };
    let slots: Vec<TokenStream> = variants.filter_map(|variant| fields(rt, &variant.slots, schemas)).collect();
    (!slots.is_empty()).then(|| quote!(#rt::any_of(#rt::Vec::from([#(#slots),*]))))
}

/// Returns the schema of a key or slot with these fields, or `None` without fields.
fn fields(rt: &Runtime, fields: &[Key], schemas: &syn::Ident) -> Option<TokenStream> {
    if fields.is_empty() {
        return None;
    }
    let fields = fields.iter().map(|Key { name, ty, serialize_with }| {
        let (text, at) = (name.unraw().to_string(), generated_span(type_span(ty)));
        let here = rt.at(at);
        let schema = if serialize_with.is_some() {
            // The function may write anything.
            quote!(#rt::any_schema())
        } else {
            quote_spanned!(at=> #here::FieldSchema::<#ty>::schema(#schemas))
        };
        quote!((#text, #schema))
    });
    Some(quote!(#rt::fields_schema(#rt::Vec::from([#(#fields),*]))))
}

fn method(rt: &Runtime, name: &str, schemas: &syn::Ident, schema: &TokenStream) -> TokenStream {
    let name = quote::format_ident!("{name}");
    quote! {
        fn #name(#schemas: &mut #rt::SchemaGenerator) -> ::core::option::Option<#rt::Schema> {
            #[allow(unused_imports)]
            use #rt::UnknownField as _;
            ::core::option::Option::Some(#schema)
        }
    }
}
