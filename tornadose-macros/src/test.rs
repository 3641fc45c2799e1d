//! `#[tornadose_test::test]`: an async test on a paused clock. What runs it lives in `tornadose_test::runtime`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Path, Result, Token, parse_quote, parse2};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test(arguments, item).unwrap_or_else(Error::into_compile_error)
}

fn test(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Arguments { library } = parse2(arguments)?;
    let function: ItemFn = parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[tornadose_test::test]` stands on a test function: `async fn name() { … }`")
    })?;
    check(&function)?;

    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (name, output) = (&sig.ident, &sig.output);
    // The inner function bears the test's own name: snapshots are named after the function they stand in.
    Ok(quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn #name() #output #block
            #library::run_test(#name())
        }
    })
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    let mut wrong = Vec::new();
    if signature.asyncness.is_none() {
        let message = "the test is not async: write `async fn`; for a test that awaits nothing, `#[test]` is enough";
        wrong.push(Error::new(signature.fn_token.span, message));
    }
    if !signature.inputs.is_empty() {
        let message = "a test takes no arguments: make what it needs in its body";
        wrong.push(Error::new(signature.inputs.span(), message));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "a test cannot be generic: nobody says what to run it with. Call a generic function from it";
        wrong.push(Error::new(signature.generics.params.span(), message));
    }
    for attribute in &function.attrs {
        if attribute.path().segments.last().is_some_and(|last| last.ident == "test") {
            let message = "`#[tornadose_test::test]` makes the function a test by itself: remove this attribute";
            wrong.push(Error::new(attribute.path().span(), message));
        }
    }
    let first = wrong.into_iter().reduce(|mut all, next| {
        all.combine(next);
        all
    });
    first.map_or(Ok(()), Err)
}

/// What stands in the attribute's parentheses.
struct Arguments {
    library: Path,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut library: Path = parse_quote!(::tornadose_test);
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            library = input.call(Path::parse_mod_style)?;
            input.parse::<Option<Token![,]>>()?;
        }
        if input.is_empty() {
            return Ok(Self { library });
        }
        let unknown = input.parse::<Ident>().map_or_else(
            |error| Error::new(error.span(), "expected `crate = path`, or nothing"),
            |option| {
                let hint = match option.to_string().as_str() {
                    "start_paused" => "the clock is always paused: remove it",
                    "flavor" | "worker_threads" => "the runtime always has one thread: remove it",
                    _ => "the only one is `crate = path`",
                };
                Error::new(option.span(), format!("unknown option `{option}`; {hint}"))
            },
        );
        Err(unknown)
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;

    fn errors(arguments: TokenStream, item: TokenStream) -> Vec<String> {
        match super::test(arguments, item) {
            Ok(_) => Vec::new(),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn a_test_is_run_by_the_crate_that_was_named() {
        let expanded = super::test(
            quote!(crate = harness::inner),
            quote!(
                async fn it_works() -> Outcome {}
            ),
        );
        let expected = quote! {
            #[::core::prelude::v1::test]
            fn it_works() -> Outcome {
                async fn it_works() -> Outcome {}
                harness::inner::run_test(it_works())
            }
        };
        assert_eq!(expanded.expect("nothing is wrong with it").to_string(), expected.to_string());
    }

    #[test]
    fn every_bad_use_says_what_to_write() {
        for (arguments, item, message) in [
            (
                quote!(),
                quote!(
                    fn plain() {}
                ),
                "the test is not async: write `async fn`",
            ),
            (
                quote!(),
                quote!(
                    async fn takes(n: u8) {}
                ),
                "a test takes no arguments",
            ),
            (
                quote!(),
                quote!(
                    async fn generic<T>() {}
                ),
                "a test cannot be generic",
            ),
            (
                quote!(),
                quote!(
                    struct Thing;
                ),
                "stands on a test function",
            ),
            (
                quote!(),
                quote!(
                    #[tokio::test]
                    async fn twice() {}
                ),
                "remove this attribute",
            ),
            (
                quote!(start_paused = true),
                quote!(
                    async fn fine() {}
                ),
                "unknown option `start_paused`; the clock is always",
            ),
            (
                quote!(flavor = "x"),
                quote!(
                    async fn fine() {}
                ),
                "unknown option `flavor`; the runtime always has one",
            ),
            (
                quote!(retries = 3),
                quote!(
                    async fn fine() {}
                ),
                "unknown option `retries`; the only one is `crate = path`",
            ),
            (
                quote!("x"),
                quote!(
                    async fn fine() {}
                ),
                "expected `crate = path`, or nothing",
            ),
        ] {
            let errors = errors(arguments, item);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(message), "{errors:?}");
        }
    }

    #[test]
    fn independent_mistakes_are_all_told() {
        assert_eq!(
            errors(
                quote!(),
                quote!(
                    fn many<T>(n: T) {}
                )
            )
            .len(),
            3
        );
    }
}
