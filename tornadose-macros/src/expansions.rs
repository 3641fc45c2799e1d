//! Keeps the expansions of the examples' types as reviewed files, `tests/expand/<name>.rs` and its `.snap` beside it.

use std::path::Path;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{File, Item, Meta};

use crate::attribute::{Way, attach, derive};
use crate::store::StoreWay;
use crate::subscriber::SubscriberWay;

#[test]
fn the_expansions_are_as_reviewed() {
    for name in ["ticker", "fibonacci", "redis_feed", "chat", "notifications", "market", "every_option", "a_mistake"] {
        check(name);
    }
}

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand");
    let source = std::fs::read_to_string(folder.join(name).with_extension("rs")).expect("the input is there");
    let file: File = syn::parse_str(&source).expect("the input is Rust");
    let expansion: File = syn::parse2(file.items.into_iter().map(expand).collect()).expect("the expansion is Rust");

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, prettyplease::unparse(&expansion)));
}

/// What rustc makes of one item: the attribute's expansion, then the derive's behind it.
fn expand(mut item: Item) -> TokenStream {
    let attributes = match &mut item {
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        other => panic!("neither a struct nor an enum: {}", other.to_token_stream()),
    };
    let attribute = attributes.remove(0);
    let arguments = match attribute.meta {
        Meta::List(ref list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    let item = item.to_token_stream();
    if attribute.path().is_ident(StoreWay::NAME) {
        expand_with::<StoreWay>(&arguments, &item)
    } else {
        expand_with::<SubscriberWay>(&arguments, &item)
    }
}

fn expand_with<W: Way>(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let marked = attach::<W>(arguments, item);
    let derived = derive::<W>(marked.clone());
    quote!(#marked #derived)
}
