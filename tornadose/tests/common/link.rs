//! A backend that passes its link to the test, which then plays the engine.

use std::future::pending;

use tokio::sync::mpsc;
use tornadose::backend::{Backend, BackendLink, IncomingEntry, Ingested, Offset, OpenError};
use tornadose::prelude::*;

#[store(queue, capacity = 4)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
}

#[store(queue)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Market {
    Trade {
        #[key]
        symbol: String,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: u32,
    },
}

/// A backend that only passes its link to the test.
pub(crate) struct LinkBackend(pub(crate) mpsc::UnboundedSender<BackendLink>);

impl Backend for LinkBackend {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        pending().await
    }
}

pub(crate) const EPOCH: &str = "aaaaaaaa";

pub(crate) fn at(seq: u64) -> Offset {
    Offset::new(7, seq)
}

/// Ingests a `Line` with this text at offset `7.<seq>`.
pub(crate) fn ingest(link: &BackendLink, seq: u64, text: &str) -> Ingested {
    let payload = format!(r#"{{"text":"{text}"}}"#);
    link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()))
}

pub(crate) fn entry(payload: &str) -> IncomingEntry<'_> {
    IncomingEntry::new(payload.as_bytes())
}

/// A store that is opened after `load` has ingested the history.
pub(crate) async fn loaded<M>(load: impl FnOnce(&BackendLink)) -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    let (links, mut link) = mpsc::unbounded_channel();
    let opening = tokio::spawn(Store::open(LinkBackend(links)));
    let link = link.recv().await.unwrap();
    load(&link);
    link.caught_up();
    (opening.await.unwrap().unwrap(), link)
}

/// A store that is opened without history.
pub(crate) async fn open_empty<M>() -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    loaded(|link| link.reset(EPOCH.parse().unwrap(), Offset::START)).await
}
