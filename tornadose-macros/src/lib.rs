//! The attributes of `tornadose` and `tornadose-test`. They are documented at their re-exports.
//!
//! An attribute on a type runs `args` (what was written) → `model` (what is checked) → `expand`, or `stub` after a
//! mistake. `attribute` has the steps that both attributes share.

use proc_macro::TokenStream;

mod attribute;
mod store;
mod subscriber;
mod raw_option;
mod value;
mod foreign;
mod schema;
mod literals;
mod origin;
mod helper_words;
mod helper_attrs;
mod rewrite;
mod generics;
mod threads;
mod diagnostics;
mod runtime;
mod spans;
mod test;
#[cfg(test)]
mod expansions;

use crate::store::StoreAttribute;
use crate::subscriber::SubscriberAttribute;

/// Documented at its re-export, `tornadose_test::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(arguments.into(), item.into()).into()
}

// Editors show this text. Rustdoc shows the page of the re-export, to which it would append this.
#[cfg_attr(doc, expect(missing_docs, reason = "the re-export has the page"))]
#[cfg_attr(
    not(doc),
    doc = r#"
Makes a struct or an enum the message of a `Store`.

- `latest`: the store keeps the newest message of each key, and of each variant of an enum.
- `queue`: it keeps every message in order.
- `capacity = 1024`: the number of `queue` messages of each key that are kept.
- `memory = "64MiB"`: the encoded bytes that the whole store keeps.
- `max_key = "1KiB"`: the longest key.
- `ttl = "1h"`: the longest time for which a message of a `queue` store, or a value of a `latest` store, is kept.
- `finish`: `store.finish(&key)` finishes a key.
- `schema`: its events are described, from its `JsonSchema`.
- `channel = "name"`: the channel on which processes publish; the type's name in kebab case.
- `crate = path`: the path of the library.

On a field, `#[key]` routes, and the newest value of each `#[slot]` is kept. On a variant, `#[latest]` and `#[queue]` say
what is kept of it, `#[latest(ttl = "30s")]` also for how long, `#[ephemeral]` that nothing is, `#[finish]` makes it the
last message of its key, a `#[tombstone]` drops the `latest` values of its key or slot, and the `#[snapshot(apply = append)]`
is the sum of other variants, which readers that come late get.

The page: <https://docs.rs/tornadose/latest/tornadose/attr.store.html>
"#
)]
#[proc_macro_attribute]
pub fn store(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::attach::<StoreAttribute>(&arguments.into(), &item.into()).into()
}

// See the comment above.
#[cfg_attr(doc, expect(missing_docs, reason = "the re-export has the page"))]
#[cfg_attr(
    not(doc),
    doc = r#"
Makes a struct the description of one connection, and gives it the function `handler`.

- `sse`, `ws`: Server-Sent Events, WebSocket, or both.
- `store = Type`: the type of the messages.
- `all_keys`: the connection receives every key.
- `authorize = Self::allowed`: `async fn(&self) -> Result<(), StatusError>`, or `public`.
- `filter = Self::wanted`: `fn(&self, &Message) -> bool`.
- `receive = Self::received`: `async fn(&mut self, T, &Store<Message>)`; returns the reply, or `Result<R, E>`.
- `load = Self::stored`: `async fn(&self, &Store<Message>) -> Result<Vec<Message>, StatusError>`: what the log does not have.
- `opened = Self::joined`: `async fn(&mut self, &Store<Message>) -> Result<(), Close>`, before anything is delivered.
- `closed = Self::left`: `async fn(self, &Store<Message>)`, after every end of a connection that was opened.
- `watch = Self::may_watch`: `async fn(&mut self, &Key, &Store<Message>) -> Result<(), E>`, for each key that a client
  watches over WebSocket while it is connected, or `public`. `load` is `async fn(&self, &[Key], &Store<Message>)` then.
- `replay = 20` or `all`: the number of kept messages that a new connection gets first.
- `lag = skip` or `close`: what a connection that was too slow gets.
- `snapshots = unfiltered`: a connection with a `filter` gets snapshots too.
- `keep_alive = "15s"` or `off`; `retry = "3s"`; `max_age = "10m"`.
- `origins = ["https://app.example"]` or `any`; `max_connections = 10_000`; `max_keys = 256`; `max_loads = 16`.
- `protocols = ["v1"]`; `max_message = "64KiB"`; `throttle = "500ms"`.
- `schema`: the stream is described, in documents and types.
- `crate = path`: the path of the library.

On fields: `#[key]`, `#[keys(name)]`, `#[param]`, `#[query]`, `#[header]`, `#[cookie]`, `#[depot]`, `#[ticket]`,
`#[state]`, `#[connection]`, `#[store_handle]`.

The page: <https://docs.rs/tornadose/latest/tornadose/attr.subscriber.html>
"#
)]
#[proc_macro_attribute]
pub fn subscriber(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::attach::<SubscriberAttribute>(&arguments.into(), &item.into()).into()
}

/// The private derive of `#[store]`.
#[proc_macro_derive(
    __Store,
    attributes(__store, tornadose, key, slot, latest, queue, ephemeral, tombstone, finish, snapshot)
)]
pub fn derive_store(item: TokenStream) -> TokenStream {
    attribute::derive::<StoreAttribute>(item.into()).into()
}

/// The private derive of `#[subscriber]`.
#[proc_macro_derive(
    __Subscriber,
    attributes(
        __subscriber,
        __unknown,
        tornadose,
        serde,
        key,
        keys,
        param,
        query,
        header,
        cookie,
        depot,
        ticket,
        state,
        connection,
        store_handle
    )
)]
pub fn derive_subscriber(item: TokenStream) -> TokenStream {
    attribute::derive::<SubscriberAttribute>(item.into()).into()
}

#[cfg(test)]
mod tests {
    use crate::foreign;
    use crate::helper_words;

    #[test]
    fn the_derives_have_every_word() {
        let source: String = include_str!("lib.rs").split_whitespace().collect();
        for words in [helper_words::STORE, helper_words::SUBSCRIBER] {
            assert!(source.contains(&format!(",{})", words.join(","))), "{words:?}");
        }
    }

    #[test]
    fn an_editor_shows_every_option() {
        let source = include_str!("lib.rs");
        for name in foreign::STORE.options.iter().chain(foreign::SUBSCRIBER.options) {
            assert!(source.contains(&format!("`{name}")), "{name}");
        }
    }
}
