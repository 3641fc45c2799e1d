use tornadose::simulation::{Engine, Process};
use tornadose_test::{Harness, WsClient, assert_transcript};

use super::*;

#[derive(Serialize)]
struct Say {
    r#type: &'static str,
    text: &'static str,
}

const HI: &str = r#"{"type":"say","text":"hi"}"#;

fn app() -> Harness {
    Harness::new(router(&Store::new()))
}

async fn enter(app: &Harness, room: &str, user: &str) -> WsClient {
    app.client(user).ws(format!("/rooms/{room}?user={user}")).await
}

#[tornadose_test::test]
async fn two_in_a_room_see_each_other_and_a_third_sees_the_history() {
    let app = app();
    let _ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "rust", "bob").await;
    bob.send_text(HI).await;
    enter(&app, "rust", "eve").await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    bob > GET /rooms/rust?user=bob upgrade websocket
    ada < joined #3 {"room":"rust","user":"bob"}
    ada < member #4 {"room":"rust","user":"bob"}
    bob ~ open 101
    bob < joined #1 {"room":"rust","user":"ada"}
    bob < member #2 {"room":"rust","user":"ada"}
    bob < joined #3 {"room":"rust","user":"bob"}
    bob < member #4 {"room":"rust","user":"bob"}
    bob > {"type":"say","text":"hi"}
    ada < said #5 {"room":"rust","user":"bob","text":"hi"}
    bob < said #5 {"room":"rust","user":"bob","text":"hi"}
    eve > GET /rooms/rust?user=eve upgrade websocket
    ada < joined #6 {"room":"rust","user":"eve"}
    ada < member #7 {"room":"rust","user":"eve"}
    bob < joined #6 {"room":"rust","user":"eve"}
    bob < member #7 {"room":"rust","user":"eve"}
    eve ~ open 101
    eve < joined #1 {"room":"rust","user":"ada"}
    eve < member #2 {"room":"rust","user":"ada"}
    eve < joined #3 {"room":"rust","user":"bob"}
    eve < member #4 {"room":"rust","user":"bob"}
    eve < said #5 {"room":"rust","user":"bob","text":"hi"}
    eve < joined #6 {"room":"rust","user":"eve"}
    eve < member #7 {"room":"rust","user":"eve"}
    "#);
}

#[tornadose_test::test]
async fn who_asks_learns_the_id_of_the_event_before_it_comes() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "rust", "bob").await;
    bob.skip(4).await;
    let id: String = ada.ask(&Say { r#type: "say", text: "hi" }).await;
    assert_eq!(bob.next_event().await.id, Some(id));
    assert_eq!(ada.send_ask(&Say { r#type: "say", text: " " }).await.error().await, "there is nothing to say");
    assert_transcript!(ada, @r##"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    ada < joined #3 {"room":"rust","user":"bob"}
    ada < member #4 {"room":"rust","user":"bob"}
    ada > ask 1 {"type":"say","text":"hi"}
    ada < tornadose:reply 1 "#5"
    ada < said #5 {"room":"rust","user":"ada","text":"hi"}
    ada > ask 2 {"type":"say","text":" "}
    ada < tornadose:error 2 {"reason":"there is nothing to say"}
    "##);
}

#[tornadose_test::test]
async fn rooms_are_separate() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "go", "bob").await;
    bob.skip(2).await;
    ada.send_text(HI).await;
    bob.quiet().await;
    bob.send_text(HI).await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    bob > GET /rooms/go?user=bob upgrade websocket
    bob ~ open 101
    bob < joined #3 {"room":"go","user":"bob"}
    bob < member #4 {"room":"go","user":"bob"}
    ada > {"type":"say","text":"hi"}
    ada < said #5 {"room":"rust","user":"ada","text":"hi"}
    bob > {"type":"say","text":"hi"}
    bob < said #6 {"room":"go","user":"bob","text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_reconnects_misses_nothing() {
    let app = app();
    let ada = app.client("ada").reconnects().ws("/rooms/rust?user=ada").await;
    let bob = app.client("bob").lenient().ws("/rooms/rust?user=bob").await;
    bob.send_text(r#"{"type":"say","text":"seen"}"#).await;
    ada.cut().await;
    bob.send_text(r#"{"type":"say","text":"missed"}"#).await;
    ada.reconnected().await;
    assert_transcript!(app, only(["ada"]), @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    ada < joined #3 {"room":"rust","user":"bob"}
    ada < member #4 {"room":"rust","user":"bob"}
    ada < said #5 {"room":"rust","user":"bob","text":"seen"}
    ada ! cut
    after 3s
    ada > GET /rooms/rust?user=ada&last_event_id=#5 upgrade websocket
    ada ~ open 101
    ada < said #6 {"room":"rust","user":"bob","text":"missed"}
    ada < member #7 {"room":"rust","user":"bob"}
    ada < member #8 {"room":"rust","user":"ada"}
    "#);
}

#[tornadose_test::test]
async fn only_root_enters_staff_and_a_name_is_required() {
    let app = app();
    enter(&app, "staff", "ada").await;
    enter(&app, "staff", "root").await;
    app.client("nobody").ws("/rooms/rust").await;
    app.client("empty").ws("/rooms/rust?user=").await;
    app.client("reader").sse("/rooms/rust?user=ada").await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/staff?user=ada upgrade websocket
    ada ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: `staff` is for `root` only
    root > GET /rooms/staff?user=root upgrade websocket
    root ~ open 101
    root < joined #1 {"room":"staff","user":"root"}
    root < member #2 {"room":"staff","user":"root"}
    nobody > GET /rooms/rust upgrade websocket
    nobody ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `user`: missing, expected text
    empty > GET /rooms/rust?user= upgrade websocket
    empty ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: say who you are: `?user=ada`
    reader > GET /rooms/rust?user=ada
    reader ~ answer 426 code: 426\n\nname: Upgrade Required\n\nbrief: this stream is a WebSocket: connect with `ws:` or `wss:`
    "#);
}

#[tornadose_test::test]
async fn an_invalid_message_is_reported_to_its_sender_who_stays_connected() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    ada.send_text("hello?").await;
    ada.send_text(r#"{"type":"say","text":" "}"#).await;
    ada.send_text(HI).await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    ada > "hello?"
    ada < tornadose:error {"reason":"expected value at line 1 column 1"}
    ada > {"type":"say","text":" "}
    ada < tornadose:error {"reason":"there is nothing to say"}
    ada > {"type":"say","text":"hi"}
    ada < said #3 {"room":"rust","user":"ada","text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn a_room_goes_on_over_three_processes_while_one_of_them_is_cut_off() {
    let engine = Engine::new(7);
    let processes = ["one", "two", "three"].map(|name| engine.process(name));
    let mut service = Router::new();
    for process in &processes {
        let store = Store::open(process.backend()).await.unwrap();
        service = service.push(Router::with_path(process.name()).push(router(&store)));
    }
    let app = Harness::new(service);
    let [ada, bob, eve] = [("ada", "one"), ("bob", "two"), ("eve", "three")]
        .map(|(user, process)| app.client(user).ws(format!("/{process}/rooms/rust?user={user}")));
    let (ada, bob, _eve) = (ada.await, bob.await, eve.await);
    ada.send_text(HI).await;
    processes[1].disconnect();
    ada.send_text(r#"{"type":"say","text":"is anybody there?"}"#).await;
    bob.send_text(r#"{"type":"say","text":"yes"}"#).await;
    app.advance(Duration::from_secs(3)).await;
    processes[1].reconnect();
    bob.send_text(r#"{"type":"say","text":"now I am"}"#).await;
    assert_transcript!(app, @r#"
    ada > GET /one/rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < joined #1 {"room":"rust","user":"ada"}
    ada < member #2 {"room":"rust","user":"ada"}
    bob > GET /two/rooms/rust?user=bob upgrade websocket
    ada < joined #3 {"room":"rust","user":"bob"}
    ada < member #4 {"room":"rust","user":"bob"}
    bob ~ open 101
    bob < joined #1 {"room":"rust","user":"ada"}
    bob < member #2 {"room":"rust","user":"ada"}
    bob < joined #3 {"room":"rust","user":"bob"}
    bob < member #4 {"room":"rust","user":"bob"}
    eve > GET /three/rooms/rust?user=eve upgrade websocket
    ada < joined #5 {"room":"rust","user":"eve"}
    ada < member #6 {"room":"rust","user":"eve"}
    bob < joined #5 {"room":"rust","user":"eve"}
    bob < member #6 {"room":"rust","user":"eve"}
    eve ~ open 101
    eve < joined #1 {"room":"rust","user":"ada"}
    eve < member #2 {"room":"rust","user":"ada"}
    eve < joined #3 {"room":"rust","user":"bob"}
    eve < member #4 {"room":"rust","user":"bob"}
    eve < joined #5 {"room":"rust","user":"eve"}
    eve < member #6 {"room":"rust","user":"eve"}
    ada > {"type":"say","text":"hi"}
    ada < said #7 {"room":"rust","user":"ada","text":"hi"}
    bob < said #7 {"room":"rust","user":"ada","text":"hi"}
    eve < said #7 {"room":"rust","user":"ada","text":"hi"}
    ada > {"type":"say","text":"is anybody there?"}
    ada < said #8 {"room":"rust","user":"ada","text":"is anybody there?"}
    eve < said #8 {"room":"rust","user":"ada","text":"is anybody there?"}
    bob > {"type":"say","text":"yes"}
    after 3s
    ada < member #9 {"room":"rust","user":"ada"}
    ada < member #10 {"room":"rust","user":"eve"}
    bob < tornadose:error {"reason":"the message was not sent: the backend is unreachable, or too many messages wait for it"}
    eve < member #9 {"room":"rust","user":"ada"}
    eve < member #10 {"room":"rust","user":"eve"}
    ada < member #11 {"room":"rust","user":"bob"}
    bob < said #8 {"room":"rust","user":"ada","text":"is anybody there?"}
    bob < member #9 {"room":"rust","user":"ada"}
    bob < member #10 {"room":"rust","user":"eve"}
    bob < member #11 {"room":"rust","user":"bob"}
    eve < member #11 {"room":"rust","user":"bob"}
    bob > {"type":"say","text":"now I am"}
    ada < said #12 {"room":"rust","user":"bob","text":"now I am"}
    bob < said #12 {"room":"rust","user":"bob","text":"now I am"}
    eve < said #12 {"room":"rust","user":"bob","text":"now I am"}
    "#);
}

#[tornadose_test::test]
async fn who_is_there_sees_who_types_and_nobody_else_does() {
    let app = app();
    let ada = app.client("ada").lenient().ws("/rooms/rust?user=ada").await;
    let _bob = enter(&app, "rust", "bob").await;
    ada.send_text(r#"{"type":"typing"}"#).await;
    let _eve = enter(&app, "rust", "eve").await;
    assert_transcript!(app, only(["bob", "eve"]), @r#"
    bob > GET /rooms/rust?user=bob upgrade websocket
    bob ~ open 101
    bob < joined #1 {"room":"rust","user":"ada"}
    bob < member #2 {"room":"rust","user":"ada"}
    bob < joined #3 {"room":"rust","user":"bob"}
    bob < member #4 {"room":"rust","user":"bob"}
    bob < typing {"room":"rust","user":"ada"}
    eve > GET /rooms/rust?user=eve upgrade websocket
    bob < joined #5 {"room":"rust","user":"eve"}
    bob < member #6 {"room":"rust","user":"eve"}
    eve ~ open 101
    eve < joined #1 {"room":"rust","user":"ada"}
    eve < member #2 {"room":"rust","user":"ada"}
    eve < joined #3 {"room":"rust","user":"bob"}
    eve < member #4 {"room":"rust","user":"bob"}
    eve < joined #5 {"room":"rust","user":"eve"}
    eve < member #6 {"room":"rust","user":"eve"}
    "#);
}

#[tornadose_test::test]
async fn a_user_leaves_who_does_not_return_within_ten_seconds() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = app.client("bob").lenient().reconnects().ws("/rooms/rust?user=bob").await;
    bob.cut().await;
    bob.reconnected().await;
    app.advance(Duration::from_secs(20)).await;
    bob.close().await;
    app.advance(Duration::from_secs(9)).await;
    assert_eq!(left(&ada).await, [""; 0]);
    app.advance(Duration::from_secs(2)).await;
    assert_eq!(left(&ada).await, ["bob"]);
}

#[tornadose_test::test]
async fn a_user_with_two_tabs_leaves_with_the_last() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let tabs = ["one", "two"].map(|tab| app.client(tab).lenient().ws("/rooms/rust?user=bob"));
    let [one, two] = tabs;
    let (one, two) = (one.await, two.await);
    one.close().await;
    app.advance(Duration::from_secs(30)).await;
    assert_eq!(left(&ada).await, [""; 0]);
    two.close().await;
    app.advance(Duration::from_secs(11)).await;
    assert_eq!(left(&ada).await, ["bob"]);
}

/// Two processes with a room in each, as `/one` and `/two`.
async fn two_processes(engine: &Engine) -> (Harness, [Process; 2], [Store<RoomEvent>; 2]) {
    let processes = ["one", "two"].map(|name| engine.process(name));
    let stores =
        [Store::open(processes[0].backend()).await.unwrap(), Store::open(processes[1].backend()).await.unwrap()];
    let mut service = Router::new();
    for (process, store) in processes.iter().zip(&stores) {
        service = service.push(Router::with_path(process.name()).push(router(store)));
    }
    (Harness::new(service), processes, stores)
}

#[tornadose_test::test]
async fn when_a_process_is_killed_those_leave_who_do_not_come_to_another() {
    let engine = Engine::new(7);
    let (app, processes, _stores) = two_processes(&engine).await;
    let ada = app.client("ada").ws("/one/rooms/rust?user=ada").await;
    let [bob, eve] = ["bob", "eve"].map(|user| app.client(user).lenient().ws(format!("/two/rooms/rust?user={user}")));
    let (_bob, _eve) = (bob.await, eve.await);
    processes[1].kill();
    let _back = app.client("back").lenient().ws("/one/rooms/rust?user=eve").await;
    app.advance(Duration::from_secs(11)).await;
    assert_eq!(left(&ada).await, ["bob"]);
}

#[tornadose_test::test]
async fn at_a_deploy_nobody_leaves_who_returns() {
    let engine = Engine::new(7);
    let (app, _processes, stores) = two_processes(&engine).await;
    let ada = app.client("ada").ws("/one/rooms/rust?user=ada").await;
    let [bob, eve] =
        ["bob", "eve"].map(|user| app.client(user).lenient().once().ws(format!("/two/rooms/rust?user={user}")));
    let (_bob, _eve) = (bob.await, eve.await);
    stores[1].close();
    app.advance(Duration::from_secs(3)).await;
    let _back = app.client("back").lenient().ws("/one/rooms/rust?user=bob").await;
    app.advance(Duration::from_secs(20)).await;
    assert_eq!(left(&ada).await, ["eve"]);
}

/// Returns the users who have left the room of a client since this was last called.
async fn left(client: &WsClient) -> Vec<String> {
    let seen = client.drain::<Seen>().await.into_iter();
    seen.filter_map(|seen| if let Seen::Left { slot } = seen { Some(slot) } else { None }).collect()
}

/// An event that a page is sent.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seen {
    Joined {},
    Member {},
    #[serde(rename = "tornadose:expired")]
    Left {
        slot: String,
    },
}

#[test]
fn the_types_of_the_page_are_current() {
    let streams = tornadose::schema().title("Chat").route::<RoomFeed>("/rooms/{room}");
    streams.typescript().assert_committed("chat/tornadose.d.ts");
    streams.asyncapi().assert_committed("chat/asyncapi.json");
}
