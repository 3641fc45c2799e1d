//! Expands to the struct of the key, which the keys of subscribers are checked against.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Visibility;
use syn::ext::IdentExt;

use super::model::Key;
use crate::runtime::Runtime;
use crate::spans::{generated_span, hygienic_ident, respanned, self_ident, type_span};

/// Returns the struct, or `None` without keys.
pub(super) fn key_struct(name: &Ident, visibility: &Visibility, keys: &[Key]) -> Option<TokenStream> {
    if keys.is_empty() {
        return None;
    }
    let doc = format!("The key of a [`{name}`]: a connection receives the messages whose key equals its own.");
    let key = key_name(name);
    let lints = struct_lints(name, keys);
    let fields = keys.iter().map(|Key { name, ty, .. }| {
        let doc = format!("The message's `{name}`.");
        quote!(#[doc = #doc] #visibility #name: #ty)
    });
    Some(quote! {
        #[doc = #doc]
        #lints
        #visibility struct #key {
            #(#fields,)*
        }
    })
}

pub(super) fn key_name(name: &Ident) -> Ident {
    format_ident!("{}Key", name.unraw(), span = name.span())
}

/// Allows what rustc would report about the struct at the user's own names, where the user cannot allow it.
fn struct_lints(name: &Ident, keys: &[Key]) -> TokenStream {
    let name = name.unraw().to_string();
    let is_camel_case = name.starts_with(char::is_uppercase) && !name.contains('_');
    let camel_case = (!is_camel_case).then(|| quote!(non_camel_case_types,));
    let snake_case = snake_case_lint(keys);
    quote!(#[allow(deprecated, private_interfaces, #camel_case #snake_case)])
}

/// Allows the same about the implementation of `Message`.
pub(super) fn message_lints(keys: &[Key]) -> TokenStream {
    let snake_case = snake_case_lint(keys);
    quote!(#[allow(deprecated, unused_qualifications, #snake_case)])
}

fn snake_case_lint(keys: &[Key]) -> Option<TokenStream> {
    keys.iter().any(|key| key.name.unraw().to_string().contains(char::is_uppercase)).then(|| quote!(non_snake_case,))
}

/// Returns the impls of `Clone`, `Debug`, `PartialEq`, `Eq`, `Hash` and `NamedKey`. They reach the fields through one trait of the
/// library: rustc's own derives would each report a type that cannot be a key.
pub(super) fn key_impls(rt: &Runtime, name: &Ident, keys: &[Key]) -> TokenStream {
    let key = key_name(name);
    let text = key.to_string();
    let (other, state, formatter) =
        (hygienic_ident("other", name.span()), hygienic_ident("state", name.span()), hygienic_ident("f", name.span()));
    let field = |method: &str, argument: Option<TokenStream>| {
        let method = method.to_owned();
        move |Key { name, ty, .. }: &Key| {
            let at = generated_span(type_span(ty));
            let (here, this, field) = (rt.at(at), self_ident(at), respanned(name, at));
            let method = Ident::new(&method, at);
            let argument = argument.clone();
            quote_spanned!(at=> #here::KeyField::#method(&#this.#field #argument))
        }
    };
    let names: Vec<&Ident> = keys.iter().map(|key| &key.name).collect();
    let texts: Vec<String> = names.iter().map(|name| name.unraw().to_string()).collect();
    let clones = keys.iter().map(field("clone_field", None));
    let debugs = keys.iter().map(field("debug_field", None));
    let hashes = keys.iter().map(field("hash_field", Some(quote!(, #state))));
    let equals = keys.iter().map(|key| {
        let at = generated_span(type_span(&key.ty));
        let name = respanned(&key.name, at);
        field("eq_field", Some(quote_spanned!(at=> , &#other.#name)))(key)
    });
    // The traits' items take the place of the struct's where a type does not implement `Deserialize`.
    let unreadable = quote! {
        #[allow(unused_imports)]
        use #rt::UnreadableValue as _;
    };
    let values = hygienic_ident("values", name.span());
    let readable = keys.iter().map(|key| key_value(rt, key, &quote!(IS_READABLE)));
    let reads = keys.iter().map(|key| key_value(rt, key, &quote!(read(#values)?)));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::clone::Clone for #key {
            fn clone(&self) -> Self {
                Self { #(#names: #clones,)* }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::fmt::Debug for #key {
            fn fmt(&self, #formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #formatter.debug_struct(#text) #(.field(#texts, #debugs))* .finish()
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::cmp::PartialEq for #key {
            fn eq(&self, #other: &Self) -> ::core::primitive::bool {
                #(#equals)&&*
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::cmp::Eq for #key {}

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::hash::Hash for #key {
            fn hash<__H: ::core::hash::Hasher>(&self, #state: &mut __H) {
                #(#hashes;)*
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl #rt::NamedKey for #key {
            const FIELDS: &'static [&'static ::core::primitive::str] = &[#(#texts),*];
            const IS_READABLE: &'static [::core::primitive::bool] = {
                #unreadable
                &[#(#readable),*]
            };

            fn read<'json>(
                #values: &mut dyn ::core::iter::Iterator<Item = &'json ::core::primitive::str>,
            ) -> ::core::option::Option<Self> {
                #unreadable
                ::core::option::Option::Some(Self { #(#names: #reads,)* })
            }
        }
    }
}

/// Returns an item of the library's type for the value of a field.
fn key_value(rt: &Runtime, Key { ty, .. }: &Key, item: &TokenStream) -> TokenStream {
    let at = generated_span(type_span(ty));
    let here = rt.at(at);
    quote_spanned!(at=> #here::KeyValue::<#ty>::#item)
}
