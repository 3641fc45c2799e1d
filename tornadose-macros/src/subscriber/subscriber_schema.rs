//! Expands to `impl SubscriberSchema`, for a subscriber that says `schema`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ExprPath;
use syn::ext::IdentExt;

use super::field_type::option_value;
use super::fields::{BoundField, KeyValues, Source};
use super::model::Model;
use crate::spans::{generated_local_span, generated_span, hygienic_ident, path_span, type_span, unlinked};
use crate::threads;

/// Returns the impl, or `None` for a subscriber that is not described. `checked_hook` is the hook `receive` after the check
/// of its signature, which returns it with its argument.
pub(super) fn subscriber_schema(model: &Model, checked_hook: Option<TokenStream>) -> Option<TokenStream> {
    let Model { name, message, runtime: rt, schema, .. } = model;
    let description = schema.as_ref()?;
    let text = name.unraw().to_string();
    let schemas = hygienic_ident("schemas", name.span());
    let parameters: Vec<TokenStream> =
        model.fields.iter().filter_map(|field| parameter(field, model, &schemas)).collect();
    let parameters = (!parameters.is_empty()).then(|| {
        quote! {
            fn parameters(#schemas: &mut #rt::SchemaGenerator) -> #rt::Vec<#rt::Parameter> {
                #[allow(unused_imports)]
                use #rt::UnknownField as _;
                #rt::Vec::from([#(#parameters),*])
            }
        }
    });
    let texts = model.receive.as_ref().zip(checked_hook).map(|(hook, checked)| texts(hook, &checked, model));
    // A message that is not described is reported where `store = …` names it.
    let at = type_span(message);
    let here = rt.at(at);
    let check = unlinked(quote_spanned!(at=> #here::expect_described::<#here::MessageOf<#message>>), message);
    let bound = threads::bound(name, &model.unchecked, rt);
    Some(quote! {
        #[automatically_derived]
        #[allow(deprecated, private_interfaces, unused_qualifications)]
        impl #rt::SubscriberSchema for #name #bound {
            const NAME: &'static ::core::primitive::str = #text;
            const DESCRIPTION: &'static ::core::primitive::str = {
                let _ = #check;
                #description
            };

            #parameters
            #texts
        }
    })
}

/// Returns the description of a field that is read from the request.
fn parameter(field: &BoundField, model: &Model, schemas: &Ident) -> Option<TokenStream> {
    let rt = &model.runtime;
    let (place, name, separator) = match &field.source {
        Source::Param(name) => ("path", name, None),
        Source::Query(name) => ("query", name, None),
        Source::SplitQuery { name, separator } => ("query", name, Some(separator)),
        Source::Header(name) => ("header", name, None),
        Source::Cookie(name) => ("cookie", name, None),
        Source::Ticket => return Some(quote!(#rt::Parameter::ticket())),
        Source::Depot
        | Source::DepotNamed(_)
        | Source::DepotField { .. }
        | Source::State
        | Source::Connection
        | Source::StoreHandle => return None,
    };
    let is_list_of_keys = field.key.as_ref().is_some_and(|key| key.values == KeyValues::List);
    let value = option_value(&field.ty);
    // The client of a WebSocket may begin without a key.
    let is_optional = value.is_some() || (model.watch.is_some() && is_list_of_keys);
    let ty = value.unwrap_or(&field.ty);
    let at = generated_span(type_span(ty));
    let (here, place) = (rt.at(at), Ident::new(place, Span::call_site()));
    let schema = quote_spanned!(at=> #here::FieldSchema::<#ty>::schema(#schemas));
    let optional = is_optional.then(|| quote!(.optional()));
    let separated = separator.map(|separator| quote!(.separated_by(#separator)));
    Some(quote!(#rt::Parameter::#place(#name, #schema) #separated #optional))
}

/// Returns the method that describes what the hook takes and returns.
fn texts(hook: &ExprPath, checked: &TokenStream, model: &Model) -> TokenStream {
    let (message, rt) = (&model.message, &model.runtime);
    let at = path_span(&hook.path);
    let (function, argument) = (hygienic_ident("hook", at), hygienic_ident("argument", at));
    let (taken, returned) = (hygienic_ident("taken", at), hygienic_ident("returned", at));
    let (reads, writes) = (hygienic_ident("reads", at), hygienic_ident("writes", at));
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let of_message = type_span(message);
    let here = rt.at(of_message);
    let store = unlinked(quote_spanned!(of_message=> #here::StoreOf<#message>), message);
    let types = quote_spanned! {generated=>
        #library::ReceiveTypes::<Self, #store, _, _, _>::types(#function)
    };
    let taken_schema = quote_spanned!(generated=> #taken.schema(#reads));
    let reply_schema = quote_spanned!(generated=> #returned.schema(#writes));
    quote! {
        fn texts(
            #reads: &mut #rt::SchemaGenerator,
            #writes: &mut #rt::SchemaGenerator,
        ) -> ::core::option::Option<#rt::TextSchemas> {
            #[allow(unused_imports)]
            use #rt::ReturnedText as _;
            #checked
            let _ = #argument;
            let (#taken, #returned) = #types;
            ::core::option::Option::Some(#rt::TextSchemas { taken: #taken_schema, reply: #reply_schema })
        }
    }
}
