//! Writes `impl Subscriber` and the function `handler`. Total: what could be wrong was told before.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{ExprPath, Ident};

use super::fields::{Read, Source};
use super::model::{Model, Options, Transports};
use super::options::{KeepAlive, Lag, Origins};
use crate::runtime::Runtime;
use crate::spans::{local, path_span, this, type_span};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { name, visibility, message, runtime: rt, .. } = model;
    let options = options(&model.options, rt);
    let here = rt.at(type_span(message));
    let store = quote_spanned!(type_span(message)=> #here::Store<#message>);
    // Documentation shows this name, so it has no underscores.
    let given = Ident::new("its_store", type_span(message));
    let serve = quote_spanned!(type_span(message)=> #here::StreamHandler::new(#given));
    let from_request = from_request(model);
    let keys = keys(model);
    let authorize = model.authorize.as_ref().map(|hook| authorize(hook, rt));
    let filter = model.filter.as_ref().map(filter);
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
            /// The Salvo handler that sends the messages of a store to its clients.
            #[allow(dead_code, unused_qualifications)]
            #[must_use = "a handler serves nobody until a router has it"]
            #visibility fn handler(#given: &#store) -> #rt::StreamHandler<Self> {
                #serve
            }
        }
    }
}

/// The chain of the options that the user wrote, and of the transports.
fn options(options: &Options, rt: &Runtime) -> TokenStream {
    let transports = match options.transports {
        Transports::Sse => quote!(Sse),
        Transports::Ws => quote!(Ws),
        Transports::Both => quote!(Both),
    };
    let replay = options.replay.map(whole).map(|count| quote!(.replay(#count)));
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
    let max_connections = options.max_connections.map(whole).map(|count| quote!(.max_connections(#count)));
    let max_age = options.max_age.map(duration).map(|length| quote!(.max_age(#length)));
    let protocols = options.protocols.as_ref().map(|list| quote!(.protocols(&[#(#list),*])));
    let max_message = options.max_message.map(whole).map(|bytes| quote!(.max_message(#bytes)));
    quote! {
        #rt::Options::new()
            .transports(#rt::Transports::#transports)
            #replay #lag #keep_alive #retry #origins #max_connections #max_age #protocols #max_message
    }
}

fn from_request(model: &Model) -> TokenStream {
    let Model { runtime: rt, fields, .. } = model;
    let values = fields.iter().map(|Read { name, ty, source, .. }| {
        // What cannot be read, or not be cloned, is told at the field's type.
        let at = type_span(ty);
        let here = rt.at(at);
        let (request, depot) = (local("request", at), local("depot", at));
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
    let asked = |name, clients| {
        let asked = fields.iter().any(|field| field.source.is_clients() == clients);
        if asked { local(name, Span::mixed_site()).into_token_stream() } else { quote!(_) }
    };
    let (request, depot) = (asked("request", true), asked("depot", false));
    quote! {
        fn from_request(
            #request: &#rt::Request,
            #depot: &#rt::Depot,
        ) -> ::core::result::Result<Self, #rt::StatusError> {
            ::core::result::Result::Ok(#this)
        }
    }
}

/// The literal of the message's own key is what checks the connection's keys: one that is missing, misspelt or of another
/// type is told there, at the user's words.
fn keys(model: &Model) -> TokenStream {
    let Model { name, message, runtime: rt, .. } = model;
    // What is no message is told once, where it is named: rustc drops what it has said of the same word.
    let at = type_span(message);
    let here = rt.at(at);
    let keys_of_message = quote_spanned!(at=> #here::Keys<#here::KeyOf<Self>>);
    let keys = if model.all_keys {
        quote!(#rt::Keys::All)
    } else {
        let fields = model.fields.iter().filter(|field| field.key).map(|Read { name, .. }| {
            let at = name.span();
            let this = this(at);
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
    let (here, this) = (rt.at(at), this(at));
    quote_spanned! {at=>
        async fn authorize(&mut #this) -> ::core::result::Result<(), #here::StatusError> {
            #hook(#this).await
        }
    }
}

fn filter(hook: &ExprPath) -> TokenStream {
    let at = path_span(&hook.path);
    let (this, message) = (this(at), local("message", at));
    quote_spanned! {at=>
        #[deny(unconditional_recursion)]
        fn filter(&#this, #message: &Self::Message) -> ::core::primitive::bool {
            #hook(#this, #message)
        }
    }
}

fn receive(hook: &ExprPath, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this) = (rt.at(at), this(at));
    let (text, store, message) = (local("text", at), local("store", at), local("message", at));
    // The message's type is inferred from the hook.
    quote_spanned! {at=>
        async fn receive(
            &mut #this,
            #text: &::core::primitive::str,
            #store: &#here::Store<Self::Message>,
        ) -> ::core::result::Result<(), #here::ReceiveError> {
            let #message = #here::parse_text(#text)?;
            #here::IntoReceiveResult::into_receive_result(#hook(#this, #message, #store).await)
        }
    }
}

/// In the largest unit that says it without a fraction.
fn duration(milliseconds: u64) -> TokenStream {
    if milliseconds.is_multiple_of(1000) {
        let seconds = Literal::u64_suffixed(milliseconds / 1000);
        quote!(::core::time::Duration::from_secs(#seconds))
    } else {
        let milliseconds = Literal::u64_suffixed(milliseconds);
        quote!(::core::time::Duration::from_millis(#milliseconds))
    }
}

fn whole(number: u64) -> TokenStream {
    // A `usize` of its own suffix, whatever this compiler's own is.
    let literal: Option<Literal> = format_ident!("_{number}usize").to_string()[1..].parse().ok();
    quote!(#literal)
}
