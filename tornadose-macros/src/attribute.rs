//! The corridor of every attribute over a type. `attach` puts a private derive in front of the item and lets the item
//! pass token for token; `derive` walks `args` → `model` → `expand`. What the words mean is not known here.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{DeriveInput, Meta, Path};

use crate::diagnostics::Mistakes;
use crate::runtime::Runtime;

/// An attribute's way from tokens to tokens.
pub(crate) trait Way {
    /// The attribute's name, `store`.
    const NAME: &'static str;
    /// The name of the private derive, `__Store`.
    const DERIVE: &'static str;
    /// What it goes on, `the struct or enum that is the message`.
    const PLACE: &'static str;

    type Args;
    type Model;

    /// Reads what was written. `at` is where to point when nothing was.
    fn args(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self::Args;

    /// Checks it against the item; `None` only after a mistake.
    fn model(args: &Self::Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self::Model>;

    fn expand(model: &Self::Model) -> TokenStream;

    /// Stands in after a mistake, so that rustc has nothing to add.
    fn stub(args: &Self::Args, item: &DeriveInput) -> TokenStream;
}

/// Puts the derive in front of the item.
pub(crate) fn attach<W: Way>(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let helper = format_ident!("__{}", W::NAME);
    if let Err(mistake) = place::<W>(item, &helper) {
        let mistake = mistake.to_compile_error();
        return quote!(#mistake #item);
    }
    let derive = Ident::new(W::DERIVE, Span::call_site());
    let runtime = Runtime::new(library(arguments));
    quote! {
        #[derive(#runtime::#derive)]
        #[#helper(#arguments)]
        #item
    }
}

/// Walks the way for an item that [`attach`] has marked.
pub(crate) fn derive<W: Way>(item: TokenStream) -> TokenStream {
    let item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(mistake) => return mistake.to_compile_error(),
    };
    let helper = format_ident!("__{}", W::NAME);
    let Some((at, arguments)) = item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident(&helper) => Some((list.path.get_ident()?.span(), list.tokens.clone())),
        _ => None,
    }) else {
        return syn::Error::new(Span::call_site(), format!("write `#[{}(...)]`, this derive is its inside", W::NAME))
            .to_compile_error();
    };

    let mut mistakes = Mistakes::default();
    let args = W::args(arguments, at, &mut mistakes);
    let model = W::model(&args, &item, &mut mistakes);
    match (model, mistakes.report()) {
        (Some(model), None) => W::expand(&model),
        (_, mistakes) => {
            let stub = W::stub(&args, &item);
            quote!(#mistakes #stub)
        }
    }
}

/// Whether the attribute may stand on this item: rustc lets it stand anywhere.
fn place<W: Way>(item: &TokenStream, helper: &Ident) -> Result<(), syn::Error> {
    let mut tokens = item.clone().into_iter().peekable();
    // An item that came through `macro_rules!` as `$item:item` may be wrapped.
    if let Some(TokenTree::Group(group)) = tokens.peek()
        && group.delimiter() == Delimiter::None
    {
        return place::<W>(&group.stream(), helper);
    }
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.next()
                    && attribute.stream().into_iter().next().is_some_and(|first| is(&first, helper))
                {
                    let message = format!("`#[{}]` is written twice on this item; keep one", W::NAME);
                    return Err(syn::Error::new(Span::call_site(), message));
                }
            }
            TokenTree::Ident(word) => {
                let what = match word.to_string().as_str() {
                    "struct" | "enum" | "union" => return Ok(()),
                    "fn" => "a function",
                    "impl" => "an `impl` block",
                    "mod" => "a module",
                    "trait" => "a trait",
                    "type" => "a type alias",
                    "static" => "a static",
                    "use" => "a `use`",
                    "macro_rules" => "a macro",
                    "const" if !starts_function(tokens.peek()) => "a constant",
                    // Visibility and what may stand before `fn`, `impl` and `trait`.
                    _ => continue,
                };
                let message = format!("`#[{}]` goes on {}, not on {what}", W::NAME, W::PLACE);
                return Err(syn::Error::new(word.span(), message));
            }
            _ => {}
        }
    }
    Err(syn::Error::new(Span::call_site(), format!("`#[{}]` goes on {}", W::NAME, W::PLACE)))
}

fn starts_function(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if ["fn", "async", "unsafe", "extern"].iter().any(|start| word == start))
}

fn is(token: &TokenTree, word: &Ident) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// The path in `crate = path`. The derive's own name hangs on it, so it is needed before the arguments are read; mistakes
/// in it are told when they are.
fn library(arguments: &TokenStream) -> Option<Path> {
    let tokens: Vec<TokenTree> = arguments.clone().into_iter().collect();
    let option = tokens.split(|token| punct(token, ',')).find(
        |option| matches!(option, [TokenTree::Ident(name), equals, ..] if name == "crate" && punct(equals, '=')),
    )?;
    Path::parse_mod_style.parse2(option[2..].iter().cloned().collect()).ok()
}

fn punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use syn::File;

    use super::{Way, attach, derive};
    use crate::store::StoreWay;
    use crate::subscriber::SubscriberWay;

    const ARGUMENTS: [&str; 52] = [
        "latest",
        "queue",
        "redis",
        "capacity",
        "memory",
        "channel",
        "crate",
        "sse",
        "ws",
        "store",
        "all_keys",
        "authorize",
        "public",
        "filter",
        "receive",
        "replay",
        "lag",
        "keep_alive",
        "off",
        "retry",
        "origins",
        "any",
        "max_connections",
        "max_age",
        "protocols",
        "max_message",
        "keepalive",
        "=",
        "=",
        "=",
        "=",
        ",",
        ",",
        ",",
        ",",
        "Tick",
        "Self::f",
        "<A as B<C, D>>::f",
        "7",
        "0",
        "-1",
        "99999999999999999999999",
        "7u8",
        "\"1s\"",
        "\"64MiB\"",
        "\"99999999999999999999h\"",
        "[\"https://a\", x]",
        "(1, 2)",
        "{ a, b }",
        "|a, b| a",
        "..",
        "é",
    ];
    const ITEMS: [&str; 14] = [
        "struct A;",
        "struct A();",
        "struct A<'a, T: Clone, const N: usize>(&'a T);",
        "struct A { #[key] #[query] a: u8, #[key] b: u8 }",
        "struct A { #[key(x)] #[query(1)] #[header = 3] a: u8, #[latest] b: u8, #[cookie(\"\")] c: u8 }",
        "struct A { #[key] #[serde(skip, rename = \"x\", bound(a = 1, b))] a: u8 }",
        "pub(crate) struct r#type { #[key] r#fn: u8, #[depot(\"x\")] r#if: u8, #[param(\"{\")] x: u8 }",
        "enum A {}",
        "enum A { #[latest] #[queue] B, #[key] C(#[key] u8), D { #[key] d: u8, #[key] #[key] e: u8 } }",
        "union A { a: u8 }",
        "fn a() {}",
        "unsafe impl A {}",
        "const A: u8 = 0;",
        "#[__store(latest)] #[__subscriber(sse)] #[key] #[latest] struct A;",
    ];

    #[test]
    fn nothing_that_can_be_written_panics() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The top bits are the random ones of this generator.
            usize::try_from(state >> 40).expect("24 bits fit") % limit
        };
        for _ in 0..4_000 {
            let words: Vec<&str> = (0..below(14)).map(|_| ARGUMENTS[below(ARGUMENTS.len())]).collect();
            let arguments = words.join(" ");
            let item = ITEMS[below(ITEMS.len())];
            expands::<StoreWay>(&arguments, item);
            expands::<SubscriberWay>(&arguments, item);
        }
    }

    /// That Rust comes out, whatever goes in.
    fn expands<W: Way>(arguments: &str, item: &str) {
        let arguments: TokenStream = arguments.parse().expect("tokens");
        let item: TokenStream = item.parse().expect("tokens");
        let marked = attach::<W>(&arguments, &item);
        let derived = derive::<W>(marked.clone());
        syn::parse2::<File>(derived).unwrap_or_else(|error| panic!("{error}: {marked}"));
    }
}
