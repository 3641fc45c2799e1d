//! Expands `#[snapshot]` to the constant `SNAPSHOT`.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::Member;

use super::expand::pattern;
use super::model::{Key, Model, Shape, Variant};
use super::snapshot::Snapshot;
use crate::spans::{generated_local_span, hygienic_ident, path_span, respanned_tokens, type_span};

/// Returns what `impl Message` has for snapshots.
pub(super) fn snapshot_rules(model: &Model) -> Option<TokenStream> {
    let (snapshot, Shape::Enum(variants)) = (model.snapshot.as_ref()?, &model.shape) else { return None };
    let rt = &model.runtime;
    let (init, apply, role) = (init(model, snapshot), apply(model, snapshot), role(model, snapshot, variants));
    let version = snapshot.version.map(|version| {
        let version = Literal::u32_suffixed(version);
        quote!(.version(#version))
    });
    let everything = snapshot.sums_everything.then(|| quote!(.sums_everything()));
    Some(quote! {
        const SNAPSHOT: ::core::option::Option<#rt::SnapshotRules<Self, Self::Key>> = ::core::option::Option::Some(
            #rt::SnapshotRules::<Self, Self::Key>::new(#init, #apply, #role) #version #everything
        );
    })
}

/// Returns the function that makes the snapshot of a key without messages.
fn init(model: &Model, snapshot: &Snapshot) -> TokenStream {
    let Snapshot { variant, state, state_type, .. } = snapshot;
    let at = snapshot.init.as_ref().map_or_else(|| type_span(state_type), |path| path_span(&path.path));
    let at = generated_local_span(at);
    let (here, key) = (model.runtime.at(at), hygienic_ident("key", at));
    let value = if let Some(path) = &snapshot.init {
        let path = respanned_tokens(path, at);
        quote_spanned!(at=> #here::InitHook::<<Self as #here::Message>::Key, #state_type, _>::checked(#path)(#key))
    } else {
        quote_spanned!(at=> <#state_type as #here::DefaultState>::default_state())
    };
    let keys = model.keys().iter().map(|Key { name, .. }| quote!(#name: #here::KeyField::clone_field(&#key.#name),));
    let built = match state {
        Member::Named(state) => quote!(Self::#variant { #(#keys)* #state: #value }),
        Member::Unnamed(_) => quote!(Self::#variant(#value)),
    };
    let rt = &model.runtime;
    quote!(|#key: &<Self as #rt::Message>::Key| { let _ = #key; #built })
}

/// Returns the function that applies a message to a snapshot.
fn apply(model: &Model, snapshot: &Snapshot) -> TokenStream {
    let Snapshot { variant, state, state_type, apply, .. } = snapshot;
    let at = generated_local_span(path_span(&apply.path));
    let (here, path) = (model.runtime.at(at), respanned_tokens(apply, at));
    let [sum, message, value] = ["sum", "message", "state"].map(|name| hygienic_ident(name, at));
    let pattern = match state {
        Member::Named(state) => quote!(Self::#variant { #state: #value, .. }),
        Member::Unnamed(_) => quote!(Self::#variant(#value)),
    };
    let call = quote_spanned!(at=> #here::ApplyHook::<#state_type, Self, _>::checked(#path)(#value, #message));
    quote!(|#sum, #message| if let #pattern = #sum { #call })
}

/// Returns the function that says what a message is.
fn role(model: &Model, snapshot: &Snapshot, variants: &[Variant]) -> TokenStream {
    let rt = &model.runtime;
    let summed: Vec<_> =
        variants.iter().filter(|variant| snapshot.summed.contains(&variant.name)).map(pattern).collect();
    let own: Vec<_> = variants.iter().filter(|variant| variant.name == snapshot.variant).map(pattern).collect();
    let has_others = variants.len() > summed.len() + own.len();
    let others = has_others.then(|| quote!(_ => #rt::SnapshotRole::Other,));
    let message = hygienic_ident("message", generated_local_span(model.name.span()));
    quote! {
        |#message| match #message {
            #(#summed)|* => #rt::SnapshotRole::Summed,
            #(#own)|* => #rt::SnapshotRole::Snapshot,
            #others
        }
    }
}
