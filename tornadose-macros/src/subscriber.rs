//! `#[subscriber]`: implements `Subscriber` for a struct that is one connection.

mod options;
mod args;
mod model;
mod fields;
mod field_type;
mod subscriber_schema;
mod expand;
mod stub;

use proc_macro2::{Span, TokenStream};
use syn::DeriveInput;

use self::args::Args;
use self::model::Model;
use crate::attribute::Attribute;
use crate::diagnostics::Mistakes;
use crate::helper_words;

/// The attribute `#[subscriber]`.
pub(crate) struct SubscriberAttribute;

impl Attribute for SubscriberAttribute {
    const NAME: &'static str = "subscriber";
    const DERIVE: &'static str = "__Subscriber";
    const TARGET: &'static str = "the struct that describes one connection";
    const WORDS: &'static [&'static str] = helper_words::SUBSCRIBER;
    const NEEDS_WORDS: bool = true;

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
