//! The fields that a subscriber reads from its request, as clients see them. The hook `authorize`
//! answers with their values.

use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

#[derive(Clone, Debug)]
#[allow(dead_code, reason = "only shown")]
struct User(u64);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Buy,
    Sell,
}

#[subscriber(sse, store = Line, authorize = Self::show)]
#[derive(Debug)]
#[allow(dead_code, reason = "only shown")]
struct Feed {
    #[key]
    room: String,
    #[query]
    since: Option<u64>,
    #[query("tag")]
    tags: Option<Vec<String>>,
    #[query]
    side: Option<Side>,
    #[header]
    x_tenant: Option<String>,
    #[cookie]
    session: Option<u64>,
    #[depot]
    user: User,
    #[depot("shard")]
    shard: u8,
}

impl Feed {
    async fn show(&self) -> Result<(), StatusError> {
        std::future::ready(Err(StatusError::conflict().brief(format!("{self:?}")))).await
    }
}

#[subscriber(sse, store = Line, all_keys)]
struct WithoutParam {
    #[param]
    #[allow(dead_code, reason = "never read: the route has no such parameter")]
    nowhere: String,
}

#[subscriber(sse, store = Line, all_keys)]
struct WithoutUser {
    #[depot]
    #[allow(dead_code, reason = "never read: no hoop inserts one")]
    user: User,
}

#[handler]
async fn login(depot: &mut Depot) {
    depot.insert_typed(User(7)).insert("shard", 3_u8);
}

fn app() -> Harness {
    let store = Store::new();
    harness(
        Router::new()
            .push(Router::with_path("rooms/{room}").hoop(login).get(Feed::handler(&store)))
            .push(Router::with_path("lost").get(WithoutParam::handler(&store)))
            .push(Router::with_path("unknown").get(WithoutUser::handler(&store))),
    )
}

#[tornadose_test::test]
async fn every_source_is_read() {
    let app = app();
    app.client("bare").sse("/rooms/1").await;
    app.client("full")
        .header("x-tenant", "acme")
        .header("cookie", "session=9")
        .sse("/rooms/a%20b%2Fc?since=5&tag=x&tag=y+z&side=sell")
        .await;
    app.client("odd").sse("/rooms/%FF%00?tag=%E2%82").await;
    assert_transcript!(app, @r#"
    bare > GET /rooms/1
    bare ~ answer 409 code: 409\n\nname: Conflict\n\nbrief: Feed { room: "1", since: None, tags: None, side: None, x_tenant: None, session: None, user: User(7), shard: 3 }
    full > GET /rooms/a%20b%2Fc?since=5&tag=x&tag=y+z&side=sell
    full ~ answer 409 code: 409\n\nname: Conflict\n\nbrief: Feed { room: "a b/c", since: Some(5), tags: Some(["x", "y z"]), side: Some(Sell), x_tenant: Some("acme"), session: Some(9), user: User(7), shard: 3 }
    odd > GET /rooms/%FF%00?tag=%E2%82
    odd ~ answer 409 code: 409\n\nname: Conflict\n\nbrief: Feed { room: "�\0", since: None, tags: Some(["�"]), side: None, x_tenant: None, session: None, user: User(7), shard: 3 }
    "#);
}

#[tornadose_test::test]
async fn a_field_that_cannot_be_read_is_named() {
    let app = app();
    app.client("number").sse("/rooms/1?since=yesterday").await;
    app.client("twice").sse("/rooms/1?since=1&since=2").await;
    app.client("side").sse("/rooms/1?side=%3Cscript%3E").await;
    app.client("cookie").header("cookie", "session=x").sse("/rooms/1").await;
    app.client("lost").sse("/lost").await;
    assert_transcript!(app, @r"
    number > GET /rooms/1?since=yesterday
    number ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `since`: expected u64
    twice > GET /rooms/1?since=1&since=2
    twice ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `since`: given 2 times, expected one u64
    side > GET /rooms/1?side=%3Cscript%3E
    side ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `side`: expected `buy` or `sell`
    cookie > GET /rooms/1
    cookie ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: cookie `session`: expected u64
    lost > GET /lost
    lost ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: the route has no parameter `{nowhere}`
    ");
    let unknown = app.client("unknown").sse("/unknown").await;
    let reason =
        format!("the depot has no `{}`: no hoop inserted one by `insert_typed`", std::any::type_name::<User>());
    assert_eq!(unknown.status(), 500);
    assert!(unknown.text().contains(&reason), "{}", unknown.text());
}
