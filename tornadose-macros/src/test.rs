//! `#[tornadose_test::test]`: an async test on a paused clock. The expansion calls `TestConfig::run_test`.

mod args;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, Ident, ItemFn, Result, parse2};

use crate::literals::duration;
use crate::test::args::Arguments;

/// The attributes of other crates that make several tests of one function. They pass the attributes below them to each.
const CASE_ATTRIBUTES: [&str; 3] = ["rstest", "test_case", "test_matrix"];

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(arguments, item).unwrap_or_else(Error::into_compile_error)
}

fn try_expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let written = arguments.clone();
    let arguments: Arguments = parse2(arguments)?;
    let function: ItemFn = parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[tornadose_test::test]` goes on an async function: `async fn name() { … }`")
    })?;
    if let Some(cases) = function.attrs.iter().find(|attribute| makes_cases(attribute)) {
        return expand_after_cases(&arguments, &written, &function, cases);
    }
    check(&function, &arguments)?;
    if arguments.over.is_empty() {
        let name = function.sig.ident.clone();
        return Ok(test_function(&arguments, &function, &name, None));
    }
    let each = arguments.over.iter().map(|over| {
        let name = format_ident!("{}_over_{}", function.sig.ident, over);
        test_function(&arguments, &function, &name, Some(over))
    });
    Ok(each.collect())
}

fn makes_cases(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| CASE_ATTRIBUTES.iter().any(|cases| last.ident == cases))
}

/// Puts this attribute below the one that makes cases, which passes it to each of its tests.
fn expand_after_cases(
    arguments: &Arguments,
    written: &TokenStream,
    function: &ItemFn,
    cases: &Attribute,
) -> Result<TokenStream> {
    if !arguments.over.is_empty() {
        let message = "`over` makes tests of its own: leave it out, and let the cases contain a `Transport`";
        return Err(Error::new(cases.path().span(), message));
    }
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let library = &arguments.library;
    Ok(quote! {
        #(#attrs)*
        #[#library::test(#written)]
        #vis #sig #block
    })
}

/// Returns one `#[test]` that runs the function, over a transport if it has one.
fn test_function(arguments: &Arguments, function: &ItemFn, name: &Ident, over: Option<&Ident>) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (inner, inputs, output, library) = (&sig.ident, &sig.inputs, &sig.output, &arguments.library);
    let transport =
        over.map(|over| if over == "sse" { quote!(#library::Transport::Sse) } else { quote!(#library::Transport::Ws) });
    let real_time = arguments.real_time.then(|| quote!(.in_real_time()));
    let over = transport.as_ref().map(|transport| quote!(.over(#transport)));
    let timeout = arguments.timeout_ms.map(duration).map(|timeout| quote!(.timeout(#timeout)));
    let leftover_tasks = arguments.denies_leftover_tasks.then(|| quote!(.deny_leftover_tasks()));
    // The inner function has the name of the test, because insta names a snapshot after the innermost function.
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn #inner(#inputs) #output #block
            <#library::TestConfig as ::core::default::Default>::default()
                .name(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)))
                #real_time #over #timeout #leftover_tasks
                .run_test(#inner(#transport))
        }
    }
}

fn check(function: &ItemFn, arguments: &Arguments) -> Result<()> {
    let signature = &function.sig;
    let mut mistakes = Vec::new();
    if signature.asyncness.is_none() {
        let message = "the test is not async: write `async fn`, or `#[test]` if it awaits nothing";
        mistakes.push(Error::new(signature.fn_token.span, message));
    }
    if !arguments.over.is_empty() {
        if signature.inputs.len() != 1 || matches!(signature.inputs.first(), Some(FnArg::Receiver(_))) {
            let message = "a test over several transports takes one argument, `over: Transport`; with cases of another \
                crate, leave out `over = […]`, and let the cases contain a `Transport`";
            mistakes.push(Error::new(signature.ident.span(), message));
        }
    } else if !signature.inputs.is_empty() {
        let message = "a test takes no arguments; create what it needs in its body";
        mistakes.push(Error::new(signature.inputs.span(), message));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "a test cannot be generic; call a generic function from it";
        mistakes.push(Error::new(signature.generics.params.span(), message));
    }
    for attribute in &function.attrs {
        if attribute.path().segments.last().is_some_and(|last| last.ident == "test") {
            let message = "`#[tornadose_test::test]` already makes the function a test: remove this attribute";
            mistakes.push(Error::new(attribute.path().span(), message));
        }
    }
    let combined = mistakes.into_iter().reduce(|mut all, next| {
        all.combine(next);
        all
    });
    combined.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;

    fn errors(arguments: TokenStream, item: TokenStream) -> Vec<String> {
        match super::try_expand(arguments, item) {
            Ok(_) => Vec::new(),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn a_test_is_run_by_the_crate_that_was_named() {
        let expanded = super::try_expand(
            quote!(crate = harness::inner),
            quote!(
                async fn it_works() -> TestResult {}
            ),
        );
        let expected = quote! {
            #[::core::prelude::v1::test]
            fn it_works() -> TestResult {
                async fn it_works() -> TestResult {}
                <harness::inner::TestConfig as ::core::default::Default>::default()
                    .name(::core::concat!(::core::module_path!(), "::", ::core::stringify!(it_works)))
                    .run_test(it_works())
            }
        };
        assert_eq!(expanded.expect("it has no mistake").to_string(), expected.to_string());
    }

    #[test]
    fn a_test_over_two_transports_is_two_tests() {
        let expanded = super::try_expand(
            quote!(over = [sse, ws], clock = real, timeout = "5m", leftover_tasks = deny),
            quote!(
                async fn it_works(over: Transport) {}
            ),
        );
        let expected = quote! {
            #[::core::prelude::v1::test]
            fn it_works_over_sse() {
                async fn it_works(over: Transport) {}
                <::tornadose_test::TestConfig as ::core::default::Default>::default()
                    .name(::core::concat!(::core::module_path!(), "::", ::core::stringify!(it_works_over_sse)))
                    .in_real_time()
                    .over(::tornadose_test::Transport::Sse)
                    .timeout(::core::time::Duration::from_secs(300u64))
                    .deny_leftover_tasks()
                    .run_test(it_works(::tornadose_test::Transport::Sse))
            }
            #[::core::prelude::v1::test]
            fn it_works_over_ws() {
                async fn it_works(over: Transport) {}
                <::tornadose_test::TestConfig as ::core::default::Default>::default()
                    .name(::core::concat!(::core::module_path!(), "::", ::core::stringify!(it_works_over_ws)))
                    .in_real_time()
                    .over(::tornadose_test::Transport::Ws)
                    .timeout(::core::time::Duration::from_secs(300u64))
                    .deny_leftover_tasks()
                    .run_test(it_works(::tornadose_test::Transport::Ws))
            }
        };
        assert_eq!(expanded.expect("it has no mistake").to_string(), expected.to_string());
    }

    #[test]
    fn every_misuse_says_what_to_write() {
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
                "goes on an async function",
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
                "unknown option `retries`; expected `clock = real`, `over = [sse, ws]`, `timeout = \"5m\"`, `leftover_tasks = deny` or `crate = path`",
            ),
            (
                quote!("x"),
                quote!(
                    async fn fine() {}
                ),
                "`leftover_tasks = deny` or `crate = path`, or nothing",
            ),
        ] {
            let errors = errors(arguments, item);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(message), "{errors:?}");
        }
    }

    #[test]
    fn every_invalid_option_says_what_to_write() {
        for (arguments, item, message) in [
            (
                quote!(clock = paused),
                quote!(
                    async fn fine() {}
                ),
                "expected `clock = real`; leave it out",
            ),
            (
                quote!(over = [sse, tcp]),
                quote!(
                    async fn fine(over: Transport) {}
                ),
                "unknown transport `tcp`; expected `sse` or `ws`",
            ),
            (
                quote!(over = [sse, sse]),
                quote!(
                    async fn fine(over: Transport) {}
                ),
                "`sse` is listed twice",
            ),
            (
                quote!(over = []),
                quote!(
                    async fn fine(over: Transport) {}
                ),
                "`over` is empty",
            ),
            (
                quote!(over = [sse, ws]),
                quote!(
                    async fn fine() {}
                ),
                "takes one argument, `over: Transport`",
            ),
        ] {
            let errors = errors(arguments, item);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(message), "{errors:?}");
        }
    }

    #[test]
    fn every_invalid_timeout_says_what_to_write() {
        for (arguments, message) in [
            (quote!(timeout = 5), "expected a duration in quotes"),
            (quote!(timeout = "5 minutes"), "expected a duration in quotes"),
            (quote!(timeout = "m"), "expected a duration in quotes"),
            (quote!(timeout = "0s"), "`timeout` must be longer than zero"),
            (quote!(timeout = "25h"), "`timeout` must be at most a day"),
            (quote!(leftover_tasks = allow), "expected `leftover_tasks = deny`; leave it out"),
        ] {
            let errors = errors(
                arguments,
                quote!(
                    async fn fine() {}
                ),
            );
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(message), "{errors:?}");
        }
    }

    #[test]
    fn the_attribute_goes_below_those_that_make_cases() {
        let item = quote! {
            #[rstest]
            #[case(1)]
            async fn it_works(#[case] number: u8) {}
        };
        let expanded = super::try_expand(quote!(clock = real), item.clone());
        let expected = quote! {
            #[rstest]
            #[case(1)]
            #[::tornadose_test::test(clock = real)]
            async fn it_works(#[case] number: u8) {}
        };
        assert_eq!(expanded.expect("it has no mistake").to_string(), expected.to_string());
        assert!(errors(quote!(over = [sse]), item)[0].contains("`over` makes tests of its own"));
    }

    #[test]
    fn independent_mistakes_are_all_reported() {
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
