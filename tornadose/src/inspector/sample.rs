//! One look at a store: its figures, the keys with most readers, and the readers that are furthest behind.

use std::cmp::Reverse;

use crate::inspector::clock::Clock;
use crate::inspector::inspected::Inspected;
use crate::inspector::report::{ConnectionsReport, ReaderRowReport, StoreReport, StoreState, TopKey};
use crate::store::inspect::{KeysOfReader, ReaderRow, StoreFigures};
use crate::store::registry::ReaderId;
use crate::store::registry::inspect::{Place, SeenReader};

/// How many readers are shown, and how many are looked at for that.
const ROWS_MAX: usize = 200;
const READERS_MAX: usize = 16_384;

/// How many keys are shown, and how many are looked at for that.
const TOP_KEYS: usize = 20;
const KEYS_MAX: usize = 65_536;

/// One sample of a store.
pub(super) struct Sample {
    pub(super) store: StoreReport,
    pub(super) connections: ConnectionsReport,
}

/// Looks at a store. Other tasks run between two pages of its readers or keys.
pub(super) async fn sample(index: usize, store: &dyn Inspected, clock: Clock, created_at: u64) -> Sample {
    let (mut seen, mut next) = (Vec::new(), Some(0));
    // Readers that have left leave places behind.
    let readers = store.figures().readers.min(READERS_MAX);
    while let Some(from) = next.filter(|_| seen.len() < readers) {
        let page = store.page_of_readers(from);
        seen.extend(page.items);
        next = page.next;
        tokio::task::yield_now().await;
    }
    let mut is_partial = next.is_some() && seen.len() >= READERS_MAX;
    let behind = seen.iter().filter(|reader| matches!(reader.place, Place::Through(_))).count();
    let shown = furthest_behind(seen);
    let mut of_readers = vec![KeysOfReader::default(); shown.len()];
    let (mut top, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next.filter(|from| *from < KEYS_MAX) {
        let page = store.page_of_keys(from, &shown, &mut of_readers);
        top.extend(page.items);
        top.sort_unstable_by_key(|(key_index, readers)| (Reverse(*readers), *key_index));
        top.truncate(TOP_KEYS);
        next = page.next;
        tokio::task::yield_now().await;
    }
    is_partial |= next.is_some();
    let indexes: Vec<usize> = top.iter().map(|(key_index, _)| *key_index).collect();
    let jsons = store.key_jsons(&indexes);
    let top_keys =
        top.iter().zip(jsons).filter_map(|((_, readers), key)| Some(TopKey { key: key?, readers: *readers }));
    let top_keys = top_keys.collect();
    let figures = store.figures();
    let (mut rows, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let page = store.page_of_rows(from, &shown, &of_readers);
        rows.extend(page.items.into_iter().map(|row| report_of(row, created_at, clock)));
        next = page.next;
        tokio::task::yield_now().await;
    }
    rows.sort_by_key(|row: &ReaderRowReport| (Reverse(row.unread), row.number));
    Sample {
        connections: ConnectionsReport { store: index, readers: figures.readers, rows },
        store: store_report(store.channel(), figures, behind, top_keys, is_partial),
    }
}

/// Returns the readers that are shown, in order of subscription.
fn furthest_behind(mut seen: Vec<SeenReader>) -> Vec<ReaderId> {
    let rank = |reader: &SeenReader| (reader.place, reader.id.number());
    if seen.len() > ROWS_MAX {
        seen.select_nth_unstable_by_key(ROWS_MAX, rank);
        seen.truncate(ROWS_MAX);
    }
    let mut shown: Vec<ReaderId> = seen.into_iter().map(|reader| reader.id).collect();
    shown.sort_unstable_by_key(|id| id.number());
    shown
}

fn report_of(row: ReaderRow, created_at: u64, clock: Clock) -> ReaderRowReport {
    ReaderRowReport {
        number: row.number,
        transport: row.transport,
        opened_at: created_at + u64::from(row.opened_at) * 100,
        keys: row.keys,
        key_count: row.key_count,
        position: row.position,
        unread: row.unread.map(|unread| unread.messages),
        unread_bytes: row.unread.map(|unread| unread.bytes),
        is_more: row.unread.is_some_and(|unread| unread.is_more),
        unread_since: row.unread_since.map(|since| clock.at(since)),
        last_reason: row.last_reason,
    }
}

fn store_report(
    channel: &'static str,
    figures: StoreFigures,
    behind: usize,
    top_keys: Vec<TopKey>,
    is_partial: bool,
) -> StoreReport {
    let StoreFigures { head, kept, bytes, memory, keys, readers, connections, .. } = figures;
    let state = match (figures.is_closed, figures.is_reachable) {
        (true, _) => StoreState::Closed,
        (false, false) => StoreState::Unreachable,
        (false, true) => StoreState::Open,
    };
    StoreReport { channel, head, kept, bytes, memory, keys, readers, connections, behind, state, top_keys, is_partial }
}
