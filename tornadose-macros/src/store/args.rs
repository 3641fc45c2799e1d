//! What was written in `#[store(…)]`. Structs and enums are not known here.

use proc_macro2::{Ident, Span, TokenStream};
use syn::Path;

use super::retention::Kind;
use crate::diagnostics::Mistakes;
use crate::raw_option::{Options, Written};
use crate::value::Form;

/// The arguments; an option that was not written, or wrongly, is `None`.
pub(crate) struct Args {
    pub(crate) kind: Option<Kind>,
    pub(crate) capacity: Option<(u64, Ident)>,
    pub(crate) memory: Option<u64>,
    pub(crate) channel: Option<String>,
    pub(crate) library: Option<Path>,
}

const OPTIONS: Options =
    Options { attribute: "store", words: &["latest", "queue", "capacity", "memory", "channel", "crate"], types: &[] };
const CAPACITY: Form = Form { takes: "a whole number of messages", like: "`capacity = 1024`" };
const MEMORY: Form = Form { takes: "a size in quotes: digits and `KiB`, `MiB` or `GiB`", like: "`memory = \"64MiB\"`" };
const CHANNEL: Form = Form { takes: "the name of a Redis channel in quotes", like: "`channel = \"ticks\"`" };

impl Args {
    pub(crate) fn read(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self {
        let mut args = Self { kind: None, capacity: None, memory: None, channel: None, library: None };
        let mut kinds = Kinds { said: None, tried: false };
        for option in OPTIONS.read(arguments, mistakes) {
            match option.name.to_string().as_str() {
                "latest" => kinds.say(Kind::Latest, &option, mistakes),
                "queue" => kinds.say(Kind::Queue, &option, mistakes),
                "redis" => kinds.redis(&option, mistakes),
                "capacity" => {
                    args.capacity = option.count(CAPACITY, "", mistakes).map(|count| (count, option.name.clone()));
                }
                "memory" => args.memory = option.size(MEMORY, mistakes),
                "channel" => args.channel = channel(&option, mistakes),
                "crate" => args.library = option.library(mistakes),
                _ => {
                    let meant = OPTIONS.unknown(&option.name, mistakes);
                    kinds.tried |= matches!(meant, Some("latest" | "queue"));
                }
            }
        }
        if kinds.said.is_none() && !kinds.tried {
            let message = "say what the store keeps: `#[store(latest)]` (only the newest value) or `#[store(queue)]` \
                           (every message, in order)";
            mistakes.at(at, message);
        }
        Self { kind: kinds.said, ..args }
    }
}

/// The kind, which must be said once.
struct Kinds {
    said: Option<Kind>,
    /// Whether something wrong was said, so that its lack is not told again.
    tried: bool,
}

impl Kinds {
    fn say(&mut self, kind: Kind, option: &Written, mistakes: &mut Mistakes) {
        option.flag(mistakes);
        if self.said.is_some() {
            let message = "a store is either `latest` or `queue`; to mix them, put `#[latest]` or `#[queue]` on the \
                           variants of an enum";
            mistakes.at(option.name.span(), message);
        }
        self.said = self.said.or(Some(kind));
    }

    fn redis(&mut self, option: &Written, mistakes: &mut Mistakes) {
        let message = "whether a store uses Redis is decided where it is made: `Store::redis(url).await`; here say \
                       `latest` or `queue`";
        mistakes.at(option.name.span(), message);
        self.tried = true;
    }
}

fn channel(option: &Written, mistakes: &mut Mistakes) -> Option<String> {
    let name = option.text(CHANNEL, mistakes)?;
    if name.value().is_empty() {
        mistakes.on(name, "the channel name is empty");
        return None;
    }
    Some(name.value())
}
