//! `#[store]`: implements `Message` for a type, and defines the types of its key and its slots.

mod retention;
mod finish;
mod args;
mod serde_attrs;
mod event_name;
mod slot_fields;
mod snapshot;
mod model;
mod key_struct;
mod key_json;
mod slot_type;
mod snapshot_rules;
mod message_schema;
mod expand;
mod stub;

use proc_macro2::{Span, TokenStream};
use syn::DeriveInput;

use self::args::Args;
use self::model::Model;
use crate::attribute::Attribute;
use crate::diagnostics::Mistakes;
use crate::helper_words;

/// The attribute `#[store]`.
pub(crate) struct StoreAttribute;

impl Attribute for StoreAttribute {
    const NAME: &'static str = "store";
    const DERIVE: &'static str = "__Store";
    const TARGET: &'static str = "the struct or enum that is the message";
    const WORDS: &'static [&'static str] = helper_words::STORE;
    const NEEDS_WORDS: bool = false;

    type Args = Args;
    type Model = Model;

    fn args(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Args {
        Args::read(arguments, at, mistakes)
    }
    fn model(args: &Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Model> {
        Model::check(args, item, mistakes)
    }
    fn expand(model: &Model) -> TokenStream {
        expand::expand(model)
    }
    fn stub(args: &Args, item: &DeriveInput) -> TokenStream {
        stub::stub(args, item)
    }
}
