//! What is true of a connection: its fields, what it receives, who may open it. How that is written in Rust is for `expand`.

use proc_macro2::Ident;
use syn::{Data, DeriveInput, ExprPath, Fields, GenericParam, Generics, Type, Visibility};

use super::args::{Args, Authorize};
use super::fields::{self, Read};
use super::options::{KeepAlive, Lag, Origins};
use crate::diagnostics::{Mistakes, listed};
use crate::helper_attrs;
use crate::runtime::Runtime;

/// A checked connection.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) message: Type,
    pub(crate) unit: bool,
    pub(crate) fields: Vec<Read>,
    pub(crate) all_keys: bool,
    pub(crate) authorize: Option<ExprPath>,
    pub(crate) filter: Option<ExprPath>,
    pub(crate) receive: Option<ExprPath>,
    pub(crate) options: Options,
    pub(crate) runtime: Runtime,
}

/// What differs from the defaults.
pub(crate) struct Options {
    pub(crate) transports: Transports,
    pub(crate) replay: Option<u64>,
    pub(crate) lag: Option<Lag>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) retry: Option<u64>,
    pub(crate) origins: Option<Origins>,
    pub(crate) max_connections: Option<u64>,
    pub(crate) max_age: Option<u64>,
    pub(crate) protocols: Option<Vec<String>>,
    pub(crate) max_message: Option<u64>,
}

pub(crate) enum Transports {
    Sse,
    Ws,
    Both,
}

impl Model {
    pub(crate) fn check(args: &Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        concrete(&item.generics, mistakes);
        if let Some(attribute) = helper_attrs::find(&item.attrs, "key", "item", mistakes) {
            mistakes.on(attribute, "`#[key]` goes on a field");
        }
        let Data::Struct(body) = &item.data else {
            mistakes.at(item.ident.span(), "`#[subscriber]` goes on a struct: it describes one connection");
            return None;
        };
        let fields = fields::read(&body.fields, mistakes);
        if args.all_keys {
            no_keys(&fields, mistakes);
        } else if args.authorize.is_none() {
            authorized(&fields, mistakes);
        }
        Some(Self {
            name: item.ident.clone(),
            visibility: item.vis.clone(),
            message: args.store.clone()?,
            unit: matches!(body.fields, Fields::Unit),
            fields,
            all_keys: args.all_keys,
            authorize: match &args.authorize {
                Some(Authorize::Hook(path)) => Some(path.clone()),
                Some(Authorize::Public | Authorize::Unreadable) | None => None,
            },
            filter: args.filter.clone(),
            receive: args.receive.clone(),
            options: Options::of(args)?,
            runtime: Runtime::new(args.library.clone()),
        })
    }
}

impl Options {
    fn of(args: &Args) -> Option<Self> {
        Some(Self {
            transports: match (args.sse, args.ws) {
                (true, false) => Transports::Sse,
                (false, true) => Transports::Ws,
                (true, true) => Transports::Both,
                (false, false) => return None,
            },
            replay: args.replay,
            lag: args.lag,
            keep_alive: args.keep_alive,
            retry: args.retry,
            origins: args.origins.clone(),
            max_connections: args.max_connections,
            max_age: args.max_age,
            protocols: args.protocols.clone(),
            max_message: args.max_message,
        })
    }
}

/// That the connection is one type that owns its data.
fn concrete(generics: &Generics, mistakes: &mut Mistakes) {
    let lifetime = generics.params.iter().find(|parameter| matches!(parameter, GenericParam::Lifetime(_)));
    if let Some(lifetime) = lifetime {
        let message = "a subscriber outlives its request, so it must own its data: remove the lifetime (use `String` \
                       instead of `&str`)";
        mistakes.on(lifetime, message);
    }
    if let Some(generic) = generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_))) {
        let message = "`#[subscriber]` needs one concrete type; for a generic one write `impl Subscriber` by hand";
        mistakes.on(generic, message);
    }
}

/// That nothing chooses a key where all are received.
fn no_keys(fields: &[Read], mistakes: &mut Mistakes) {
    for Read { name, .. } in fields.iter().filter(|field| field.key) {
        let message = format!(
            "`all_keys` receives every key, so `{name}` cannot choose one: remove `all_keys`, or make it `#[param] {name}`"
        );
        mistakes.at(name.span(), message);
    }
}

/// That somebody has thought about who may read what, where the client chooses it.
fn authorized(fields: &[Read], mistakes: &mut Mistakes) {
    let chosen: Vec<&Read> = fields.iter().filter(|field| field.key && field.source.is_clients()).collect();
    let Some(first) = chosen.first() else { return };
    let names: Vec<String> = chosen.iter().map(|field| field.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!(
        "anyone could read any {}: name a hook, `authorize = Self::…`, or say `authorize = public`",
        listed(&names, "and")
    );
    mistakes.at(first.name.span(), message);
}
