//! A subscriber after all checks: its fields, its keys, its hooks and its options.

use proc_macro2::Ident;
use syn::{Data, DeriveInput, ExprPath, Fields, GenericParam, Generics, Type, Visibility};

use super::args::{Args, Authorize, Watch};
use super::fields::{self, BoundField, KeyValues};
use super::options::{Options, Transports};
use crate::diagnostics::Mistakes;
use crate::helper_attrs;
use crate::runtime::Runtime;
use crate::schema;
use crate::threads;

/// A subscriber after all checks.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) message: Type,
    /// Whether it is a unit struct.
    pub(crate) unit: bool,
    pub(crate) fields: Vec<BoundField>,
    /// The types of the fields that may not be thread-safe.
    pub(crate) unchecked: Vec<Type>,
    pub(crate) all_keys: bool,
    pub(crate) authorize: Option<ExprPath>,
    pub(crate) filter: Option<ExprPath>,
    pub(crate) receive: Option<ExprPath>,
    pub(crate) load: Option<ExprPath>,
    pub(crate) opened: Option<ExprPath>,
    pub(crate) closed: Option<ExprPath>,
    /// Whether clients watch keys, and the hook that decides about each.
    pub(crate) watch: Option<AllowedKeys>,
    pub(crate) transports: Transports,
    pub(crate) options: Options,
    /// The description of its stream, where it has one: the text of the item's documentation.
    pub(crate) schema: Option<String>,
    pub(crate) runtime: Runtime,
}

/// The keys that clients may watch.
pub(crate) enum AllowedKeys {
    All,
    /// Those that this hook allows.
    Decided(ExprPath),
}

impl AllowedKeys {
    pub(crate) fn hook(&self) -> Option<&ExprPath> {
        match self {
            Self::All => None,
            Self::Decided(hook) => Some(hook),
        }
    }
}

impl Model {
    pub(crate) fn check(args: &Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        reject_generics(&item.generics, mistakes);
        if let Some(attribute) = helper_attrs::find(&item.attrs, "key", "item", mistakes) {
            mistakes.on(attribute, "`#[key]` goes on a field");
        }
        if let Some(attribute) = helper_attrs::find(&item.attrs, "keys", "item", mistakes) {
            mistakes.on(attribute, "`#[keys]` goes on a field");
        }
        let Data::Struct(body) = &item.data else {
            mistakes.at(item.ident.span(), "`#[subscriber]` goes on a struct: it describes one connection");
            return None;
        };
        if !helper_attrs::derives_serde(&item.attrs) {
            for field in &body.fields {
                helper_attrs::reject_serde(&field.attrs, mistakes);
            }
        }
        let fields = fields::bind(&body.fields, mistakes);
        if args.all_keys {
            reject_keys(&fields, mistakes);
        } else if args.authorize.is_none() {
            require_authorization(&fields, mistakes);
        }
        reject_second_list(&fields, mistakes);
        if let Some(option) = &args.max_keys
            && args.watch.is_none()
            && !body.fields.iter().any(|field| field.attrs.iter().any(|attribute| attribute.path().is_ident("keys")))
        {
            let message =
                "`max_keys` bounds the list of a field with `#[keys(…)]` and the keys of `watch`, and there is neither";
            mistakes.at(option.span(), message);
        }
        if let (Some(option), None) = (&args.snapshots, &args.filter) {
            let message = "`snapshots = unfiltered` is of a connection with a `filter`, and there is none: remove it";
            mistakes.at(option.span(), message);
        }
        Some(Self {
            name: item.ident.clone(),
            visibility: item.vis.clone(),
            message: args.store.clone()?,
            unit: matches!(body.fields, Fields::Unit),
            fields,
            unchecked: threads::unchecked(item),
            all_keys: args.all_keys,
            authorize: match &args.authorize {
                Some(Authorize::Hook(path)) => Some(path.clone()),
                Some(Authorize::Public | Authorize::Unreadable) | None => None,
            },
            filter: args.filter.clone(),
            receive: args.receive.clone(),
            load: args.load.clone(),
            opened: args.opened.clone(),
            closed: args.closed.clone(),
            watch: match &args.watch {
                Some(Watch::Hook(path)) => Some(AllowedKeys::Decided(path.clone())),
                Some(Watch::Public | Watch::Unreadable) => Some(AllowedKeys::All),
                None => None,
            },
            transports: args.transports?,
            options: Options {
                withholds_snapshots: args.filter.is_some() && args.snapshots.is_none(),
                ..args.options.clone()
            },
            schema: args.schema.then(|| schema::description(&item.attrs)),
            runtime: Runtime::new(args.library.clone()),
        })
    }
}

/// Reports lifetimes and generic parameters.
fn reject_generics(generics: &Generics, mistakes: &mut Mistakes) {
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

/// Reports `#[key]` and `#[keys]` fields beside `all_keys`.
fn reject_keys(fields: &[BoundField], mistakes: &mut Mistakes) {
    for BoundField { name, key, .. } in fields {
        let message = match key.as_ref().map(|key| key.values) {
            Some(KeyValues::One) => format!(
                "`all_keys` receives every key, so `{name}` cannot choose one: remove `all_keys`, or make it \
                 `#[param] {name}`"
            ),
            Some(KeyValues::List) => {
                format!("`all_keys` receives every key, so `{name}` cannot choose some: remove `all_keys` or `#[keys]`")
            }
            None => continue,
        };
        mistakes.at(name.span(), message);
    }
}

/// Reports a second `#[keys]`, and a `#[key]` of the name that a `#[keys]` has.
fn reject_second_list(fields: &[BoundField], mistakes: &mut Mistakes) {
    let keys = || fields.iter().filter_map(|field| field.key.as_ref());
    let mut lists = keys().filter(|key| key.values == KeyValues::List);
    let Some(first) = lists.next() else { return };
    for second in lists {
        let message = "a connection has one list of keys; for every combination of two lists implement `Subscriber` \
                       by hand";
        mistakes.at(second.name.span(), message);
    }
    if keys().any(|key| key.values == KeyValues::One && key.name == first.name) {
        let name = &first.name;
        mistakes.at(name.span(), format!("`{name}` is a `#[key]` too: keep `#[key] {name}` or `#[keys({name})]`"));
    }
}

/// Reports a missing `authorize` when the client controls a key.
fn require_authorization(fields: &[BoundField], mistakes: &mut Mistakes) {
    let controlled: Vec<&BoundField> =
        fields.iter().filter(|field| field.key.is_some() && field.source.is_client_controlled()).collect();
    let Some(first) = controlled.first() else { return };
    let keys = controlled.iter().filter_map(|field| field.key.as_ref());
    let names: Vec<String> = keys.map(|key| format!("any `{}`", key.name)).collect();
    let message = format!(
        "any client could subscribe to {}: add `authorize = Self::…`, or `authorize = public` to allow it",
        names.join(" and ")
    );
    mistakes.at(first.name.span(), message);
}
