//! What was written in `#[subscriber(…)]`. The struct and its fields are not known here.

use proc_macro2::{Span, TokenStream};
use syn::{ExprPath, Ident, LitStr, Path, Type};

use super::options::{KeepAlive, Lag, Origins};
use crate::diagnostics::Mistakes;
use crate::origin;
use crate::raw_option::{Options, Value, Written};
use crate::value::{Form, is_token};

/// The arguments; an option that was not written, or wrongly, is `None`.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) sse: bool,
    pub(crate) ws: bool,
    pub(crate) store: Option<Type>,
    pub(crate) all_keys: bool,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) filter: Option<ExprPath>,
    pub(crate) receive: Option<ExprPath>,
    pub(crate) replay: Option<u64>,
    pub(crate) lag: Option<Lag>,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// In milliseconds.
    pub(crate) retry: Option<u64>,
    pub(crate) origins: Option<Origins>,
    pub(crate) max_connections: Option<u64>,
    /// In milliseconds.
    pub(crate) max_age: Option<u64>,
    pub(crate) protocols: Option<Vec<String>>,
    /// In bytes.
    pub(crate) max_message: Option<u64>,
    pub(crate) library: Option<Path>,
}

/// Who may connect.
pub(crate) enum Authorize {
    Public,
    Hook(ExprPath),
    /// Something that cannot be read: it has been told.
    Unreadable,
}

const OPTIONS: Options = Options {
    attribute: "subscriber",
    words: &[
        "sse",
        "ws",
        "store",
        "all_keys",
        "authorize",
        "filter",
        "receive",
        "replay",
        "lag",
        "keep_alive",
        "retry",
        "origins",
        "max_connections",
        "max_age",
        "protocols",
        "max_message",
        "crate",
    ],
    types: &["store"],
};
const STORE: Form = Form { takes: "the type of the messages", like: "`store = Tick`" };
const AUTHORIZE: Form =
    Form { takes: "the path of a function, or the word `public`", like: "`authorize = Self::allowed`" };
const FILTER: Form = Form { takes: "the path of a function", like: "`filter = Self::wanted`" };
const RECEIVE: Form = Form { takes: "the path of a function", like: "`receive = Self::received`" };
const REPLAY: Form = Form { takes: "a number of messages", like: "`replay = 20`" };
const LAG: Form =
    Form { takes: "`skip` (tell of the gap and go on) or `close` (end the connection)", like: "`lag = skip`" };
const KEEP_ALIVE: Form = Form { takes: "a duration in quotes", like: "`\"15s\"` or `\"500ms\"`, or `off`" };
const RETRY: Form = Form { takes: "a duration in quotes", like: "`\"3s\"` or `\"500ms\"`" };
const ORIGINS: Form = Form { takes: "a list", like: "`origins = [\"https://app.example\"]`, or `any`" };
const MAX_CONNECTIONS: Form = Form { takes: "a number of connections", like: "`max_connections = 10_000`" };
const MAX_AGE: Form = Form { takes: "a duration in quotes", like: "`\"10m\"` or `\"1h\"`" };
const PROTOCOLS: Form = Form { takes: "a list", like: "`protocols = [\"v1\"]`" };
const MAX_MESSAGE: Form =
    Form { takes: "a size in quotes: digits and `KiB`, `MiB` or `GiB`", like: "`max_message = \"64KiB\"`" };

impl Args {
    pub(crate) fn read(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self {
        let mut args = Self::default();
        let mut written: Vec<Ident> = Vec::new();
        for option in OPTIONS.read(arguments, mistakes) {
            let known = args.take(&option, mistakes);
            let meant = if known { None } else { OPTIONS.unknown(&option.name, mistakes) };
            let at = option.name.span();
            written.push(meant.map_or(option.name, |meant| Ident::new(meant, at)));
        }
        let named = |word: &str| written.iter().find(|name| *name == word);

        // What was misspelt counts as said: nothing that follows from its lack is told.
        args.sse |= named("sse").is_some();
        args.ws |= named("ws").is_some();
        if named("authorize").is_some() && args.authorize.is_none() {
            args.authorize = Some(Authorize::Unreadable);
        }
        if args.sse || args.ws {
            args.fit_transports(named, mistakes);
        } else {
            let message = "say how to send the messages: `#[subscriber(sse, ...)]` (server-sent events) or \
                           `#[subscriber(ws, ...)]` (WebSocket)";
            mistakes.at(at, message);
        }
        if named("store").is_none() {
            mistakes.at(at, "say which store to subscribe to: `store = ...` with the type of its messages");
        }
        args
    }

    /// Reads one option; `false` when it is none.
    fn take(&mut self, option: &Written, mistakes: &mut Mistakes) -> bool {
        match option.name.to_string().as_str() {
            "sse" => flag(&mut self.sse, option, mistakes),
            "ws" => flag(&mut self.ws, option, mistakes),
            "all_keys" => flag(&mut self.all_keys, option, mistakes),
            "store" => self.store = option.ty(STORE, mistakes),
            "authorize" => self.authorize = Some(authorize(option, mistakes)),
            "filter" => self.filter = option.function(FILTER, mistakes),
            "receive" => self.receive = option.function(RECEIVE, mistakes),
            "replay" => self.replay = option.count(REPLAY, "; leave it out to keep no history", mistakes),
            "lag" => self.lag = lag(option, mistakes),
            "keep_alive" => self.keep_alive = keep_alive(option, mistakes),
            "retry" => self.retry = option.duration(RETRY, "", mistakes),
            "origins" => self.origins = origins(option, mistakes),
            "max_connections" => {
                let why = "; leave it out for any number";
                self.max_connections = option.count(MAX_CONNECTIONS, why, mistakes);
            }
            "max_age" => {
                self.max_age = option.duration(MAX_AGE, "; leave it out to let connections last", mistakes);
            }
            "protocols" => self.protocols = protocols(option, mistakes),
            "max_message" => self.max_message = option.size(MAX_MESSAGE, mistakes),
            "crate" => self.library = option.library(mistakes),
            _ => return false,
        }
        true
    }

    /// That no option belongs to a transport that is not spoken.
    fn fit_transports<'a>(&self, named: impl Fn(&str) -> Option<&'a Ident>, mistakes: &mut Mistakes) {
        if !self.sse
            && let Some(retry) = named("retry")
        {
            mistakes.at(retry.span(), "`retry` is a field of server-sent events; a WebSocket has none");
        }
        if !self.ws {
            for word in ["receive", "max_message"] {
                if let Some(option) = named(word) {
                    let message =
                        format!("server-sent events only go to the client: `{word}` needs `ws` among the transports");
                    mistakes.at(option.span(), message);
                }
            }
            if let Some(option) = named("protocols") {
                let message = "`protocols` are chosen when a WebSocket opens: they need `ws` among the transports";
                mistakes.at(option.span(), message);
            }
        }
    }
}

fn flag(set: &mut bool, option: &Written, mistakes: &mut Mistakes) {
    option.flag(mistakes);
    *set = true;
}

fn authorize(option: &Written, mistakes: &mut Mistakes) -> Authorize {
    if option.word().is_some_and(|word| word == "public") {
        return Authorize::Public;
    }
    option.function(AUTHORIZE, mistakes).map_or(Authorize::Unreadable, Authorize::Hook)
}

fn lag(option: &Written, mistakes: &mut Mistakes) -> Option<Lag> {
    match (option.word(), &option.value) {
        (Some(word), _) if word == "skip" => Some(Lag::Skip),
        (Some(word), _) if word == "close" => Some(Lag::Close),
        (_, Value::Expr(other)) => option.refuse(other, LAG, mistakes),
        _ => option.function(LAG, mistakes).and(None),
    }
}

fn keep_alive(option: &Written, mistakes: &mut Mistakes) -> Option<KeepAlive> {
    if option.word().is_some_and(|word| word == "off") {
        return Some(KeepAlive::Off);
    }
    option.duration(KEEP_ALIVE, "; write `off` for none", mistakes).map(KeepAlive::Milliseconds)
}

fn origins(option: &Written, mistakes: &mut Mistakes) -> Option<Origins> {
    if option.word().is_some_and(|word| word == "any") {
        return Some(Origins::Any);
    }
    let why = "name an origin, or leave it out to admit pages of the same host";
    let list = option.texts(ORIGINS, why, mistakes)?;
    for origin in &list {
        if let Err(message) = origin::check(&origin.value()) {
            mistakes.on(origin, message);
        }
    }
    Some(Origins::List(list.iter().map(LitStr::value).collect()))
}

fn protocols(option: &Written, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let why = "name a protocol, or leave it out to choose none";
    let list = option.texts(PROTOCOLS, why, mistakes)?;
    for protocol in &list {
        if !is_token(&protocol.value()) {
            let message = "a subprotocol is a word of letters, digits and `-._~!#$%&'*+^|`, like `\"chat.v1\"`";
            mistakes.on(protocol, message);
        }
    }
    Some(list.iter().map(LitStr::value).collect())
}
