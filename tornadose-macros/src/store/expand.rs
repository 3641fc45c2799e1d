//! Expands to `impl Message` and the struct of the key. It cannot fail, because the model is checked.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Ident;
use syn::ext::IdentExt;

use super::key_json::serialize_key;
use super::key_struct::{key_impls, key_name, key_struct, message_lints};
use super::message_schema::message_schema;
use super::model::{Key, Model, Shape, Style, Variant};
use super::retention::Retention;
use super::slot_fields::dropped_by;
use super::slot_type::{slot_name, slot_type};
use super::snapshot_rules::snapshot_rules;
use crate::literals::{duration, usize_literal};
use crate::spans::{generated_local_span, generated_span, hygienic_ident, respanned, self_ident, type_span};
use crate::threads;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { name, runtime: rt, channel, .. } = model;
    let keys = model.keys();
    let key_struct = key_struct(name, &model.visibility, keys);
    let key_impls = (!keys.is_empty()).then(|| key_impls(rt, name, keys));
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
    let ephemeral = model.has_ephemeral().then(|| {
        quote!(
            const HAS_EPHEMERAL: ::core::primitive::bool = true;
        )
    });
    let capacity = model.capacity.as_ref().map(|count| {
        let count = count.to_usize();
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
    let ttl = model.queue_ttl.map(|ttl| {
        let ttl = duration(ttl);
        quote!(
            const QUEUE_TTL: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(#ttl);
        )
    });
    let (slot_type, slots, tombstones) = (slot_type(model), slots(model), tombstones(model));
    let latest_ttl = latest_ttl(model);
    let key = key(model);
    let retention = retention(model);
    let event = event(model);
    let lints = message_lints(keys);
    let can_finish = model.can_finish.then(|| {
        quote!(
            const CAN_FINISH: ::core::primitive::bool = true;
        )
    });
    let finishes = finishes(model);
    let finish = model.can_finish.then(|| finish_impl(model));
    let bound = threads::bound(name, &model.unchecked, rt);
    let snapshot = snapshot_rules(model);
    let schema = message_schema(model);

    quote! {
        #key_struct
        #key_impls
        #serialize_key
        #slot_type

        #[automatically_derived]
        #lints
        impl #rt::Message for #name #bound {
            type Key = #key_type;
            #no_queue
            #no_latest
            #ephemeral
            #can_finish
            #capacity
            #memory
            #max_key
            #ttl
            #snapshot
            const CHANNEL: &'static ::core::primitive::str = #channel;

            fn key(&self) -> #key_type {
                #key
            }
            fn retention(&self) -> #rt::Retention {
                #retention
            }
            #finishes
            #slots
            #latest_ttl
            #tombstones
            fn event(&self) -> ::core::result::Result<#rt::Event, #rt::EncodeError> {
                #event
            }
        }

        #finish
        #schema
    }
}

/// Returns what `impl Message` has beside `Slotted`.
fn slots(model: &Model) -> Option<TokenStream> {
    let rt = &model.runtime;
    let names_variants = matches!(model.shape, Shape::Enum(_)).then(|| {
        quote!(
            const SLOTS_NAME_VARIANTS: ::core::primitive::bool = true;
        )
    });
    model.has_slots().then(|| {
        quote! {
            const HAS_SLOTS: ::core::primitive::bool = true;
            #names_variants

            fn slot_json(
                &self,
            ) -> ::core::result::Result<::core::option::Option<::std::string::String>, #rt::EncodeError> {
                #rt::Slotted::slot(self).as_ref().map(#rt::slot_json).transpose()
            }
        }
    })
}

/// Returns what `impl Message` has for `latest` values that expire.
fn latest_ttl(model: &Model) -> Option<TokenStream> {
    if !model.has_latest_ttl() {
        return None;
    }
    let some = |milliseconds| {
        let ttl = duration(milliseconds);
        quote!(::core::option::Option::Some(#ttl))
    };
    let ttl = match &model.shape {
        Shape::Struct { ttl, .. } => ttl.map(some).unwrap_or_default(),
        Shape::Enum(variants) => {
            let arms = variants.iter().filter_map(|variant| {
                let (pattern, ttl) = (pattern(variant), some(variant.ttl?));
                Some(quote!(#pattern => #ttl,))
            });
            let is_rest = variants.iter().any(|variant| variant.ttl.is_none());
            let rest = is_rest.then(|| quote!(_ => ::core::option::Option::None,));
            quote!(match self { #(#arms)* #rest })
        }
    };
    Some(quote! {
        const HAS_LATEST_TTL: ::core::primitive::bool = true;

        fn latest_ttl(&self) -> ::core::option::Option<::core::time::Duration> {
            #ttl
        }
    })
}

/// Returns what `impl Message` has for tombstones.
fn tombstones(model: &Model) -> Option<TokenStream> {
    let (rt, slot) = (&model.runtime, slot_name(&model.name));
    let Shape::Enum(variants) = &model.shape else { return None };
    let (tombstones, others): (Vec<&Variant>, Vec<&Variant>) =
        variants.iter().partition(|variant| variant.is_tombstone);
    if tombstones.is_empty() {
        return None;
    }
    let arms = tombstones.iter().map(|tombstone| {
        if tombstone.slots.is_empty() {
            let pattern = pattern(tombstone);
            return quote!(#pattern => #rt::Tombstone::Key,);
        }
        let Variant { name, slots: fields, .. } = tombstone;
        let bindings: Vec<Ident> = fields.iter().map(binding).collect();
        let names = fields.iter().map(|field| &field.name);
        let slots = dropped_by(tombstone, variants).map(|Variant { name, .. }| {
            let values = fields.iter().map(|field @ Key { name, ty, .. }| {
                let at = generated_local_span(type_span(ty));
                let (here, binding) = (rt.at(at), binding(field));
                let value = quote_spanned!(at=> #here::TombstoneSlot::clone_slot(#binding));
                quote!(#name: #value)
            });
            quote!(#rt::slot_json(&#slot::#name { #(#values,)* })?)
        });
        quote! {
            Self::#name { #(#names: #bindings,)* .. } => {
                #rt::Tombstone::Slots(::std::vec::Vec::from([#(#slots),*]))
            }
        }
    });
    let rest =
        (!others.is_empty()).then(|| quote!(_ => return ::core::result::Result::Ok(::core::option::Option::None),));
    Some(quote! {
        const HAS_TOMBSTONES: ::core::primitive::bool = true;

        fn tombstone(
            &self,
        ) -> ::core::result::Result<::core::option::Option<#rt::Tombstone>, #rt::EncodeError> {
            ::core::result::Result::Ok(::core::option::Option::Some(match self { #(#arms)* #rest }))
        }
    })
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
                let at = generated_span(type_span(ty));
                let (here, this, field) = (rt.at(at), self_ident(at), respanned(name, at));
                let value = quote_spanned!(at=> #here::KeyField::clone_field(&#this.#field));
                quote!(#name: #value)
            });
            quote!(#key { #(#fields,)* })
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().enumerate().map(|(index, Variant { name, keys, .. })| {
                let bindings = keys.iter().map(|key| (key, binding(key)));
                let patterns = bindings.clone().map(|(Key { name, .. }, binding)| quote!(#name: #binding));
                let fields = bindings.map(|(Key { name, ty, .. }, binding)| {
                    let at = generated_local_span(type_span(ty));
                    let here = rt.at(at);
                    let value = if index == 0 {
                        quote_spanned!(at=> #here::KeyField::clone_field(#binding))
                    } else {
                        quote_spanned!(at=> #here::VariantKey::clone_key(#binding))
                    };
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

/// Returns the body of `event`. A type that does not implement `Serialize` is reported at its name.
fn event(model: &Model) -> TokenStream {
    let at = generated_span(model.name.span());
    let (here, this) = (model.runtime.at(at), self_ident(at));
    let named = quote_spanned!(at=> #here::EncodeMessage::encode(#this));
    let unnamed = quote_spanned!(at=> #here::EncodeMessage::encode_unnamed(#this));
    let Shape::Enum(variants) = &model.shape else { return unnamed };
    let (without, with): (Vec<_>, Vec<_>) = variants.iter().partition(|variant| variant.unnamed);
    match (without.as_slice(), with.as_slice()) {
        (_, []) => unnamed,
        ([], _) => named,
        _ => {
            let patterns = without.into_iter().map(pattern);
            quote!(match self { #(#patterns)|* => #unnamed, _ => #named })
        }
    }
}

fn retention(model: &Model) -> TokenStream {
    let rt = &model.runtime;
    let variant_of = |retention| match retention {
        Retention::Latest => quote!(#rt::Retention::Latest),
        Retention::Queue => quote!(#rt::Retention::Queue),
        Retention::Ephemeral => quote!(#rt::Retention::Ephemeral),
    };
    let variants = match &model.shape {
        Shape::Struct { retention, .. } => return variant_of(*retention),
        Shape::Enum(variants) => variants,
    };
    let arms: Vec<TokenStream> = [Retention::Latest, Retention::Queue, Retention::Ephemeral]
        .into_iter()
        .filter_map(|retention| {
            let with_retention = variants.iter().filter(|variant| variant.retention == retention);
            let patterns: Vec<_> = with_retention.map(pattern).collect();
            let retention = variant_of(retention);
            (!patterns.is_empty()).then(|| quote!(#(#patterns)|* => #retention))
        })
        .collect();
    match arms.as_slice() {
        [_, _, ..] => quote!(match self { #(#arms,)* }),
        _ => variant_of(variants.first().map_or(Retention::Queue, |variant| variant.retention)),
    }
}

/// Returns the method `finishes`, where a variant does.
fn finishes(model: &Model) -> Option<TokenStream> {
    let Shape::Enum(variants) = &model.shape else { return None };
    let patterns: Vec<_> = variants.iter().filter(|variant| variant.finishes).map(pattern).collect();
    let body = match patterns.len() {
        0 => return None,
        all if all == variants.len() => quote!(true),
        _ => quote!(::core::matches!(self, #(#patterns)|*)),
    };
    Some(quote! {
        fn finishes(&self) -> ::core::primitive::bool {
            #body
        }
    })
}

fn finish_impl(model: &Model) -> TokenStream {
    let Model { name, runtime: rt, unchecked, .. } = model;
    let bound = threads::bound(name, unchecked, rt);
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #rt::Finish for #name #bound {}
    }
}

pub(super) fn pattern(Variant { name, fields, .. }: &Variant) -> TokenStream {
    match fields {
        Style::Unit => quote!(Self::#name),
        Style::Tuple => quote!(Self::#name(..)),
        Style::Named => quote!(Self::#name { .. }),
    }
}
