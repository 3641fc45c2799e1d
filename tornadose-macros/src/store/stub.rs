//! Replaces the expansion after a mistake, so that rustc reports no consequences of it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput};

use super::args::Args;
use super::key_json::serialize_impl;
use super::key_struct::{key_impls, key_name, key_struct};
use super::model::Key;
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
    let (generics, arguments) = concretize(&item.generics);
    let bound = threads::bound(name, &threads::unchecked(item), &rt);
    quote! {
        #key_struct
        #key_impls
        #serialize_key

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
    }
}

/// Returns every `#[key]` field, so that rustc reports none of them as missing in a subscriber.
fn keys(item: &DeriveInput) -> Vec<Key> {
    let fields: Vec<&syn::Field> = match &item.data {
        Data::Struct(body) => body.fields.iter().collect(),
        Data::Enum(body) => body.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    let mut keys: Vec<Key> = Vec::new();
    for field in fields {
        let marked = field.attrs.iter().any(|attribute| attribute.path().is_ident("key"));
        if let Some(name) = &field.ident
            && marked
            && keys.iter().all(|key| key.name != *name)
        {
            keys.push(Key { name: name.clone(), ty: field.ty.clone(), serialize_with: None });
        }
    }
    keys
}
