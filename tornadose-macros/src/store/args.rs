//! The arguments of `#[store(…)]`, as they were written. It does not look at the item.

use proc_macro2::{Ident, Span, TokenStream};
use syn::Path;

use super::retention::{Retention, RetentionOption, TTL};
use crate::diagnostics::Mistakes;
use crate::foreign;
use crate::literals::Count;
use crate::raw_option::{Expected, OptionParser, RawOption, expected};
use crate::schema;

/// The arguments. An option that is absent or wrong is `None`.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) retention: Option<Retention>,
    /// The capacity, and the word `capacity` for messages about it.
    pub(crate) capacity: Option<(Count, Ident)>,
    /// In bytes.
    pub(crate) memory: Option<u64>,
    /// In bytes.
    pub(crate) max_key: Option<u64>,
    /// How long messages of the store's retention are kept, in milliseconds, and the word `ttl` for messages about it.
    pub(crate) ttl: Option<(u64, Ident)>,
    pub(crate) channel: Option<String>,
    /// Whether keys can be finished without a variant that does.
    pub(crate) finish: bool,
    /// Whether its events are described.
    pub(crate) schema: bool,
    pub(crate) library: Option<Path>,
}

/// Each option and what it takes, in the order in which messages list them.
const OPTIONS: [(&str, Expected); 10] = [
    ("latest", Expected::FLAG),
    ("queue", Expected::FLAG),
    ("capacity", expected("a whole number of messages or the path of a constant", "`capacity = 1024`")),
    ("memory", expected("a size in quotes: digits and `KiB`, `MiB` or `GiB`", "`memory = \"64MiB\"`")),
    ("max_key", expected("a size in quotes: digits and `KiB`, `MiB` or `GiB`", "`max_key = \"1KiB\"`")),
    ("ttl", TTL),
    ("channel", expected("a name in quotes", "`channel = \"ticks\"`")),
    ("finish", Expected::FLAG),
    ("schema", Expected::FLAG),
    ("crate", Expected::LIBRARY),
];

impl Args {
    pub(crate) fn read(arguments: TokenStream, at: Span, mistakes: &mut Mistakes) -> Self {
        let parser = OptionParser {
            attribute: "store",
            options: OPTIONS.to_vec(),
            type_option: None,
            other: foreign::SUBSCRIBER,
        };
        let mut args = Self::default();
        let mut retention = RetentionOption::default();
        let parsed = parser.parse(arguments, mistakes);
        retention.reported |= parsed.has_syntax_error;
        let given: Vec<String> = parsed.options.iter().map(|option| option.name.to_string()).collect();
        for option in parsed.options {
            match option.name.to_string().as_str() {
                "latest" => retention.set(Retention::Latest, &option, mistakes),
                "queue" => retention.set(Retention::Queue, &option, mistakes),
                "redis" => retention.report_redis(&option, mistakes),
                "ephemeral" => retention.report_ephemeral(&option, mistakes),
                "capacity" => {
                    args.capacity = option.count("", mistakes).map(|count| (count, option.name.clone()));
                }
                "memory" => args.memory = option.size(mistakes),
                "max_key" => args.max_key = option.size(mistakes),
                "ttl" => {
                    let ttl = option.duration("; leave it out to keep messages", mistakes);
                    args.ttl = ttl.map(|ttl| (ttl, option.name.clone()));
                }
                "channel" => args.channel = channel(&option, mistakes),
                "finish" => {
                    option.flag(mistakes);
                    args.finish = true;
                }
                "schema" => args.schema = schema::read(&option, mistakes),
                "crate" => args.library = option.library(mistakes),
                _ => {
                    let suggestions = parser.report_unknown(&option.name, &given, mistakes);
                    retention.reported |=
                        suggestions.is_none_or(|words| words.iter().any(|word| ["latest", "queue"].contains(word)));
                }
            }
        }
        if retention.retention.is_none() && !retention.reported {
            let message = "`#[store]` needs to know what to keep: write `#[store(latest)]` (only the newest value) or \
                           `#[store(queue)]` (every message, in order)";
            mistakes.at(at, message);
        }
        Self { retention: retention.retention, ..args }
    }
}

fn channel(option: &RawOption, mistakes: &mut Mistakes) -> Option<String> {
    let name = option.text(mistakes)?;
    if name.value().is_empty() {
        mistakes.on(name, "the channel name is empty; leave `channel` out to name it after the type");
        return None;
    }
    Some(name.value())
}

#[cfg(test)]
mod tests {
    use super::OPTIONS;
    use crate::foreign;

    #[test]
    fn the_other_attribute_knows_every_option() {
        assert_eq!(OPTIONS.map(|(name, _)| name), foreign::STORE.options);
    }
}
