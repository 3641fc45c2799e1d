//! The steps that every attribute on a type shares. [`attach`] puts a private derive in front of the item and passes the
//! item on token for token. [`derive`] runs `args` → `model` → `expand` of the [`Attribute`].

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{DeriveInput, Meta, Path};

use crate::diagnostics::Mistakes;
use crate::runtime::Runtime;

/// One attribute: how its arguments and its item become an expansion.
pub(crate) trait Attribute {
    /// The name of the attribute, such as `store`.
    const NAME: &'static str;
    /// The name of the private derive, such as `__Store`.
    const DERIVE: &'static str;
    /// The items that it goes on, such as `the struct or enum that is the message`.
    const TARGET: &'static str;

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
    let runtime = Runtime::new(library_path(arguments));
    quote! {
        #[derive(#runtime::#derive)]
        #[#helper(#arguments)]
        #item
    }
}

/// Expands the private derive on an item that [`attach`] has marked.
pub(crate) fn derive<A: Attribute>(item: TokenStream) -> TokenStream {
    let item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(mistake) => return mistake.to_compile_error(),
    };
    let helper = format_ident!("__{}", A::NAME);
    let Some((at, arguments)) = item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident(&helper) => Some((list.path.get_ident()?.span(), list.tokens.clone())),
        _ => None,
    }) else {
        let message = format!("`{}` is internal: use `#[{}(...)]`", A::DERIVE, A::NAME);
        return syn::Error::new(Span::call_site(), message).to_compile_error();
    };

    let mut mistakes = Mistakes::default();
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
                    && attribute.stream().into_iter().next().is_some_and(|first| is_ident(&first, helper))
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

fn is_ident(token: &TokenTree, word: &Ident) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
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

    const ARGUMENTS: [&str; 56] = [
        "latest",
        "queue",
        "redis",
        "capacity",
        "memory",
        "max_key",
        "ttl",
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
    const ITEMS: [&str; 16] = [
        "struct A;",
        "struct A();",
        "struct A<'a, T: Clone, const N: usize>(&'a T);",
        "struct A { #[key] #[query] a: u8, #[key] b: u8 }",
        "struct A { #[key(x)] #[query(1)] #[header = 3] a: u8, #[latest] b: u8, #[cookie(\"\")] c: u8 }",
        "struct A { #[key] #[serde(skip, rename = \"x\", bound(a = 1, b))] a: u8 }",
        "pub(crate) struct r#type { #[key] r#fn: u8, #[depot(\"x\")] r#if: u8, #[param(\"{\")] x: u8 }",
        "struct A { #[keys(a)] #[query(\"x\", separator = \",\")] a: Vec<u8>, #[key] b: u8 }",
        "struct A { #[keys] #[query(separator)] a: u8, #[key] #[keys(\"b\")] #[query(separator = 1, 2)] b: u8 }",
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
