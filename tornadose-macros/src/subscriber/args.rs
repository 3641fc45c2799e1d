//! The arguments of `#[subscriber(…)]`, as they were written. It does not look at the struct.
//!
//! A new option takes a row of [`OPTIONS`], a field of [`Options`], a line of `expand`, and its name in `foreign`.

use proc_macro2::{Span, TokenStream};
use syn::{ExprPath, Ident, LitStr, Path, Type};

use super::options::{KeepAlive, Lag, Options, Origins, Replay, Transports};
use crate::diagnostics::Mistakes;
use crate::foreign;
use crate::origin;
use crate::raw_option::{Expected, OptionParser, RawOption, Value, expected};
use crate::schema;
use crate::value::is_token;

/// The arguments. An option that is absent or wrong is `None`.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) transports: Option<Transports>,
    pub(crate) store: Option<Type>,
    pub(crate) all_keys: bool,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) filter: Option<ExprPath>,
    /// The name of the option `snapshots`, where it is written.
    pub(crate) snapshots: Option<Ident>,
    pub(crate) receive: Option<ExprPath>,
    pub(crate) load: Option<ExprPath>,
    pub(crate) opened: Option<ExprPath>,
    pub(crate) closed: Option<ExprPath>,
    pub(crate) watch: Option<Watch>,
    pub(crate) options: Options,
    /// The name of the option `max_keys`, where it is written.
    pub(crate) max_keys: Option<Ident>,
    /// Whether its stream is described.
    pub(crate) schema: bool,
    pub(crate) library: Option<Path>,
}

/// Who may connect.
pub(crate) enum Authorize {
    Public,
    Hook(ExprPath),
    /// The value is a mistake that has been reported.
    Unreadable,
}

/// Which keys a client may watch.
pub(crate) enum Watch {
    Public,
    Hook(ExprPath),
    /// The value is a mistake that has been reported.
    Unreadable,
}

/// Reads the value of one option into the arguments.
type Read = fn(&mut Args, &RawOption, &mut Mistakes);

/// Each option, what it takes and how it is read, in the order in which messages list them.
const OPTIONS: [(&str, Expected, Read); 26] = [
    ("sse", Expected::FLAG, |_, option, mistakes| option.flag(mistakes)),
    ("ws", Expected::FLAG, |_, option, mistakes| option.flag(mistakes)),
    ("store", expected("the type of the messages", "`store = Tick`"), |args, option, mistakes| {
        args.store = option.ty(mistakes);
    }),
    ("all_keys", Expected::FLAG, |args, option, mistakes| {
        option.flag(mistakes);
        args.all_keys = true;
    }),
    (
        "authorize",
        expected("the path of a function, or the word `public`", "`authorize = Self::allowed`"),
        |args, option, mistakes| args.authorize = Some(authorize(option, mistakes)),
    ),
    ("filter", expected("the path of a function", "`filter = Self::wanted`"), |args, option, mistakes| {
        args.filter = hook(option, mistakes);
    }),
    ("receive", expected("the path of a function", "`receive = Self::received`"), |args, option, mistakes| {
        args.receive = hook(option, mistakes);
    }),
    ("load", expected("the path of a function", "`load = Self::stored`"), |args, option, mistakes| {
        args.load = hook(option, mistakes);
    }),
    ("opened", expected("the path of a function", "`opened = Self::joined`"), |args, option, mistakes| {
        args.opened = hook(option, mistakes);
    }),
    ("closed", expected("the path of a function", "`closed = Self::left`"), |args, option, mistakes| {
        args.closed = hook(option, mistakes);
    }),
    (
        "watch",
        expected("the path of a function, or the word `public`", "`watch = Self::may_watch`"),
        |args, option, mistakes| args.watch = Some(watch(option, mistakes)),
    ),
    (
        "replay",
        expected("a number of messages, the path of a constant, or `all`", "`replay = 20`"),
        |args, option, mistakes| args.options.replay = replay(option, mistakes),
    ),
    (
        "lag",
        expected("`skip` (report the gap and go on) or `close` (end the connection)", "`lag = skip`"),
        |args, option, mistakes| args.options.lag = lag(option, mistakes),
    ),
    (
        "snapshots",
        expected("the word `unfiltered` (send them although there is a `filter`)", "`snapshots = unfiltered`"),
        |args, option, mistakes| args.snapshots = snapshots(option, mistakes),
    ),
    ("keep_alive", expected("a duration in quotes", "`\"15s\"` or `\"500ms\"`, or `off`"), |args, option, mistakes| {
        args.options.keep_alive = keep_alive(option, mistakes);
    }),
    ("retry", expected("a duration in quotes", "`\"3s\"` or `\"500ms\"`"), |args, option, mistakes| {
        args.options.retry = option.duration("", mistakes);
    }),
    ("origins", expected("a list", "`origins = [\"https://app.example\"]`, or `any`"), |args, option, mistakes| {
        args.options.origins = origins(option, mistakes);
    }),
    (
        "max_connections",
        expected("a number of connections or the path of a constant", "`max_connections = 10_000`"),
        |args, option, mistakes| {
            args.options.max_connections = option.count("; leave it out for any number", mistakes);
        },
    ),
    (
        "max_keys",
        expected("a number of keys or the path of a constant", "`max_keys = 50`"),
        |args, option, mistakes| {
            args.options.max_keys = option.count("; leave it out for 256", mistakes);
            args.max_keys = Some(option.name.clone());
        },
    ),
    (
        "max_loads",
        expected("a number of loads or the path of a constant", "`max_loads = 4`"),
        |args, option, mistakes| args.options.max_loads = option.count("; leave it out for 16", mistakes),
    ),
    ("max_age", expected("a duration in quotes", "`\"10m\"` or `\"1h\"`"), |args, option, mistakes| {
        args.options.max_age = option.duration("; leave it out to let connections last", mistakes);
    }),
    ("protocols", expected("a list", "`protocols = [\"v1\"]`"), |args, option, mistakes| {
        args.options.protocols = protocols(option, mistakes);
    }),
    (
        "max_message",
        expected("a size in quotes: digits and `KiB`, `MiB` or `GiB`", "`max_message = \"64KiB\"`"),
        |args, option, mistakes| args.options.max_message = option.size(mistakes),
    ),
    ("throttle", expected("a duration in quotes", "`\"500ms\"` or `\"1s\"`"), |args, option, mistakes| {
        args.options.throttle = option.duration("; leave it out to write every message at once", mistakes);
    }),
    ("schema", Expected::FLAG, |args, option, mistakes| args.schema = schema::read(option, mistakes)),
    ("crate", Expected::LIBRARY, |args, option, mistakes| args.library = option.library(mistakes)),
];

impl Args {
    pub(crate) fn read(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self {
        let parser = OptionParser {
            attribute: "subscriber",
            options: OPTIONS.map(|(name, expected, _)| (name, expected)).to_vec(),
            type_option: Some("store"),
            other: foreign::STORE,
        };
        let mut args = Self::default();
        let parsed = parser.parse(arguments, mistakes);
        let given: Vec<String> = parsed.options.iter().map(|option| option.name.to_string()).collect();
        let mut names: Vec<Ident> = Vec::new();
        let mut belongs_elsewhere = false;
        for option in parsed.options {
            if let Some((.., read)) = OPTIONS.iter().find(|(name, ..)| option.name == name) {
                read(&mut args, &option, mistakes);
                names.push(option.name);
            } else {
                let suggestions = parser.report_unknown(&option.name, &given, mistakes);
                belongs_elsewhere |= suggestions.is_none();
                let suggestions = suggestions.into_iter().flatten();
                names.extend(suggestions.map(|name| Ident::new(name, option.name.span())));
            }
        }
        args.check(&names, mistakes);
        // A missing option may be in the part that could not be read, or this is the wrong attribute.
        if !parsed.has_syntax_error && !belongs_elsewhere {
            args.require(&names, at, mistakes);
        }
        args
    }

    /// Checks the options against each other. `names` has the names that a misspelt one may stand for, so that nothing
    /// that follows from its absence is reported.
    fn check(&mut self, names: &[Ident], mistakes: &mut Mistakes) {
        let find = |name: &str| names.iter().find(|written| *written == name);
        for (name, transport) in [("sse", Transports::Sse), ("ws", Transports::Ws)] {
            if find(name).is_some() {
                self.transports = Some(self.transports.map_or(transport, |others| others.union(transport)));
            }
        }
        if find("authorize").is_some() && self.authorize.is_none() {
            self.authorize = Some(Authorize::Unreadable);
        }
        if let Some(option) = find("max_loads")
            && find("load").is_none()
        {
            let message = "`max_loads` bounds the hook `load`, and there is none: add `load = Self::…`, or remove it";
            mistakes.at(option.span(), message);
        }
        if find("watch").is_some() && self.watch.is_none() {
            self.watch = Some(Watch::Unreadable);
        }
        if let Some(option) = find("watch")
            && find("all_keys").is_some()
        {
            let message = "`all_keys` receives every key, so there is none to watch: remove `watch` or `all_keys`";
            mistakes.at(option.span(), message);
        }
        if let Some(transports) = self.transports {
            check_transport_options(transports, find, mistakes);
        }
    }

    /// Reports a transport and a store that are missing.
    fn require(&self, names: &[Ident], at: Span, mistakes: &mut Mistakes) {
        let has_store = names.iter().any(|name| name == "store");
        let message = match (self.transports.is_some(), has_store) {
            (true, true) => return,
            (false, false) => {
                "`#[subscriber]` needs a transport and a store: write `#[subscriber(sse, store = ...)]` (server-sent events) \
                 or `#[subscriber(ws, store = ...)]` (WebSocket) with the type of its messages"
            }
            (false, true) => {
                "`#[subscriber]` needs a transport: write `#[subscriber(sse, ...)]` (server-sent events) or \
                 `#[subscriber(ws, ...)]` (WebSocket)"
            }
            (true, false) => "`#[subscriber]` needs a store: write `store = ...` with the type of its messages",
        };
        mistakes.at(at, message);
    }
}

/// Reports options of a transport that is not served.
fn check_transport_options<'a>(
    transports: Transports,
    find: impl Fn(&str) -> Option<&'a Ident>,
    mistakes: &mut Mistakes,
) {
    let needs: &[(&str, &str)] = match transports {
        Transports::Both => &[],
        Transports::Ws => &[("retry", "`retry` needs `sse`: it is a field of server-sent events")],
        Transports::Sse => &[
            ("receive", "`receive` needs `ws`: server-sent events carry nothing from the client"),
            ("watch", "`watch` needs `ws`: server-sent events carry nothing from the client"),
            ("max_message", "`max_message` needs `ws`: server-sent events carry nothing from the client"),
            ("protocols", "`protocols` needs `ws`: a subprotocol is chosen when a WebSocket opens"),
        ],
    };
    for (name, message) in needs {
        if let Some(option) = find(name) {
            mistakes.at(option.span(), message);
        }
    }
}

fn authorize(option: &RawOption, mistakes: &mut Mistakes) -> Authorize {
    if option.word().is_some_and(|word| word == "public") {
        return Authorize::Public;
    }
    hook(option, mistakes).map_or(Authorize::Unreadable, Authorize::Hook)
}

fn watch(option: &RawOption, mistakes: &mut Mistakes) -> Watch {
    if option.word().is_some_and(|word| word == "public") {
        return Watch::Public;
    }
    hook(option, mistakes).map_or(Watch::Unreadable, Watch::Hook)
}

/// Returns the path of a hook. The method of the trait that the hook implements is a mistake, because it would call itself.
fn hook(option: &RawOption, mistakes: &mut Mistakes) -> Option<ExprPath> {
    let hook = option.function(mistakes)?;
    let mut segments = hook.path.segments.iter().rev();
    let is_method = segments.next().is_some_and(|last| last.ident == option.name);
    if is_method && segments.next().is_some_and(|owner| owner.ident == "Subscriber") {
        let message = format!(
            "`{name}` names the function that `Subscriber::{name}` is to call: write one of your own, like {example}",
            name = option.name,
            example = option.expected.example,
        );
        mistakes.on(&hook, message);
        return None;
    }
    Some(hook)
}

fn replay(option: &RawOption, mistakes: &mut Mistakes) -> Option<Replay> {
    if option.word().is_some_and(|word| word == "all") {
        return Some(Replay::All);
    }
    option.count("; leave it out to send no history", mistakes).map(Replay::Last)
}

fn lag(option: &RawOption, mistakes: &mut Mistakes) -> Option<Lag> {
    match (option.word(), &option.value) {
        (Some(word), _) if word == "skip" => Some(Lag::Skip),
        (Some(word), _) if word == "close" => Some(Lag::Close),
        (_, Value::Expr(other)) => option.report_mismatch(other, mistakes),
        _ => option.function(mistakes).and(None),
    }
}

/// Returns the word `unfiltered`, for messages about it.
fn snapshots(option: &RawOption, mistakes: &mut Mistakes) -> Option<Ident> {
    match (option.word(), &option.value) {
        (Some(word), _) if word == "unfiltered" => Some(option.name.clone()),
        (_, Value::Expr(other)) => option.report_mismatch(other, mistakes),
        _ => option.function(mistakes).and(None),
    }
}

fn keep_alive(option: &RawOption, mistakes: &mut Mistakes) -> Option<KeepAlive> {
    if option.word().is_some_and(|word| word == "off") {
        return Some(KeepAlive::Off);
    }
    option.duration("; write `off` for none", mistakes).map(KeepAlive::Milliseconds)
}

fn origins(option: &RawOption, mistakes: &mut Mistakes) -> Option<Origins> {
    if option.word().is_some_and(|word| word == "any") {
        return Some(Origins::Any);
    }
    let list = option.texts("name an origin, or leave it out to admit pages of the same host", mistakes)?;
    let mut origins = Vec::new();
    for origin in &list {
        match origin::normalize(&origin.value()) {
            Ok(normal) => origins.push(normal),
            Err(message) => mistakes.on(origin, message),
        }
    }
    Some(Origins::List(origins))
}

fn protocols(option: &RawOption, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let list = option.texts("name a protocol, or leave it out to choose none", mistakes)?;
    for protocol in &list {
        if !is_token(&protocol.value()) {
            let message = "a subprotocol has only letters, digits and `-._~!#$%&'*+^|`, like `\"chat.v1\"`";
            mistakes.on(protocol, message);
        }
    }
    Some(list.iter().map(LitStr::value).collect())
}

#[cfg(test)]
mod tests {
    use super::OPTIONS;
    use crate::foreign;

    #[test]
    fn the_other_attribute_knows_every_option() {
        assert_eq!(OPTIONS.map(|(name, ..)| name), foreign::SUBSCRIBER.options);
    }
}
