//! Replaces the expansion after a mistake, so that rustc reports no consequences of it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Field};

use super::args::Args;
use super::key_json::serialize_impl;
use super::key_struct::{key_impls, key_name, key_struct};
use super::model::Key;
use super::slot_type::{SlotShape, items, slot_name};
use crate::generics::concretize;
use crate::runtime::Runtime;
use crate::threads;

pub(crate) fn stub(args: &Args, item: &DeriveInput) -> TokenStream {
    let rt = Runtime::new(args.library.clone());
    let name = &item.ident;
    let keys = if item.generics.params.is_empty() { keys(item) } else { Vec::new() };
    let key_struct = key_struct(name, &item.vis, &keys);
    let key_impls = (!keys.is_empty()).then(|| key_impls(&rt, name, &keys));
    let key_type = if keys.is_empty() { quote!(#rt::NoKey) } else { key_name(name).into_token_stream() };
    let serialize_key = (!keys.is_empty()).then(|| serialize_impl(&rt, name, &quote!(loop {})));
    let slot_type = slot_type(item, &rt);
    let (generics, arguments) = concretize(&item.generics);
    let bound = threads::bound(name, &threads::unchecked(item), &rt);
    let schema = args.schema.then(|| {
        quote! {
            #[automatically_derived]
            impl #generics #rt::MessageSchema for #name #arguments #bound {
                fn event_schemas(_: &mut #rt::SchemaGenerator) -> #rt::Vec<#rt::EventSchema> {
                    loop {}
                }
            }
        }
    });
    quote! {
        #key_struct
        #key_impls
        #serialize_key
        #slot_type

        #[automatically_derived]
        #[allow(deprecated)]
        impl #generics #rt::Message for #name #arguments #bound {
            type Key = #key_type;
            const CAN_FINISH: ::core::primitive::bool = true;
            const CHANNEL: &'static ::core::primitive::str = "";

            fn key(&self) -> Self::Key {
                loop {}
            }
            fn retention(&self) -> #rt::Retention {
                loop {}
            }
            fn event(&self) -> ::core::result::Result<#rt::Event, #rt::EncodeError> {
                loop {}
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl #generics #rt::Finish for #name #arguments #bound {}

        #schema
    }
}

/// Returns every `#[key]` field, so that rustc reports none of them as missing in a subscriber.
fn keys(item: &DeriveInput) -> Vec<Key> {
    match &item.data {
        Data::Struct(body) => marked(&body.fields, "key"),
        Data::Enum(body) => marked(body.variants.iter().flat_map(|variant| &variant.fields), "key"),
        Data::Union(_) => Vec::new(),
    }
}

/// Returns the type of the slots, which the program may name, if there are any.
fn slot_type(item: &DeriveInput, rt: &Runtime) -> Option<TokenStream> {
    let slots: Vec<(Option<&Ident>, Vec<Key>)> = match &item.data {
        _ if !item.generics.params.is_empty() => Vec::new(),
        Data::Struct(body) => vec![(None, marked(&body.fields, "slot"))],
        Data::Enum(body) => {
            body.variants.iter().map(|variant| (Some(&variant.ident), marked(&variant.fields, "slot"))).collect()
        }
        Data::Union(_) => Vec::new(),
    };
    let shapes: Vec<SlotShape<'_>> = slots
        .iter()
        .filter(|(_, fields)| !fields.is_empty())
        .map(|(variant, fields)| SlotShape { variant: *variant, fields })
        .collect();
    if shapes.is_empty() {
        return None;
    }
    let (name, slot) = (&item.ident, slot_name(&item.ident));
    let items = items(rt, name, &item.vis, &shapes);
    let bound = threads::bound(name, &threads::unchecked(item), rt);
    Some(quote! {
        #items

        #[automatically_derived]
        impl #rt::Slotted for #name #bound {
            type Slot = #slot;

            fn slot(&self) -> ::core::option::Option<#slot> {
                loop {}
            }
        }
    })
}

/// Returns the fields with an attribute. Of several with one name the first is returned.
fn marked<'a>(fields: impl IntoIterator<Item = &'a Field>, word: &str) -> Vec<Key> {
    let mut marked: Vec<Key> = Vec::new();
    for field in fields {
        let is_marked = field.attrs.iter().any(|attribute| attribute.path().is_ident(word));
        if let Some(name) = &field.ident
            && is_marked
            && marked.iter().all(|earlier| earlier.name != *name)
        {
            marked.push(Key { name: name.clone(), ty: field.ty.clone(), serialize_with: None });
        }
    }
    marked
}
