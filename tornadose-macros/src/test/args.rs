//! The arguments of `#[tornadose_test::test]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Path, Result, Token, bracketed, parse_quote};

const DAY_MS: u64 = 24 * 3_600_000;

const EXPECTED: &str = "expected `clock = real`, `over = [sse, ws]`, `timeout = \"5m\"`, `leftover_tasks = deny` or \
    `crate = path`";

/// The arguments of the attribute.
pub(crate) struct Arguments {
    pub(crate) library: Path,
    /// Whether `clock = real` was written.
    pub(crate) real_time: bool,
    /// The transports in `over = […]`; empty without it.
    pub(crate) over: Vec<Ident>,
    /// The longest time on the wall clock in milliseconds; `None` for the default.
    pub(crate) timeout_ms: Option<u64>,
    /// Whether `leftover_tasks = deny` was written.
    pub(crate) denies_leftover_tasks: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self {
            library: parse_quote!(::tornadose_test),
            real_time: false,
            over: Vec::new(),
            timeout_ms: None,
            denies_leftover_tasks: false,
        };
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
        let option: Ident =
            input.parse().map_err(|error| Error::new(error.span(), format!("{EXPECTED}, or nothing")))?;
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
        if option == "timeout" {
            input.parse::<Token![=]>()?;
            self.timeout_ms = Some(parse_timeout(input)?);
            return Ok(());
        }
        if option == "leftover_tasks" {
            input.parse::<Token![=]>()?;
            check_leftover_tasks(&input.parse()?)?;
            self.denies_leftover_tasks = true;
            return Ok(());
        }
        let hint = match option.to_string().as_str() {
            "start_paused" => "the clock is always paused: remove it, or write `clock = real`",
            "flavor" | "worker_threads" => "the runtime always has one thread: remove it",
            _ => EXPECTED,
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

fn check_leftover_tasks(rule: &Ident) -> Result<()> {
    if rule == "deny" {
        return Ok(());
    }
    Err(Error::new(rule.span(), "expected `leftover_tasks = deny`; leave it out to allow them"))
}

/// Returns a duration in quotes, in milliseconds.
fn parse_timeout(input: ParseStream<'_>) -> Result<u64> {
    let expected = "expected a duration in quotes, `\"5m\"` or `\"90s\"`";
    let text: LitStr = input.parse().map_err(|error| Error::new(error.span(), expected))?;
    let written = text.value();
    let (digits, unit) = written.split_at(written.find(|char: char| !char.is_ascii_digit()).unwrap_or(written.len()));
    let unit = match unit {
        _ if digits.is_empty() => return Err(Error::new(text.span(), expected)),
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(Error::new(text.span(), expected)),
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(0) => Err(Error::new(text.span(), "`timeout` must be longer than zero")),
        Some(milliseconds) if milliseconds <= DAY_MS => Ok(milliseconds),
        _ => Err(Error::new(text.span(), "`timeout` must be at most a day, `\"24h\"`")),
    }
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
