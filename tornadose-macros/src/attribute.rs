//! The steps that every attribute on a type shares. [`attach`] puts a private derive in front of the item and passes the
//! item on; `rewrite` says which attributes in it are changed. [`derive`] runs `args` → `model` → `expand` of the [`Attribute`].

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{DeriveInput, Meta, Path};

use crate::diagnostics::Mistakes;
use crate::helper_words;
use crate::rewrite;
use crate::runtime::Runtime;

/// One attribute: how its arguments and its item become an expansion.
pub(crate) trait Attribute {
    /// The name of the attribute, such as `store`.
    const NAME: &'static str;
    /// The name of the private derive, such as `__Store`.
    const DERIVE: &'static str;
    /// The items that it goes on, such as `the struct or enum that is the message`.
    const TARGET: &'static str;
    /// The helper attributes on fields and variants.
    const WORDS: &'static [&'static str];
    /// Whether every field has one of them.
    const NEEDS_WORDS: bool;

    type Args;
    type Model;

    /// Reads the arguments. Errors about missing arguments point at `at`.
    fn args(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self::Args;

    /// Checks the arguments against the item. Returns `None` only after it added a mistake.
    fn model(args: &Self::Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self::Model>;

    /// Returns the items that the derive adds.
    fn expand(model: &Self::Model) -> TokenStream;

    /// Replaces the expansion after a mistake, so that rustc reports no consequences of it.
    fn stub(args: &Self::Args, item: &DeriveInput) -> TokenStream;
}

/// Puts the private derive in front of the item.
pub(crate) fn attach<A: Attribute>(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let helper = format_ident!("__{}", A::NAME);
    if let Err(mistake) = check_target::<A>(item, &helper) {
        let mistake = mistake.to_compile_error();
        return quote!(#mistake #item);
    }
    let derive = Ident::new(A::DERIVE, Span::call_site());
    let item = if A::NEEDS_WORDS { rewrite::mark_unknown(item, A::WORDS) } else { item.clone() };
    let library = library_path(arguments);
    if library.is_none() {
        let runtime = Runtime::new(None);
        return quote!(#[derive(#runtime::#derive)] #[#helper(#arguments)] #item);
    }
    // The path may be wrong. Rustc would not know the attributes of a derive that it cannot find.
    let item = rewrite::use_tool_attributes(&item, A::WORDS);
    let (runtime, tool) = (Runtime::new(library), format_ident!("{}", helper_words::TOOL));
    quote!(#[derive(#runtime::#derive)] #[#tool::#helper(#arguments)] #item)
}

/// Expands the private derive on an item that [`attach`] has marked.
pub(crate) fn derive<A: Attribute>(item: TokenStream) -> TokenStream {
    let mut item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(mistake) => return mistake.to_compile_error(),
    };
    let helper = format_ident!("__{}", A::NAME);
    let Some((at, arguments)) = item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::List(list) => {
            let word = &list.path.segments.last()?.ident;
            (*word == helper).then(|| (word.span(), list.tokens.clone()))
        }
        _ => None,
    }) else {
        let message = format!("`{}` is internal: use `#[{}(...)]`", A::DERIVE, A::NAME);
        return syn::Error::new(Span::call_site(), message).to_compile_error();
    };

    let mut mistakes = Mistakes::default();
    helper_words::expand_long_forms(&mut item, A::WORDS, &mut mistakes);
    let args = A::args(arguments, at, &mut mistakes);
    let model = A::model(&args, &item, &mut mistakes);
    match (model, mistakes.report()) {
        (Some(model), None) => A::expand(&model),
        (_, mistakes) => {
            let stub = A::stub(&args, &item);
            quote!(#mistakes #stub)
        }
    }
}

/// Checks that the attribute may be on this item, because rustc allows it on any.
fn check_target<A: Attribute>(item: &TokenStream, helper: &Ident) -> Result<(), syn::Error> {
    let mut tokens = item.clone().into_iter().peekable();
    // An item that a `macro_rules!` passed on as `$item:item` may be in a group without delimiters.
    if let Some(TokenTree::Group(group)) = tokens.peek()
        && group.delimiter() == Delimiter::None
    {
        return check_target::<A>(&group.stream(), helper);
    }
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.next()
                    && is_helper(&attribute.stream(), helper)
                {
                    let message = format!("`#[{}]` is written twice on this item; keep one", A::NAME);
                    return Err(syn::Error::new(Span::call_site(), message));
                }
            }
            TokenTree::Ident(word) => {
                let kind = match word.to_string().as_str() {
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
                    // A visibility, or a keyword that comes before `fn`, `impl` or `trait`.
                    _ => continue,
                };
                let message = format!("`#[{}]` goes on {}, not on {kind}", A::NAME, A::TARGET);
                return Err(syn::Error::new(word.span(), message));
            }
            _ => {}
        }
    }
    Err(syn::Error::new(Span::call_site(), format!("`#[{}]` goes on {}", A::NAME, A::TARGET)))
}

fn starts_function(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if ["fn", "async", "unsafe", "extern"].iter().any(|start| word == start))
}

/// Whether the attribute is `#[__store(…)]` or `#[rustfmt::__store(…)]`.
fn is_helper(attribute: &TokenStream, helper: &Ident) -> bool {
    let mut words = attribute.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word),
        _ => None,
    });
    words
        .next()
        .is_some_and(|first| first == *helper || (first == helper_words::TOOL && words.next().as_ref() == Some(helper)))
}

/// The path in `crate = path`. The path to the derive begins with it, so it is needed before the arguments are parsed.
/// Parsing them reports mistakes in it.
fn library_path(arguments: &TokenStream) -> Option<Path> {
    let tokens: Vec<TokenTree> = arguments.clone().into_iter().collect();
    let option = tokens.split(|token| is_punct(token, ',')).find(
        |option| matches!(option, [TokenTree::Ident(name), equals, ..] if name == "crate" && is_punct(equals, '=')),
    )?;
    Path::parse_mod_style.parse2(option[2..].iter().cloned().collect()).ok()
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use syn::File;

    use super::{Attribute, attach, derive};
    use crate::store::StoreAttribute;
    use crate::subscriber::SubscriberAttribute;

    const ARGUMENTS: [&str; 59] = [
        "latest",
        "queue",
        "redis",
        "capacity",
        "memory",
        "max_key",
        "ttl",
        "channel",
        "finish",
        "crate",
        "sse",
        "ws",
        "store",
        "all_keys",
        "authorize",
        "public",
        "filter",
        "receive",
        "opened",
        "closed",
        "replay",
        "lag",
        "keep_alive",
        "off",
        "retry",
        "origins",
        "any",
        "max_connections",
        "max_keys",
        "max_age",
        "protocols",
        "max_message",
        "throttle",
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
    const ITEMS: [&str; 21] = [
        "struct A;",
        "struct A();",
        "struct A<'a, T: Clone, const N: usize>(&'a T);",
        "struct A { #[key] #[query] a: u8, #[key] b: u8 }",
        "struct A { #[key(x)] #[query(1)] #[header = 3] a: u8, #[latest] b: u8, #[cookie(\"\")] c: u8 }",
        "struct A { #[key] #[serde(skip, rename = \"x\", bound(a = 1, b))] a: u8 }",
        "pub(crate) struct r#type { #[key] r#fn: u8, #[depot(\"x\")] r#if: u8, #[param(\"{\")] x: u8 }",
        "struct A { #[body] #[path = 3] a: u8, #[tornadose(key, query(\"x\"))] b: u8, #[tornadose] #[tornadose(key = 1, z)] c: u8 }",
        "enum A { #[tornadose(queue)] B(#[tornadose()] u8), #[tornadose(latest())] C { #[tornadose(1)] #[rustfmt::tornadose(key)] c: u8 } }",
        "struct A { #[slot] a: u8, #[slot] #[key] b: u8, #[slot(1)] #[serde(skip)] c: u8 }",
        "enum A { #[ephemeral] B { #[slot] a: u8 }, #[ephemeral(1)] #[latest] #[finish] C(#[ephemeral] u8), #[ephemeral] D }",
        "enum A { #[tombstone] B { #[slot] a: u8 }, #[tombstone(1)] #[latest] C(#[slot] u8), #[latest] D { #[slot] a: u8, #[tombstone] b: u8 } }",
        "struct A { #[keys(a)] #[query(\"x\", separator = \",\")] a: Vec<u8>, #[key] b: u8 }",
        "struct A { #[keys] #[query(separator)] a: u8, #[key] #[keys(\"b\")] #[query(separator = 1, 2)] b: u8 }",
        "enum A {}",
        "enum A { #[latest] #[queue] B, #[finish] #[latest] #[finish(1)] #[key] C(#[key] u8), D { #[key] d: u8, #[key] #[key] e: u8 } }",
        "union A { a: u8 }",
        "fn a() {}",
        "unsafe impl A {}",
        "const A: u8 = 0;",
        "#[__store(latest)] #[__subscriber(sse)] #[key] #[latest] struct A;",
    ];

    #[test]
    fn nothing_that_can_be_written_panics() {
        let mut random = fastrand::Rng::with_seed(0);
        for _ in 0..4_000 {
            let words: Vec<&str> =
                (0..random.usize(..14)).map(|_| ARGUMENTS[random.usize(..ARGUMENTS.len())]).collect();
            let arguments = words.join(" ");
            let item = ITEMS[random.usize(..ITEMS.len())];
            assert_expands::<StoreAttribute>(&arguments, item);
            assert_expands::<SubscriberAttribute>(&arguments, item);
        }
    }

    /// Asserts that the expansion is Rust.
    fn assert_expands<A: Attribute>(arguments: &str, item: &str) {
        let arguments: TokenStream = arguments.parse().expect("tokens");
        let item: TokenStream = item.parse().expect("tokens");
        let attached = attach::<A>(&arguments, &item);
        let derived = derive::<A>(attached.clone());
        syn::parse2::<File>(derived).unwrap_or_else(|error| panic!("{error}: {attached}"));
    }
}
