//! `#[store]`: the type of a message and what is kept of it.

mod retention;
mod args;
mod model;
mod expand;
mod stub;

use proc_macro2::{Span, TokenStream};
use syn::DeriveInput;

use self::args::Args;
use self::model::Model;
use crate::attribute::Way;
use crate::diagnostics::Mistakes;

/// The way of `#[store]`.
pub(crate) struct StoreWay;

impl Way for StoreWay {
    const NAME: &'static str = "store";
    const DERIVE: &'static str = "__Store";
    const PLACE: &'static str = "the struct or enum that is the message";

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
