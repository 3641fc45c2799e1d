//! `#[tornadose_test::test]`: an async test on a paused clock. The expansion calls `tornadose_test::run_test`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, Path, Result, Token, bracketed, parse_quote, parse2};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(arguments, item).unwrap_or_else(Error::into_compile_error)
}

fn try_expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = parse2(arguments)?;
    let function: ItemFn = parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[tornadose_test::test]` goes on an async function: `async fn name() { … }`")
    })?;
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

/// Returns one `#[test]` that runs the function, over a transport if it has one.
fn test_function(arguments: &Arguments, function: &ItemFn, name: &Ident, over: Option<&Ident>) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (inner, inputs, output, library) = (&sig.ident, &sig.inputs, &sig.output, &arguments.library);
    let transport =
        over.map(|over| if over == "sse" { quote!(#library::Transport::Sse) } else { quote!(#library::Transport::Ws) });
    let run = if over.is_none() && !arguments.real_time {
        quote!(#library::run_test)
    } else {
        let real_time = arguments.real_time.then(|| quote!(.in_real_time()));
        let over = transport.as_ref().map(|transport| quote!(.over(#transport)));
        quote!(<#library::TestConfig as ::core::default::Default>::default() #real_time #over .run_test)
    };
    // The inner function has the name of the test, because insta names a snapshot after the innermost function.
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn #inner(#inputs) #output #block
            #run(#inner(#transport))
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
            let message = "a test over several transports takes one argument, `over: Transport`";
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

/// The arguments of the attribute.
struct Arguments {
    library: Path,
    /// Whether `clock = real` was written.
    real_time: bool,
    /// The transports in `over = […]`; empty without it.
    over: Vec<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self { library: parse_quote!(::tornadose_test), real_time: false, over: Vec::new() };
        while !input.is_empty() {
            arguments.parse_option(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_option(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            self.library = input.call(Path::parse_mod_style)?;
            return Ok(());
        }
        let expected = "expected `clock = real`, `over = [sse, ws]`, `crate = path`, or nothing";
        let option: Ident = input.parse().map_err(|error| Error::new(error.span(), expected))?;
        if option == "clock" {
            input.parse::<Token![=]>()?;
            check_clock(&input.parse()?)?;
            self.real_time = true;
            return Ok(());
        }
        if option == "over" {
            input.parse::<Token![=]>()?;
            self.over = parse_transports(input)?;
            return Ok(());
        }
        let hint = match option.to_string().as_str() {
            "start_paused" => "the clock is always paused: remove it, or write `clock = real`",
            "flavor" | "worker_threads" => "the runtime always has one thread: remove it",
            _ => "expected `clock = real`, `over = [sse, ws]` or `crate = path`",
        };
        Err(Error::new(option.span(), format!("unknown option `{option}`; {hint}")))
    }
}

fn check_clock(clock: &Ident) -> Result<()> {
    if clock == "real" {
        return Ok(());
    }
    Err(Error::new(clock.span(), "expected `clock = real`; leave it out for a paused clock"))
}

fn parse_transports(input: ParseStream<'_>) -> Result<Vec<Ident>> {
    let list;
    bracketed!(list in input);
    let transports: Vec<Ident> = Punctuated::<Ident, Token![,]>::parse_terminated(&list)?.into_iter().collect();
    if transports.is_empty() {
        return Err(list.error("`over` is empty: write `over = [sse, ws]`"));
    }
    for (nth, transport) in transports.iter().enumerate() {
        if transport != "sse" && transport != "ws" {
            let message = format!("unknown transport `{transport}`; expected `sse` or `ws`");
            return Err(Error::new(transport.span(), message));
        }
        if transports[..nth].contains(transport) {
            return Err(Error::new(transport.span(), format!("`{transport}` is listed twice; keep one")));
        }
    }
    Ok(transports)
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
                harness::inner::run_test(it_works())
            }
        };
        assert_eq!(expanded.expect("it has no mistake").to_string(), expected.to_string());
    }

    #[test]
    fn a_test_over_two_transports_is_two_tests() {
        let expanded = super::try_expand(
            quote!(over = [sse, ws], clock = real),
            quote!(
                async fn it_works(over: Transport) {}
            ),
        );
        let expected = quote! {
            #[::core::prelude::v1::test]
            fn it_works_over_sse() {
                async fn it_works(over: Transport) {}
                <::tornadose_test::TestConfig as ::core::default::Default>::default()
                    .in_real_time()
                    .over(::tornadose_test::Transport::Sse)
                    .run_test(it_works(::tornadose_test::Transport::Sse))
            }
            #[::core::prelude::v1::test]
            fn it_works_over_ws() {
                async fn it_works(over: Transport) {}
                <::tornadose_test::TestConfig as ::core::default::Default>::default()
                    .in_real_time()
                    .over(::tornadose_test::Transport::Ws)
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
                "unknown option `retries`; expected `clock = real`, `over = [sse, ws]` or `crate = path`",
            ),
            (
                quote!("x"),
                quote!(
                    async fn fine() {}
                ),
                "expected `clock = real`, `over = [sse, ws]`, `crate = path`, or nothing",
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
