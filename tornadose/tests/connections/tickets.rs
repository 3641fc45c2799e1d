//! Tickets: a page without cookies shows one to open a stream.

use salvo::http::header::WWW_AUTHENTICATE;
use tornadose::Tickets;
use tornadose::prelude::*;
use tornadose_test::{Harness, Transport, assert_transcript};

use super::harness::{harness, secs};
use super::log::CapturedLog;

const SECRET: &str = "the secret of all processes, new";
const OLD_SECRET: &str = "the secret of all processes, old";

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct UserId(u64);

#[store(queue)]
#[derive(Serialize)]
struct Notification {
    #[key]
    user: UserId,
    title: String,
}

#[subscriber(sse, ws, store = Notification)]
struct Inbox {
    #[key]
    #[ticket]
    user: UserId,
}

/// Knows each user by a header, as a middleware knows one by `Authorization`.
#[handler]
async fn login(request: &Request, depot: &mut Depot) {
    if let Some(user) = request.header("x-user") {
        depot.insert_typed(UserId(user));
    }
}

fn tickets(secrets: &[&str]) -> Tickets<UserId> {
    Tickets::new(secrets).unwrap()
}

fn serve(tickets: &Tickets<UserId>) -> (Store<Notification>, Harness) {
    let store = Store::new();
    let inbox = || Inbox::handler(&store).tickets(tickets);
    let router = Router::new()
        .push(Router::with_path("ticket").hoop(login).goal(tickets.issue()))
        .push(Router::with_path("inbox").goal(inbox()))
        .push(Router::with_path("users/{name}").get(inbox()));
    (store.clone(), harness(router))
}

async fn notify(store: &Store<Notification>, user: u64, title: &str) {
    store.submit(Notification { user: UserId(user), title: title.into() }).await.unwrap();
}

#[tornadose_test::test]
async fn a_page_asks_for_a_ticket_and_opens_a_stream_with_it() {
    let (store, app) = serve(&tickets(&[SECRET]));
    let ticket = app.client("page").header("x-user", "7").post("/ticket", "/inbox").await;
    assert_eq!(ticket.headers()["cache-control"], "no-store");
    let path = format!("/inbox?ticket={}", ticket.text());
    let page = app.client("page").reconnects().sse(&path).await;
    let _ws = app.client("ws").ws(&path).await;
    notify(&store, 7, "hi").await;
    notify(&store, 8, "of another").await;
    // It is good any number of times: an `EventSource` returns by itself with the query that it had.
    page.cut().await;
    notify(&store, 7, "while away").await;
    page.reconnected().await;
    assert_transcript!(app, @r#"
    page > POST /ticket
    page ~ answer 200 [ticket-1]
    page > GET /inbox?ticket=[ticket-1]
    page ~ open 200 text/event-stream
    ws > GET /inbox?ticket=[ticket-1] upgrade websocket
    ws ~ open 101
    page < message #1 {"user":7,"title":"hi"}
    ws < message #1 {"user":7,"title":"hi"}
    page ! cut
    ws < message #2 {"user":7,"title":"while away"}
    after 3s
    page > GET /inbox?ticket=[ticket-1] last-event-id #1
    page ~ open 200 text/event-stream
    page < message #2 {"user":7,"title":"while away"}
    "#);
}

#[tornadose_test::test]
async fn a_ticket_that_is_not_good_is_refused() {
    let tickets = tickets(&[SECRET]);
    let other = self::tickets(&[OLD_SECRET]);
    let (_store, app) = serve(&tickets);
    let good = tickets.sign(&UserId(7), "/inbox").unwrap();
    let expired = good.clone();
    let of_another_path = tickets.sign(&UserId(7), "/users/ada").unwrap();
    let of_another_secret = other.sign(&UserId(7), "/inbox").unwrap();
    let (end, rest) = good.split_once('.').unwrap();
    let later = format!("{}.{rest}", end.parse::<u64>().unwrap() + 1000);
    let refused = async |name: &str, query: &str| {
        for over in [Transport::Sse, Transport::Ws] {
            let client = app.client(name).once().lenient().open(over, format!("/inbox{query}")).await;
            assert_eq!(
                (client.status(), &client.headers()[WWW_AUTHENTICATE]),
                (401, &"Ticket".parse().unwrap()),
                "{name}"
            );
        }
    };
    refused("none", "").await;
    refused("empty", "?ticket=").await;
    refused("forged", "?ticket=1999999999999.Nw.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    refused("of another path", &format!("?ticket={of_another_path}")).await;
    refused("of another secret", &format!("?ticket={of_another_secret}")).await;
    refused("with a later end", &format!("?ticket={later}")).await;
    refused("long", &format!("?ticket={}", "x".repeat(5000))).await;
    refused("given twice", &format!("?ticket={good}&ticket={good}")).await;
    let before = app.client("before").once().lenient().sse(format!("/inbox?ticket={good}")).await;
    assert_eq!(before.status(), 200);
    before.close().await;
    app.advance(secs(61)).await;
    refused("expired", &format!("?ticket={expired}")).await;
}

#[tornadose_test::test]
async fn a_stream_that_is_open_outlives_its_ticket() {
    let tickets = tickets(&[SECRET]);
    let (store, app) = serve(&tickets);
    let ticket = tickets.sign(&UserId(7), "/inbox").unwrap();
    let page = app.client("page").lenient().sse(format!("/inbox?ticket={ticket}")).await;
    app.advance(secs(61)).await;
    assert!(tickets.verify(&ticket, "/inbox").is_err());
    notify(&store, 7, "later").await;
    page.next_containing(serde_json::json!({ "title": "later" })).await;
}

#[tornadose_test::test]
async fn a_path_with_parameters_has_tickets_of_its_own() {
    let tickets = tickets(&[SECRET]);
    let (_store, app) = serve(&tickets);
    let ticket = tickets.sign(&UserId(7), "/users/ada%20b").unwrap();
    let status = async |path: &str| {
        let client = app.client(path).once().lenient().sse(format!("{path}?x=1&ticket={ticket}")).await;
        client.close().await;
        client.status()
    };
    assert_eq!((status("/users/ada%20b").await, status("/users/bob").await), (200, 401));
}

#[tornadose_test::test]
async fn a_ticket_is_issued_only_to_a_logged_in_user() {
    let (_store, app) = serve(&tickets(&[SECRET]));
    let asks = async |user: &str, body: &str| app.client("page").header("x-user", user).post("/ticket", body).await;
    assert_eq!(asks("not a number", "/inbox").await.status(), 401);
    for odd in ["", "inbox", "https://elsewhere/inbox", "/inbox?x", "/inbox#x", &format!("/{}", "x".repeat(2048))] {
        let refused = asks("7", odd).await;
        assert_eq!(refused.status(), 400, "{odd}");
        assert_eq!(refused.headers()["cache-control"], "no-store");
    }
    let get = app.client("page").header("x-user", "7").get("/ticket").await;
    assert_eq!((get.status(), &get.headers()["allow"]), (405, &"POST".parse().unwrap()));
}

#[tornadose_test::test]
async fn processes_with_the_new_and_the_old_secret_take_both() {
    let (old, both) = (tickets(&[OLD_SECRET]), tickets(&[SECRET, OLD_SECRET]));
    let (_store, app) = serve(&both);
    for (name, tickets) in [("old", &old), ("new", &tickets(&[SECRET])), ("both", &both)] {
        let ticket = tickets.sign(&UserId(7), "/inbox").unwrap();
        let client = app.client(name).once().lenient().sse(format!("/inbox?ticket={ticket}")).await;
        assert_eq!(client.status(), 200, "{name}");
        client.close().await;
    }
}

#[tornadose_test::test]
async fn nothing_of_a_ticket_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let tickets = tickets(&[SECRET]);
    let (store, app) = serve(&tickets);
    let good = app.client("page").header("x-user", "7").post("/ticket", "/inbox").await.text();
    let client = app.client("good").once().lenient().sse(format!("/inbox?ticket={good}")).await;
    notify(&store, 7, "hi").await;
    client.close().await;
    let of_another_path = tickets.sign(&UserId(7), "/elsewhere").unwrap();
    for ticket in [&of_another_path, "forged", ""] {
        app.client("bad").once().lenient().ws(format!("/inbox?ticket={ticket}")).await;
    }
    let lines = log.take().join("\n");
    assert!(lines.contains("ticket refused: reason=\"invalid\"") && lines.contains("connection closed"), "{lines}");
    for part in [good.as_str(), &of_another_path, "forged", "?ticket"] {
        let signature = part.rsplit('.').next().unwrap();
        assert!(!lines.contains(part) && !lines.contains(signature), "{part} in {lines}");
    }
}

#[tornadose_test::test]
async fn a_field_whose_handler_has_no_tickets_of_its_type_is_an_error_of_the_server() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::<Notification>::new();
    let others = Tickets::<String>::new([SECRET]).unwrap();
    let router = Router::new()
        .push(Router::with_path("none").get(Inbox::handler(&store)))
        .push(Router::with_path("others").get(Inbox::handler(&store).tickets(&others)));
    let app = harness(router);
    let ticket = others.sign(&"7".to_owned(), "/others").unwrap();
    for path in ["/none".to_owned(), format!("/others?ticket={ticket}")] {
        assert_eq!(app.client(&path).once().lenient().sse(&path).await.status(), 500);
    }
    let lines = log.take();
    assert_eq!(lines.iter().filter(|line| line.contains("ticket value missing")).count(), 2, "{lines:?}");
}

#[cfg(feature = "metrics")]
#[tornadose_test::test]
async fn tickets_are_counted() {
    use super::counters::Counts;

    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let tickets = tickets(&[SECRET]);
    let (_store, app) = serve(&tickets);
    let good = app.client("page").header("x-user", "7").post("/ticket", "/inbox").await.text();
    for (name, query) in
        [("good", format!("?ticket={good}")), ("forged", "?ticket=forged".into()), ("none", String::new())]
    {
        app.client(name).once().lenient().sse(format!("/inbox{query}")).await.close().await;
    }
    app.advance(secs(61)).await;
    app.client("late").once().lenient().sse(format!("/inbox?ticket={good}")).await;
    let lines = counts.lines();
    let tickets: Vec<&str> = lines.lines().filter(|line| line.contains("tickets")).collect();
    insta::assert_snapshot!(tickets.join("\n"), @"
    tornadose_tickets_total outcome=accepted: 1
    tornadose_tickets_total outcome=expired: 1
    tornadose_tickets_total outcome=invalid: 1
    tornadose_tickets_total outcome=issued: 1
    tornadose_tickets_total outcome=missing: 1
    ");
}
