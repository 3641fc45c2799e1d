//! Names that are keywords.
#![deny(warnings, missing_docs)]
#![allow(non_camel_case_types)]

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct r#match {
    #[key]
    r#type: String,
    r#fn: u8,
}

#[store(queue)]
#[derive(Serialize)]
enum Event {
    r#Self_ {
        #[key]
        r#type: String,
    },
    #[latest]
    r#loop {
        #[key]
        r#type: String,
    },
}

#[subscriber(sse, ws, store = r#match, authorize = Self::r#try, filter = Self::r#if, receive = Self::r#else)]
struct r#while {
    #[key]
    r#type: String,
    #[query]
    r#fn: Option<u8>,
    #[header]
    r#in: Option<String>,
}

#[subscriber(sse, store = r#match, authorize = public)]
struct r#for {
    #[keys(r#type)]
    #[query]
    r#dyn: Option<std::collections::HashSet<String>>,
}

impl r#while {
    async fn r#try(&mut self) -> Result<(), StatusError> {
        self.r#in.take().map_or(Ok(()), |_| Err(StatusError::forbidden()))
    }
    fn r#if(&self, message: &r#match) -> bool {
        self.r#fn.is_none_or(|wanted| wanted == message.r#fn)
    }
    async fn r#else(&self, r#type: String, _: &Store<r#match>) {
        drop(r#type);
    }
}

/// Builds the handler.
pub fn main() {
    let _handler = r#while::handler(&Store::new());
    let _handler = r#for::handler(&Store::new());
    assert_eq!(r#for::KEYS_FROM, Some("query parameter `dyn`"));
    let message = r#match { r#type: "a".into(), r#fn: 1 };
    assert_eq!(message.key(), matchKey { r#type: "a".into() });
    assert_eq!((r#match::CHANNEL, Event::CHANNEL), ("match", "event"));
    let event = Event::r#Self_ { r#type: "a".into() };
    assert_ne!(event.key(), Event::r#loop { r#type: "b".into() }.key());
    assert_eq!(event.retention(), tornadose::Retention::Queue);
}
