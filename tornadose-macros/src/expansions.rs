//! Compares expansions with reviewed files: `tests/expand/<name>.rs` and the `.snap` beside it. Most of the `.rs` files
//! are links to the programs in `examples/`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{File, Item, Meta, Path};

use crate::attribute::{Attribute, attach, derive};
use crate::store::StoreAttribute;
use crate::subscriber::SubscriberAttribute;

#[test]
fn the_expansions_are_as_reviewed() {
    for name in [
        "ticker",
        "fibonacci",
        "redis_feed",
        "chat",
        "notifications",
        "market",
        "every_option",
        "slots",
        "latest_ttl",
        "ephemeral",
        "watch",
        "snapshots",
        "a_mistake",
    ] {
        check(name);
    }
}

fn check(name: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand");
    let source = std::fs::read_to_string(folder.join(name).with_extension("rs")).expect("the input is there");
    let file: File = syn::parse_str(&source).expect("the input is Rust");
    let expansion: File =
        syn::parse2(file.items.into_iter().filter_map(expand).collect()).expect("the expansion is Rust");

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, prettyplease::unparse(&expansion)));
}

/// Expands an item as rustc does: the attribute first, then the derive that it adds. Returns `None` for an item without
/// an attribute of ours.
fn expand(mut item: Item) -> Option<TokenStream> {
    let attributes = match &mut item {
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        _ => return None,
    };
    let is_ours = |path: &Path| path.is_ident(StoreAttribute::NAME) || path.is_ident(SubscriberAttribute::NAME);
    let attribute = attributes.remove(attributes.iter().position(|attribute| is_ours(attribute.path()))?);
    let arguments = match attribute.meta {
        Meta::List(ref list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    let item = item.to_token_stream();
    if attribute.path().is_ident(StoreAttribute::NAME) {
        Some(expand_with::<StoreAttribute>(&arguments, &item))
    } else {
        Some(expand_with::<SubscriberAttribute>(&arguments, &item))
    }
}

fn expand_with<A: Attribute>(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let attached = attach::<A>(arguments, item);
    let derived = derive::<A>(attached.clone());
    quote!(#attached #derived)
}
