use tornadose_test::{Cut, Harness, assert_transcript, resume_at_every_byte};

use super::*;

fn quote(symbol: &str, bid: f64) -> Market {
    Market::Quote { symbol: symbol.into(), bid, ask: bid + 0.5 }
}

fn trade(symbol: &str, price: f64) -> Market {
    Market::Trade { symbol: symbol.into(), price, size: 100, at: 0 }
}

#[tornadose_test::test]
async fn a_slow_reader_gets_every_trade_and_the_newest_quote() {
    let store = Store::new();
    let app = Harness::new(router(&store));
    store.submit(quote("AAPL", 9.0)).await.unwrap();
    let reader = app.sse("/market/AAPL").await;
    // The reader's connection runs only when this test waits, so it finds all of these at once.
    for price in [10.0, 11.0, 12.0] {
        store.try_submit(quote("AAPL", price)).unwrap();
        store.try_submit(trade("AAPL", price)).unwrap();
        store.try_submit(trade("MSFT", price)).unwrap();
    }
    assert_transcript!(reader, @r#"
    AAPL > GET /market/AAPL
    AAPL ~ open 200 text/event-stream
    AAPL < quote #1 {"symbol":"AAPL","bid":9.0,"ask":9.5}
    AAPL < trade #2 {"symbol":"AAPL","price":10.0,"size":100,"at":0}
    AAPL < trade #3 {"symbol":"AAPL","price":11.0,"size":100,"at":0}
    AAPL < quote #4 {"symbol":"AAPL","bid":12.0,"ask":12.5}
    AAPL < trade #5 {"symbol":"AAPL","price":12.0,"size":100,"at":0}
    "#);
}

#[tornadose_test::test]
async fn a_dashboard_shows_only_the_requested_symbols() {
    let store = Store::new();
    let app = Harness::new(router(&store));
    app.client("all").sse("/market").await;
    app.client("two").sse("/market?symbols=AAPL,MSFT").await;
    for symbol in ["AAPL", "TSLA", "MSFT"] {
        store.submit(trade(symbol, 10.0)).await.unwrap();
    }
    assert_transcript!(app, @r#"
    all > GET /market
    all ~ open 200 text/event-stream
    two > GET /market?symbols=AAPL,MSFT
    two ~ open 200 text/event-stream
    all < trade #1 {"symbol":"AAPL","price":10.0,"size":100,"at":0}
    all < trade #2 {"symbol":"TSLA","price":10.0,"size":100,"at":0}
    all < trade #3 {"symbol":"MSFT","price":10.0,"size":100,"at":0}
    two < trade #1 {"symbol":"AAPL","price":10.0,"size":100,"at":0}
    two < trade #3 {"symbol":"MSFT","price":10.0,"size":100,"at":0}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_reconnects_has_every_trade_once_and_the_newest_quote() {
    let store = Store::new();
    let app = Harness::new(router(&store));
    let reader = app.client("reader").fault(Cut::after_event(1)).sse("/market/AAPL").await;
    for price in [1.0, 2.0, 3.0] {
        store.submit(trade("AAPL", price)).await.unwrap();
        store.submit(quote("AAPL", price)).await.unwrap();
    }
    reader.reconnected().await;
    assert_transcript!(reader, @r#"
    reader > GET /market/AAPL
    reader ~ open 200 text/event-stream
    reader < trade #1 {"symbol":"AAPL","price":1.0,"size":100,"at":0}
    reader ! cut after event #1
    after 3s
    reader > GET /market/AAPL last-event-id #1
    reader ~ open 200 text/event-stream
    reader < trade #2 {"symbol":"AAPL","price":2.0,"size":100,"at":0}
    reader < trade #3 {"symbol":"AAPL","price":3.0,"size":100,"at":0}
    reader < quote #4 {"symbol":"AAPL","bid":3.0,"ask":3.5}
    "#);
}

#[tornadose_test::test]
async fn trades_resume_at_every_byte() {
    let new_app = || {
        let store = Store::new();
        (router(&store), store)
    };
    let submit_trades = async |store: Store<Market>| {
        for price in [1.0, 2.0, 3.0] {
            store.submit(trade("AAPL", price)).await.unwrap();
            store.submit(trade("MSFT", price)).await.unwrap();
        }
    };
    resume_at_every_byte(new_app, "/market/AAPL", submit_trades).await;
}

#[tornadose_test::test]
async fn a_symbol_that_is_not_listed_is_not_found() {
    let app = Harness::new(router(&Store::new()));
    app.client("reader").sse("/market/XXXX").await;
    app.client("dashboard").sse("/market?symbols=AAPL,XXXX").await;
    assert_transcript!(app, @r"
    reader > GET /market/XXXX
    reader ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: no such symbol
    dashboard > GET /market?symbols=AAPL,XXXX
    dashboard ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: no such symbol
    ");
}

#[tornadose_test::test]
async fn the_page_watches_the_trades_of_the_chosen_symbol() {
    let store = Store::new();
    let app = Harness::new(router(&store));
    store.submit(trade("AAPL", 1.0)).await.unwrap();
    store.submit(quote("AAPL", 1.0)).await.unwrap();
    app.client("list").sse("/market?trades=false").await;
    let chart = app.client("chart").ws("/trades").await;
    chart.watch("AAPL").await;
    store.submit(trade("MSFT", 2.0)).await.unwrap();
    store.submit(trade("AAPL", 2.0)).await.unwrap();
    chart.unwatch("AAPL").await;
    chart.watch("MSFT").await;
    chart.watch("XXXX").await;
    assert_transcript!(app, @r#"
    list > GET /market?trades=false
    list ~ open 200 text/event-stream
    list < quote #1 {"symbol":"AAPL","bid":1.0,"ask":1.5}
    chart > GET /trades upgrade websocket
    chart ~ open 101
    chart > {"tornadose:watch":["AAPL"]}
    chart < trade at #2 of "AAPL" {"symbol":"AAPL","price":1.0,"size":100,"at":0}
    chart < tornadose:watching {"keys":["AAPL"]}
    chart < trade #3 {"symbol":"AAPL","price":2.0,"size":100,"at":0}
    chart > {"tornadose:unwatch":["AAPL"]}
    chart < tornadose:unwatched {"keys":["AAPL"]}
    chart > {"tornadose:watch":["MSFT"]}
    chart < trade at #4 of "MSFT" {"symbol":"MSFT","price":2.0,"size":100,"at":0}
    chart < tornadose:watching {"keys":["MSFT"]}
    chart > {"tornadose:watch":["XXXX"]}
    chart < tornadose:error {"reason":"no such symbol","key":"XXXX"}
    chart < tornadose:watching {"keys":[]}
    "#);
}

#[test]
fn the_types_of_the_page_are_current() {
    let streams = tornadose::schema()
        .title("Market")
        .route::<Dashboard>("/market")
        .route::<Symbol>("/market/{symbol}")
        .route::<Trades>("/trades");
    streams.typescript().assert_committed("market/tornadose.d.ts");
    streams.asyncapi().assert_committed("market/asyncapi.json");
}
