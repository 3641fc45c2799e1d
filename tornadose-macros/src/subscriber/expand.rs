//! Expands to `impl Subscriber` and the function `handler`. It cannot fail, because the model is checked.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{ExprPath, Ident};

use super::fields::{BoundField, Source};
use super::model::Model;
use super::options::{KeepAlive, Lag, Options, Origins, Transports};
use crate::literals::{duration, usize_literal};
use crate::runtime::Runtime;
use crate::spans::{hygienic_ident, path_span, self_ident, type_span};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { name, visibility, message, runtime: rt, .. } = model;
    let options = options(model.transports, &model.options, rt);
    let here = rt.at(type_span(message));
    let store = quote_spanned!(type_span(message)=> #here::Store<#message>);
    // Documentation shows this name, so it has no underscores. `store` is likelier to be the name of one of the user's
    // handlers, which are unit structs, so that the pattern would not be a binding.
    let parameter = Ident::new("message_store", type_span(message));
    let serve = quote_spanned!(type_span(message)=> #here::StreamHandler::new(#parameter));
    let from_request = from_request(model);
    let keys = keys(model);
    let authorize = model.authorize.as_ref().map(|hook| authorize(hook, rt));
    let filter = model.filter.as_ref().map(|hook| filter(hook, rt));
    let receive = model.receive.as_ref().map(|hook| receive(hook, rt));

    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #rt::Subscriber for #name {
            type Message = #message;
            const OPTIONS: #rt::Options = #options;

            #from_request
            #keys
            #authorize
            #filter
            #receive
        }

        impl #name {
            /// Returns the Salvo handler that sends the messages of a store to its clients.
            #[allow(dead_code, unused_qualifications)]
            #[must_use = "a handler does nothing until it is added to a router"]
            #visibility fn handler(#parameter: &#store) -> #rt::StreamHandler<Self> {
                #serve
            }
        }
    }
}

/// The builder chain of the transports and the options that the user wrote.
fn options(transports: Transports, options: &Options, rt: &Runtime) -> TokenStream {
    let transports = match transports {
        Transports::Sse => quote!(Sse),
        Transports::Ws => quote!(Ws),
        Transports::Both => quote!(Both),
    };
    let replay = options.replay.map(usize_literal).map(|count| quote!(.replay(#count)));
    let lag = options.lag.map(|lag| match lag {
        Lag::Skip => quote!(.lag(#rt::Lag::Skip)),
        Lag::Close => quote!(.lag(#rt::Lag::Close)),
    });
    let keep_alive = options.keep_alive.map(|keep_alive| match keep_alive {
        KeepAlive::Off => quote!(.no_keep_alive()),
        KeepAlive::Milliseconds(length) => {
            let length = duration(length);
            quote!(.keep_alive(#length))
        }
    });
    let retry = options.retry.map(duration).map(|length| quote!(.retry(#length)));
    let origins = options.origins.as_ref().map(|origins| match origins {
        Origins::Any => quote!(.origins(#rt::Origins::Any)),
        Origins::List(list) => quote!(.origins(#rt::Origins::List(&[#(#list),*]))),
    });
    let max_connections = options.max_connections.map(usize_literal).map(|count| quote!(.max_connections(#count)));
    let max_age = options.max_age.map(duration).map(|length| quote!(.max_age(#length)));
    let protocols = options.protocols.as_ref().map(|list| quote!(.protocols(&[#(#list),*])));
    let max_message = options.max_message.map(usize_literal).map(|bytes| quote!(.max_message(#bytes)));
    quote! {
        #rt::Options::new()
            .transports(#rt::Transports::#transports)
            #replay #lag #keep_alive #retry #origins #max_connections #max_age #protocols #max_message
    }
}

fn from_request(model: &Model) -> TokenStream {
    let Model { runtime: rt, fields, .. } = model;
    let values = fields.iter().map(|BoundField { name, ty, source, .. }| {
        // A type that cannot be deserialized or cloned is reported where the field names it.
        let at = type_span(ty);
        let here = rt.at(at);
        let (request, depot) = (hygienic_ident("request", at), hygienic_ident("depot", at));
        let value = match source {
            Source::Param(key) => quote_spanned!(at=> #here::param::<#ty>(#request, #key)?),
            Source::Query(key) => quote_spanned!(at=> #here::query::<#ty>(#request, #key)?),
            Source::Header(key) => quote_spanned!(at=> #here::header::<#ty>(#request, #key)?),
            Source::Cookie(key) => quote_spanned!(at=> #here::cookie::<#ty>(#request, #key)?),
            Source::Depot => quote_spanned!(at=> #here::depot::<#ty>(#depot)?),
            Source::DepotNamed(key) => quote_spanned!(at=> #here::depot_named::<#ty>(#depot, #key)?),
        };
        quote!(#name: #value)
    });
    let this = if model.unit { quote!(Self) } else { quote!(Self { #(#values,)* }) };
    let parameter = |name, client_controlled| {
        let is_used = fields.iter().any(|field| field.source.is_client_controlled() == client_controlled);
        if is_used { hygienic_ident(name, Span::mixed_site()).into_token_stream() } else { quote!(_) }
    };
    let (request, depot) = (parameter("request", true), parameter("depot", false));
    quote! {
        fn from_request(
            #request: &#rt::Request,
            #depot: &#rt::Depot,
        ) -> ::core::result::Result<Self, #rt::StatusError> {
            ::core::result::Result::Ok(#this)
        }
    }
}

/// Returns the method `keys`. Its literal of the message's key struct lets rustc check the keys of the subscriber: rustc
/// reports one that is missing, misspelt or of another type at the user's own words.
fn keys(model: &Model) -> TokenStream {
    let Model { name, message, runtime: rt, .. } = model;
    // A type that is not a message is reported once, where it is named: rustc omits repetitions at the same span.
    let at = type_span(message);
    let here = rt.at(at);
    let keys_of_message = quote_spanned!(at=> #here::Keys<#here::KeyOf<Self>>);
    let keys = if model.all_keys {
        quote!(#rt::Keys::All)
    } else {
        let fields = model.fields.iter().filter(|field| field.key).map(|BoundField { name, .. }| {
            let at = name.span();
            let this = self_ident(at);
            let value = quote_spanned!(at=> ::core::clone::Clone::clone(&#this.#name));
            quote!(#name: #value)
        });
        let key = Ident::new("__Key", at);
        let literal = quote_spanned!(at=> #key { #(#fields,)* });
        let alias = quote_spanned!(at=> type #key = <<#name as #here::Subscriber>::Message as #here::Message>::Key;);
        quote! {
            #alias
            #rt::Keys::One(#literal)
        }
    };
    quote! {
        fn keys(&self) -> #keys_of_message {
            #keys
        }
    }
}

fn authorize(hook: &ExprPath, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this) = (rt.at(at), self_ident(at));
    let reject_missing = reject_missing(hook, "authorize", rt);
    quote_spanned! {at=>
        async fn authorize(&mut #this) -> ::core::result::Result<(), #here::StatusError> {
            #reject_missing
            #hook(#this).await
        }
    }
}

fn filter(hook: &ExprPath, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (this, message) = (self_ident(at), hygienic_ident("message", at));
    let reject_missing = reject_missing(hook, "filter", rt);
    quote_spanned! {at=>
        #[deny(unconditional_recursion)]
        fn filter(&#this, #message: &Self::Message) -> ::core::primitive::bool {
            #reject_missing
            #hook(#this, #message)
        }
    }
}

fn receive(hook: &ExprPath, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this) = (rt.at(at), self_ident(at));
    let (text, store, message) =
        (hygienic_ident("text", at), hygienic_ident("store", at), hygienic_ident("message", at));
    let reject_missing = reject_missing(hook, "receive", rt);
    // The type of the message is inferred from the hook.
    quote_spanned! {at=>
        async fn receive(
            &mut #this,
            #text: &::core::primitive::str,
            #store: &#here::Store<Self::Message>,
        ) -> ::core::result::Result<(), #here::ReceiveError> {
            #reject_missing
            let #message = #here::parse_text(#text)?;
            #here::IntoReceiveResult::into_receive_result(#hook(#this, #message, #store).await)
        }
    }
}

/// Makes rustc report a hook like `Self::filter` when the struct has no such function.
///
/// Where `Subscriber` is in scope, the path would be the trait's own method, which calls itself. A second trait with the
/// method makes the path ambiguous. A function of the struct takes precedence over both.
fn reject_missing(hook: &ExprPath, method: &str, rt: &Runtime) -> Option<TokenStream> {
    let is_associated = hook.qself.is_none() && hook.path.segments.len() == 2;
    let has_name_of_method = hook.path.segments.last().is_some_and(|last| last.ident == method);
    (is_associated && has_name_of_method).then(|| {
        quote! {
            #[allow(unused_imports)]
            use #rt::TheStructHasNoSuchFunction as _;
        }
    })
}
