//! Expands to `impl Subscriber` and the function `handler`. It cannot fail, because the model is checked.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{ExprPath, Ident, Member, Type};

use super::field_type::is_list;
use super::fields::{BoundField, KeyField, KeyValues, Source};
use super::model::Model;
use super::options::{KeepAlive, Lag, Options, Origins, Replay, Transports};
use super::subscriber_schema::subscriber_schema;
use crate::literals::{duration, usize_literal};
use crate::runtime::Runtime;
use crate::spans::{
    first_span, generated_local_span, generated_span, hygienic_ident, path_span, respanned, respanned_tokens,
    self_ident, type_span, unlinked,
};
use crate::threads;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { name, visibility, message, runtime: rt, .. } = model;
    let options = options(model.transports, &model.options, rt);
    let at = type_span(message);
    let here = rt.at(at);
    // The library's aliases report a type that is not a message once: rustc omits repetitions at the same span.
    let message_type = unlinked(quote_spanned!(at=> type Message = #here::MessageOf<#message>;), message);
    // Documentation shows this name, so it has no underscores. `store` is likelier to be the name of one of the user's
    // handlers, which are unit structs, so that the pattern would not be a binding.
    let parameter = Ident::new("message_store", at);
    let visibility = respanned_tokens(visibility, at);
    let handler = quote_spanned! {at=>
        #visibility fn handler(#parameter: &#here::StoreOf<#message>) -> #here::StreamHandler<Self> {
            #here::StreamHandler::new(#parameter)
        }
    };
    let handler = unlinked(handler, quote!(#message #visibility));
    let keys_from = keys_from(model);
    let from_request = from_request(model);
    let keys = keys(model);
    let authorize = model.authorize.as_ref().map(|hook| authorize(hook, rt));
    let filter = model.filter.as_ref().map(|hook| filter(hook, message, rt));
    let receive = model.receive.as_ref().map(|hook| receive(hook, message, rt));
    let load = model.load.as_ref().map(|hook| match model.watch {
        Some(_) => load_keys(hook, message, rt),
        None => load(hook, message, rt),
    });
    let opened = model.opened.as_ref().map(|hook| opened(hook, message, rt));
    let watch = model.watch.as_ref().map(|allowed| watch(allowed.hook(), message, rt));
    let check_watch = model.watch.as_ref().map(|_| check_watch(message, rt));
    let closed = model.closed.as_ref().map(|hook| closed(hook, message, rt));
    let reads_store = model.fields.iter().any(|field| matches!(field.source, Source::StoreHandle));
    let reads_store = reads_store.then(|| {
        quote!(
            const READS_STORE: ::core::primitive::bool = true;
        )
    });
    let bound = threads::bound(name, &model.unchecked, rt);
    let schema = subscriber_schema(model, model.receive.as_ref().map(|hook| checked_receive(hook, message, rt)));

    quote! {
        #[automatically_derived]
        #[allow(deprecated, private_interfaces, unused_qualifications)]
        impl #rt::Subscriber for #name #bound {
            #message_type
            const OPTIONS: #rt::Options = #options;
            #keys_from
            #reads_store

            #from_request
            #keys
            #authorize
            #filter
            #receive
            #load
            #opened
            #closed
            #watch
        }
        #check_watch
        #schema

        #[allow(deprecated)]
        impl #name {
            /// Returns the Salvo handler that sends the messages of a store to its clients.
            #[allow(dead_code, private_interfaces, unused_qualifications)]
            #[must_use = "a handler does nothing until it is added to a router"]
            #handler
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
    let replay = options.replay.as_ref().map(|replay| {
        let count = match replay {
            Replay::All => quote!(::core::primitive::usize::MAX),
            Replay::Last(count) => count.to_usize(),
        };
        quote!(.replay(#count))
    });
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
    let max_connections = options.max_connections.as_ref().map(|count| {
        let count = count.to_usize();
        quote!(.max_connections(#count))
    });
    let max_keys = options.max_keys.as_ref().map(|count| {
        let count = count.to_usize();
        quote!(.max_keys(#count))
    });
    let max_loads = options.max_loads.as_ref().map(|count| {
        let count = count.to_usize();
        quote!(.max_loads(#count))
    });
    let max_age = options.max_age.map(duration).map(|length| quote!(.max_age(#length)));
    let protocols = options.protocols.as_ref().map(|list| quote!(.protocols(&[#(#list),*])));
    let throttle = options.throttle.map(duration).map(|length| quote!(.throttle(#length)));
    let snapshots = options.withholds_snapshots.then(|| quote!(.snapshots(#rt::Snapshots::Withheld)));
    let max_message = options.max_message.map(usize_literal).map(|bytes| quote!(.max_message(#bytes)));
    quote! {
        #rt::Options::new()
            .transports(#rt::Transports::#transports)
            #replay #lag #keep_alive #retry #origins #max_connections #max_keys #max_loads #max_age #protocols #max_message
            #throttle #snapshots
    }
}

fn from_request(model: &Model) -> TokenStream {
    let Model { runtime: rt, fields, message, .. } = model;
    let values = fields.iter().map(|BoundField { name, ty, source, key }| {
        // A type that cannot be deserialized or cloned is reported where the field names it.
        let at = type_span(ty);
        let here = rt.at(at);
        let (request, depot) = (hygienic_ident("request", at), hygienic_ident("depot", at));
        // Rustc suggests to borrow a type that is not `Clone`, but not in a generated call.
        let generated = generated_local_span(at);
        let library = rt.at(generated);
        // Of a type that is not thread-safe, nothing else is reported.
        let text = if threads::is_unknown(ty) {
            let check = threads::check(ty, rt);
            quote_spanned!(at=> <#here::AfterCheck<#ty, { #check }> as #here::FromText>)
        } else {
            quote_spanned!(at=> #here::FromText)
        };
        // The client of a WebSocket may begin without a key.
        let may_be_empty = model.watch.is_some() && key.as_ref().is_some_and(|key| key.values == KeyValues::List);
        let value = match source {
            Source::Param(key) => quote_spanned!(at=> #text::from_param(#request, #key)?),
            Source::Query(key) if may_be_empty => quote_spanned!(at=> #text::from_query_or_empty(#request, #key)?),
            Source::SplitQuery { name, separator } if may_be_empty => {
                quote_spanned!(at=> #text::from_split_query_or_empty(#request, #name, #separator)?)
            }
            Source::Query(key) => quote_spanned!(at=> #text::from_query(#request, #key)?),
            Source::SplitQuery { name, separator } => {
                quote_spanned!(at=> #text::from_split_query(#request, #name, #separator)?)
            }
            Source::Header(key) => quote_spanned!(at=> #text::from_header(#request, #key)?),
            Source::Cookie(key) => quote_spanned!(at=> #text::from_cookie(#request, #key)?),
            Source::Depot => quote_spanned!(generated=> #library::FromDepot::from_depot(#depot)?),
            Source::DepotNamed(key) => {
                quote_spanned!(generated=> #library::FromDepot::from_depot_named(#depot, #key)?)
            }
            Source::DepotField { ty: of, member } => {
                let value = depot_field(of, member, &depot, rt);
                quote_spanned!(generated=> #library::SameType::<#ty>::same(#value))
            }
            Source::Ticket => quote_spanned!(generated=> #library::TicketField::from_ticket(#request)?),
            Source::State => quote_spanned!(generated=> #library::StateField::initial()),
            Source::Connection => quote_spanned!(generated=> #library::ConnectionField::fresh()),
            Source::StoreHandle => {
                let of_message = unlinked(quote_spanned!(generated=> #library::MessageOf<#message>), message);
                quote_spanned!(generated=> #library::StoreField::<#of_message>::from_handler(#request)?)
            }
        };
        quote!(#name: #value)
    });
    let this = if model.unit { quote!(Self) } else { quote!(Self { #(#values,)* }) };
    let parameter = |name, reads: fn(&Source) -> bool| {
        let is_used = fields.iter().any(|field| reads(&field.source));
        if is_used { hygienic_ident(name, Span::mixed_site()).into_token_stream() } else { quote!(_) }
    };
    let (request, depot) = (parameter("request", Source::is_request), parameter("depot", Source::is_depot));
    quote! {
        fn from_request(
            #request: &#rt::Request,
            #depot: &#rt::Depot,
        ) -> ::core::result::Result<Self, #rt::StatusError> {
            ::core::result::Result::Ok(#this)
        }
    }
}

/// Returns the field of the value of this type that a middleware has put into the depot.
fn depot_field(ty: &Type, member: &Member, depot: &Ident, rt: &Runtime) -> TokenStream {
    let at = generated_local_span(type_span(ty));
    let library = rt.at(at);
    let value = quote_spanned!(at=> #library::depot_value::<#ty>(#depot)?);
    let at = generated_local_span(member.span());
    let library = rt.at(at);
    quote_spanned!(at=> #library::DepotField::clone_out(&#value.#member))
}

/// Returns the method `keys`, with a literal of the message's key struct.
fn keys(model: &Model) -> TokenStream {
    let Model { message, runtime: rt, .. } = model;
    let at = type_span(message);
    let here = unlinked(rt.at(at), message);
    let key_of_message = unlinked(quote_spanned!(at=> #here::MessageKey<#message>), message);
    let mut fields = key_fields(model).peekable();
    let keys = if model.all_keys {
        quote!(#rt::Keys::All)
    } else if fields.peek().is_none() && model.watch.is_some() {
        quote!(#rt::Keys::Set(#rt::Vec::new()))
    } else if fields.peek().is_none() {
        unlinked(quote_spanned!(at=> #here::Keys::One(<#key_of_message as #here::NoKeyNeeded>::no_key())), message)
    } else {
        let fields = fields.map(|(field, KeyField { name, .. })| {
            let value = key_value(field, rt);
            quote!(#name: #value)
        });
        let check = check_key_names(model, &key_of_message);
        let one = unlinked(quote_spanned!(at=> #here::Keys::One), message);
        let key = unlinked(quote_spanned!(at=> #here::AfterCheck), message);
        let key = quote_spanned!(at=> #key::<#key_of_message, #check> { #(#fields,)* });
        let list = key_fields(model).find(|(_, key)| key.values == KeyValues::List);
        list.map_or_else(|| quote_spanned!(at=> #one(#key)), |(list, _)| set_of_keys(list, &key, rt))
    };
    let this = self_ident(at);
    let signature = unlinked(quote_spanned!(at=> fn keys(&#this) -> #here::Keys<#key_of_message>), message);
    quote_spanned!(at=> #signature { #keys })
}

/// Returns a constant that compiles when the subscriber has the keys of the message. One that is misspelt is reported at
/// its field, one that is missing at the message.
fn check_key_names(model: &Model, key_of_message: &TokenStream) -> TokenStream {
    let Model { message, runtime: rt, .. } = model;
    let at = type_span(message);
    let here = rt.at(at);
    let keys = || key_fields(model).map(|(_, key)| key);
    // All tokens of a call have one span, so that rustc underlines the place alone.
    let known = keys().map(|KeyField { name, .. }| {
        let at = name.span();
        let (text, here, names) = (name.unraw().to_string(), rt.at(at), hygienic_ident("names", at));
        quote_spanned!(at=> #here::KeyNames::expect_known(#names, #text);)
    });
    let texts = keys().map(|KeyField { name, .. }| name.unraw().to_string());
    let names = hygienic_ident("names", at);
    let read = quote_spanned! {at=>
        #[allow(unused_imports)]
        use #here::UnknownNames as _;
        let #names = #here::NamesOf::<#key_of_message>::NAMES;
    };
    let read = unlinked(read, quote!(#message NAMES));
    let only = unlinked(quote_spanned!(at=> #here::KeyNames::expect_only(#names, &[#(#texts),*])), message);
    quote_spanned!(at=> { #read #(#known)* #only })
}

/// Returns the fields with `#[key]` or `#[keys]`.
fn key_fields(model: &Model) -> impl Iterator<Item = (&BoundField, &KeyField)> {
    model.fields.iter().filter_map(|field| Some((field, field.key.as_ref()?)))
}

/// Returns the value that a field gives a key. A type that is not that of the message's key is reported where the field
/// names it.
fn key_value(BoundField { name, ty, key, .. }: &BoundField, rt: &Runtime) -> TokenStream {
    let at = generated_span(type_span(ty));
    let here = rt.at(at);
    if key.as_ref().is_some_and(|key| key.values == KeyValues::List) {
        let value = hygienic_ident("value", at);
        return quote_spanned!(at=> #here::ListedKey::clone_key(#value));
    }
    let (this, field) = (self_ident(at), respanned(name, at));
    let check = Ident::new(if is_list(ty) { "MatchingListKey" } else { "MatchingKey" }, at);
    quote_spanned!(at=> #here::#check::clone_key(&#this.#field))
}

/// Returns the keys that a list has the values of. `key` is the key of one value.
fn set_of_keys(BoundField { name, ty, .. }: &BoundField, key: &TokenStream, rt: &Runtime) -> TokenStream {
    let at = generated_span(type_span(ty));
    let (here, this, field, value) = (rt.at(at), self_ident(at), respanned(name, at), hygienic_ident("value", at));
    quote_spanned!(at=> #here::Keys::Set(#here::KeyList::map_values(&#this.#field, |#value| #key)))
}

/// Returns the constant that names what a list of keys is read from.
fn keys_from(model: &Model) -> Option<TokenStream> {
    let (list, _) = key_fields(model).find(|(_, key)| key.values == KeyValues::List)?;
    let place = match &list.source {
        Source::Query(name) | Source::SplitQuery { name, .. } => format!("query parameter `{name}`"),
        Source::Param(name) => format!("path parameter `{name}`"),
        Source::Header(name) => format!("header `{name}`"),
        Source::Cookie(name) => format!("cookie `{name}`"),
        Source::DepotNamed(name) => format!("depot entry `{name}`"),
        Source::Depot
        | Source::DepotField { .. }
        | Source::Ticket
        | Source::State
        | Source::Connection
        | Source::StoreHandle => format!("field `{}`", list.name.unraw()),
    };
    Some(quote! {
        const KEYS_FROM: ::core::option::Option<&'static ::core::primitive::str> = ::core::option::Option::Some(#place);
    })
}

fn authorize(hook: &ExprPath, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let reject_missing = reject_missing(hook, "authorize", rt);
    let check = check(hook, "authorize", "AuthorizeHook", &quote_spanned!(at=> <Self, _>), rt);
    quote_spanned! {at=>
        async fn authorize(&mut #this) -> ::core::result::Result<(), #here::StatusError> {
            #reject_missing
            let #function = #check;
            #function(#this).await
        }
    }
}

fn filter(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (this, parameter, function) = (self_ident(at), hygienic_ident("message", at), hygienic_ident("hook", at));
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let signature = quote_spanned! {of_message=>
        fn filter(&#this, #parameter: &#message_type) -> ::core::primitive::bool
    };
    let signature = unlinked(signature, quote!(#message #this #parameter bool));
    let reject_missing = reject_missing(hook, "filter", rt);
    let check = check(hook, "filter", "FilterHook", &quote_spanned!(at=> <Self, #message_type, _>), rt);
    quote_spanned! {at=>
        #signature {
            #reject_missing
            let #function = #check;
            #function(#this, #parameter)
        }
    }
}

fn receive(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let (text, store) = (hygienic_ident("text", at), hygienic_ident("store", at));
    let (argument, received) = (hygienic_ident("argument", at), hygienic_ident("received", at));
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let store_type = unlinked(quote_spanned!(of_message=> #library::StoreOf<#message>), message);
    let parameter_type = quote_spanned!(of_message=> &#store_type);
    let checked = checked_receive(hook, message, rt);
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let result = quote_spanned! {generated=>
        #library::Returned(#function(#this, #received, #store).await).into_received()
    };
    let from_json = quote_spanned!(generated=> #library::FromJson::from_json(#argument.of(#text))?);
    quote_spanned! {at=>
        async fn receive(
            &mut #this,
            #text: &::core::primitive::str,
            #store: #parameter_type,
        ) -> ::core::result::Result<::core::option::Option<#here::Reply>, #here::ReceiveError> {
            #[allow(unused_imports)]
            use #here::{ReturnedValue as _, TextOf as _};
            #checked
            let #received = #from_json;
            #result
        }
    }
}

/// Returns the statements that check the hook and bind it with its argument.
fn checked_receive(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (function, argument) = (hygienic_ident("hook", at), hygienic_ident("argument", at));
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let store_type = unlinked(quote_spanned!(of_message=> #library::StoreOf<#message>), message);
    let reject_missing = reject_missing(hook, "receive", rt);
    let arguments = quote_spanned!(at=> <Self, #message_type, #store_type, _, _>);
    let check = check(hook, "receive", "ReceiveHook", &arguments, rt);
    quote_spanned! {at=>
        #reject_missing
        let (#function, #argument) = #check;
    }
}

fn load(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let OfStore { store, parameter_type, check_arguments } = of_store(at, message, rt);
    let reject_missing = reject_missing(hook, "load", rt);
    let check = check(hook, "load", "LoadHook", &check_arguments, rt);
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let result = quote_spanned! {generated=>
        #library::LoadResult::<#message_type>::into_messages(#function(#this, #store).await)
    };
    quote_spanned! {at=>
        const LOADS: ::core::primitive::bool = true;

        async fn load(
            &#this,
            #store: #parameter_type,
        ) -> ::core::result::Result<#here::Vec<#message_type>, #here::StatusError> {
            #reject_missing
            let #function = #check;
            #result
        }
    }
}

/// Returns the hook of a subscriber whose client can watch keys, which is given those to load.
fn load_keys(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let keys = hygienic_ident("keys", at);
    let OfStore { store, parameter_type, .. } = of_store(at, message, rt);
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let store_type = unlinked(quote_spanned!(of_message=> #library::StoreOf<#message>), message);
    let key_type = unlinked(quote_spanned!(of_message=> #library::MessageKey<#message>), message);
    // `Self::load` would be the method of the trait too, which is another one here.
    let method = if is_named_as_method(hook, "load") { "load" } else { "load_keys" };
    let reject_missing = reject_missing(hook, method, rt);
    let arguments = quote_spanned!(at=> <Self, #message_type, #store_type, #key_type, _>);
    let check = check(hook, method, "LoadKeysHook", &arguments, rt);
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let result = quote_spanned! {generated=>
        #library::LoadResult::<#message_type>::into_messages(#function(#this, #keys, #store).await)
    };
    quote_spanned! {at=>
        const LOADS: ::core::primitive::bool = true;

        async fn load_keys(
            &#this,
            #keys: &[#key_type],
            #store: #parameter_type,
        ) -> ::core::result::Result<#here::Vec<#message_type>, #here::StatusError> {
            #reject_missing
            let #function = #check;
            #result
        }
    }
}

fn opened(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let OfStore { store, parameter_type, check_arguments } = of_store(at, message, rt);
    let reject_missing = reject_missing(hook, "opened", rt);
    let check = check(hook, "opened", "OpenedHook", &check_arguments, rt);
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let result = quote_spanned!(generated=> #library::OpenedResult::into_result(#function(#this, #store).await));
    quote_spanned! {at=>
        const HAS_OPENED: ::core::primitive::bool = true;

        async fn opened(
            &mut #this,
            #store: #parameter_type,
        ) -> ::core::result::Result<(), #here::Close> {
            #reject_missing
            let #function = #check;
            #result
        }
    }
}

fn closed(hook: &ExprPath, message: &Type, rt: &Runtime) -> TokenStream {
    let at = path_span(&hook.path);
    let (this, function) = (self_ident(at), hygienic_ident("hook", at));
    let OfStore { store, parameter_type, check_arguments } = of_store(at, message, rt);
    let reject_missing = reject_missing(hook, "closed", rt);
    let check = check(hook, "closed", "ClosedHook", &check_arguments, rt);
    quote_spanned! {at=>
        const HAS_CLOSED: ::core::primitive::bool = true;

        async fn closed(#this, #store: #parameter_type) {
            #reject_missing
            let #function = #check;
            #function(#this, #store).await
        }
    }
}

/// Returns what reads the key that a client sends. The trait in scope is for a key that was written by hand.
fn key_parser(message: &Type, rt: &Runtime) -> TokenStream {
    let at = type_span(message);
    let here = rt.at(at);
    let key_type = unlinked(quote_spanned!(at=> #here::MessageKey<#message>), message);
    let parser = unlinked(quote_spanned!(at=> #here::ParserOf::<#key_type>::PARSER.into_parse_key()), message);
    quote! {{
        #[allow(unused_imports)]
        use #rt::OtherParser as _;
        #parser
    }}
}

/// Returns a constant that is evaluated by every check of the program, unlike those of an implementation.
fn check_watch(message: &Type, rt: &Runtime) -> TokenStream {
    let parser = key_parser(message, rt);
    quote! {
        const _: () = {
            let _ = #parser;
        };
    }
}

/// Returns the constant by which clients name keys, and the method of the hook.
fn watch(hook: Option<&ExprPath>, message: &Type, rt: &Runtime) -> TokenStream {
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let key_type = unlinked(quote_spanned!(of_message=> #library::MessageKey<#message>), message);
    let parser = key_parser(message, rt);
    let constant = quote! {
        const WATCH: ::core::option::Option<#rt::ParseKey<#key_type>> = ::core::option::Option::Some(#parser);
    };
    let Some(hook) = hook else { return constant };
    let at = path_span(&hook.path);
    let (here, this, function) = (rt.at(at), self_ident(at), hygienic_ident("hook", at));
    let key = hygienic_ident("key", at);
    let OfStore { store, parameter_type, .. } = of_store(at, message, rt);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let store_type = unlinked(quote_spanned!(of_message=> #library::StoreOf<#message>), message);
    let reject_missing = reject_missing(hook, "watch", rt);
    let arguments = quote_spanned!(at=> <Self, #message_type, #store_type, #key_type, _>);
    let check = check(hook, "watch", "WatchHook", &arguments, rt);
    let generated = generated_local_span(at);
    let library = rt.at(generated);
    let result = quote_spanned!(generated=> #library::WatchResult::into_result(#function(#this, #key, #store).await));
    quote_spanned! {at=>
        #constant

        async fn watch(
            &mut #this,
            #key: &#key_type,
            #store: #parameter_type,
        ) -> ::core::result::Result<(), #here::String> {
            #reject_missing
            let #function = #check;
            #result
        }
    }
}

/// The parameter of a hook that takes the store.
struct OfStore {
    store: Ident,
    parameter_type: TokenStream,
    /// The generic arguments of the hook's check.
    check_arguments: TokenStream,
}

fn of_store(at: Span, message: &Type, rt: &Runtime) -> OfStore {
    let of_message = type_span(message);
    let library = rt.at(of_message);
    let message_type = unlinked(quote_spanned!(of_message=> #library::MessageOf<#message>), message);
    let store_type = unlinked(quote_spanned!(of_message=> #library::StoreOf<#message>), message);
    OfStore {
        store: hygienic_ident("store", at),
        parameter_type: quote_spanned!(of_message=> &#store_type),
        check_arguments: quote_spanned!(at=> <Self, #message_type, #store_type, _>),
    }
}

/// The hook, after a check of its signature by one of the library's traits. Of a wrong hook the check is all that rustc
/// reports.
fn check(hook: &ExprPath, method: &str, check: &str, arguments: &TokenStream, rt: &Runtime) -> TokenStream {
    // The path of the check has the span of the hook's path, so that rustc does not underline it apart from the hook.
    let (first, last) = (first_span(&hook.path), path_span(&hook.path));
    let (here, check, checked) = (rt.at(first), Ident::new(check, last), Ident::new("checked", last));
    let mut hook = hook.clone();
    if is_named_as_method(&hook, method)
        && let Some(name) = hook.path.segments.last_mut()
    {
        // Rustc would suggest other paths in place of the user's.
        name.ident.set_span(generated_span(last));
    }
    quote_spanned!(last=> #here::#check::#arguments::#checked(#hook))
}

/// Makes rustc report a hook like `Self::filter` when the struct has no such function.
///
/// Where `Subscriber` is in scope, the path would be the trait's own method, which calls itself. A second trait with the
/// method makes the path ambiguous. A function of the struct takes precedence over both.
fn reject_missing(hook: &ExprPath, method: &str, rt: &Runtime) -> Option<TokenStream> {
    is_named_as_method(hook, method).then(|| {
        quote! {
            #[allow(unused_imports)]
            use #rt::TheStructHasNoSuchFunction as _;
        }
    })
}

/// Whether the hook is a path like `Self::filter` with the name of the method that calls it.
fn is_named_as_method(hook: &ExprPath, method: &str) -> bool {
    let segments = &hook.path.segments;
    hook.qself.is_none() && segments.len() == 2 && segments.last().is_some_and(|last| last.ident == method)
}
