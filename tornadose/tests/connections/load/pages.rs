//! Pages that show a table: they clear it at a reset, and ignore a row that is older than the one they show.

use std::collections::BTreeMap;

use tornadose::prelude::*;
use tornadose_test::{Client, Transport, resume_at_every_byte};

use crate::connections::harness::{harness, secs};
use crate::connections::table::{Change, Seen, Table, change, lists, router};

/// The rows of a page, as a page of a program keeps them.
#[derive(Default)]
struct Page(BTreeMap<u32, u64>);

impl Page {
    async fn read(&mut self, client: &Client) {
        for seen in client.drain::<Seen>().await {
            match seen {
                Seen::Reset {} => self.0.clear(),
                Seen::Row { id, version, .. } => {
                    let shown = self.0.entry(id).or_default();
                    *shown = version.max(*shown);
                }
                Seen::Gap { .. } | Seen::Note { .. } => {}
            }
        }
    }
}

async fn stream_cut_at_every_byte(over: Transport) {
    let lists = || {
        let (store, table) = (Store::new(), Table::default());
        for id in 1..4 {
            table.commit(1, id, 1);
        }
        (router(&store, &table), (store, table))
    };
    // A client that is cut before it has an id is loaded again: what it is loaded does not change.
    let cuts = resume_at_every_byte(lists, "/lists/1", async |(store, _): (Store<Change>, Table)| {
        for version in 2..4 {
            store.submit(Change::Row { list: 1, id: 9, version }).await.unwrap();
        }
    });
    assert!(cuts.over(over).await > 200);
}

#[tornadose_test::test]
async fn a_stream_that_is_cut_at_any_byte_resumes() {
    stream_cut_at_every_byte(Transport::Sse).await;
}

#[tornadose_test::test]
async fn a_websocket_that_is_cut_at_any_byte_resumes() {
    stream_cut_at_every_byte(Transport::Ws).await;
}

/// Opens a page, cuts it inside the block of loaded rows at each byte, and compares what it shows with the table.
async fn cut_in_the_block(over: Transport) {
    for byte in (1..400).step_by(7) {
        let (store, table) = (Store::new(), Table::default());
        let app = harness(router(&store, &table));
        for id in 1..6 {
            table.commit(1, id, 1);
        }
        let mut page = Page::default();
        let client = app.client("page").reconnects().fault(tornadose_test::Cut::at_byte(byte));
        let client = client.open(over, "/lists/1").await;
        page.read(&client).await;
        change(&store, &table, 3, 2).await;
        app.advance(secs(10)).await;
        change(&store, &table, 4, 2).await;
        app.advance(secs(10)).await;
        page.read(&client).await;
        assert_eq!(page.0, BTreeMap::from([(1, 1), (2, 1), (3, 2), (4, 2), (5, 1)]), "cut at {byte}");
    }
}

#[tornadose_test::test]
async fn a_page_that_is_cut_while_it_is_loaded_shows_the_table_after_its_return() {
    cut_in_the_block(Transport::Sse).await;
    cut_in_the_block(Transport::Ws).await;
}

#[tornadose_test::test]
async fn a_page_that_comes_while_rows_change_shows_the_table() {
    let (store, table, app) = lists();
    let mut pages = Vec::new();
    for number in 0..10_u32 {
        table.takes(secs(u64::from(number % 3)));
        let client = app.client(format!("p{number}")).without_waiting().sse("/lists/1").await;
        pages.push((client, Page::default()));
        change(&store, &table, number, 1).await;
        table.commit(1, 50, u64::from(number));
        app.advance(secs(1)).await;
        store.submit(Change::Row { list: 1, id: 50, version: number.into() }).await.unwrap();
    }
    app.advance(secs(40)).await;
    let shown: BTreeMap<u32, u64> = (0..10).map(|id| (id, 1)).chain([(50, 9)]).collect();
    for (client, page) in &mut pages {
        page.read(client).await;
        assert_eq!(page.0, shown);
    }
}
